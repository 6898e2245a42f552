"""What importing costs and brings along, and the examples of the docstrings."""

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from conftest import run_python

import fastmlp

MODULES = [
    module.name
    for module in pkgutil.walk_packages(fastmlp.__path__, "fastmlp.")
    # What runs as a program, and what only setup.py imports.
    if module.name not in {"fastmlp.__main__", "fastmlp._build_c"}
]
NEEDS_EXTENSION = {"fastmlp.backends.c", "fastmlp.backends._c_interface"}


def test_heavy_packages_stay_out():
    code = """
import sys, fastmlp
fastmlp.Network
net = fastmlp.Network([3, 2, 1], random_state=0, backend="numpy")
net.fit([[1, 2, 3]], [1], epochs=1)
net.trace([1, 2, 3], 1)
fastmlp.plotting.NetworkDisplay
heavy = {"sklearn", "scipy", "numba", "pandas", "matplotlib", "importlib.metadata"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run_python(code).stdout.strip() == "[]"


def test_nothing_is_imported_before_it_is_used():
    assert run_python("import sys, fastmlp; print('numpy' in sys.modules)").stdout.strip() == "False"


def test_import_time(tmp_path):
    statements = {"numpy": "import numpy", "fastmlp": "import fastmlp; fastmlp.Network"}
    best = dict.fromkeys(statements, np.inf)
    # As after an installation: without bytecode in a cache, each process would compile this package's sources anew, and
    # time that.
    variables = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": None}
    # Processor time, least of several: a busy machine only needs more rounds.
    for completed in range(30):
        for name, statement in statements.items():
            code = f"from time import process_time as now; start = now(); {statement}; print(now() - start)"
            best[name] = min(best[name], float(run_python(code, **variables).stdout))
        if completed >= 5 and best["fastmlp"] <= 1.6 * best["numpy"]:
            break
    assert best["fastmlp"] <= 1.6 * best["numpy"]


def test_public_names():
    assert set(fastmlp.__all__) <= set(dir(fastmlp))
    for name in fastmlp.__all__:
        assert getattr(fastmlp, name) is not None
    with pytest.raises(AttributeError, match="no_such"):
        fastmlp.no_such  # noqa: B018
    done = run_python("from fastmlp import *; print(Network.__name__, config_context.__name__)")
    assert done.stdout.split() == ["Network", "config_context"]


def test_types_are_announced():
    assert (Path(fastmlp.__file__).parent / "py.typed").exists()


def test_show_versions(capsys):
    fastmlp.show_versions()
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["fastmlp"] == fastmlp.__version__
    assert lines["numpy"] == np.__version__
    assert {"Python", "cffi", "numba", "scipy", "scikit-learn", "backend", "ISA", "threads"} <= set(lines)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.c) if name in NEEDS_EXTENSION else name for name in MODULES]
)
def test_examples_of_docstrings(name):
    if name in NEEDS_EXTENSION and importlib.util.find_spec("_fastmlp_c") is None:
        pytest.skip("the extension is not installed")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("fastmlp", "_fastmlp")):
            raise
        pytest.skip(f"{name} needs {error.name}")
    failed, _ = doctest.testmod(module)
    assert failed == 0
