"""The asv suites. Run ``asv run`` in the folder above; beside each time stands a loss or an error."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # asv finds this package alone, not the one beside it
