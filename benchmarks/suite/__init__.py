"""The asv suites. Run ``asv run`` in the folder above; each time stands beside the loss or the error reached in it."""
