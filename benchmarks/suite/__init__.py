"""The asv suites. Run ``asv run`` in the folder above; each time stands beside the loss or the error reached in it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # asv finds this package alone, not the one beside it
