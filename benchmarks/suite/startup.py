"""Starting: imports, each in a process of its own."""


def timeraw_import_numpy():
    """The part of the next one that is NumPy's."""
    return "import numpy"


def timeraw_import_network():
    return "import fastmlp; fastmlp.Network"
