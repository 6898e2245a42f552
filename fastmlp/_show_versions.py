"""What to put into a bug report."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from fastmlp import __version__
from fastmlp.backends import get_backend


def show_versions() -> None:
    """Print the versions of fastmlp, Python and the packages it works with, and what computes here.

    Packages are looked up, not imported.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.show_versions()  # doctest: +ELLIPSIS
    fastmlp       ...
    """
    backend = get_backend()
    rows = [("fastmlp", __version__), ("Python", sys.version.split()[0]), ("machine", platform.machine())]
    rows += [(package, _installed(package)) for package in ("numpy", "cffi", "numba", "scipy", "scikit-learn")]
    rows += [
        ("C extension", "found" if find_spec("_fastmlp_c") else "missing"),
        ("backend", backend.name),
        ("ISA", backend.isa),
        ("threads", str(backend.n_threads)),
    ]
    for name, value in rows:
        print(f"{name:<13} {value}")


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
