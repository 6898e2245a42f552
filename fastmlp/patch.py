"""Let scripts that import from scikit-learn get the estimators of fastmlp.

From Python: `patch_sklearn` and `unpatch_sklearn`. From the shell, for a script that stays as it is::

    python -m fastmlp.patch script.py [arguments of the script]
"""

from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_NAMES = ("MLPClassifier", "MLPRegressor")
_originals: dict[str, Any] = {}


def patch_sklearn() -> None:
    """Put fastmlp's estimators in the place of scikit-learn's.

    From then on ``from sklearn.neural_network import MLPClassifier`` gives `fastmlp.MLPClassifier`, and likewise for
    the regressor. Names that were imported before stay what they were, and pickles of scikit-learn's estimators are
    loaded as scikit-learn's. A second call changes nothing. Processes that are forked are patched, too; those that are
    spawned, or begin in a fork server or as workers of joblib, are not: there call it where the work begins.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.patch_sklearn()
    >>> from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier is fastmlp.MLPClassifier
    True
    >>> fastmlp.unpatch_sklearn()
    """
    from sklearn import neural_network

    from fastmlp import estimators

    for name in _NAMES:
        ours, present = getattr(estimators, name), getattr(neural_network, name)
        if present is not ours:
            _originals[name] = present
            setattr(neural_network, name, ours)


def unpatch_sklearn() -> None:
    """Put scikit-learn's own estimators back; without a patch nothing happens.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.patch_sklearn()
    >>> fastmlp.unpatch_sklearn()
    >>> from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier.__module__.split(".")[0]
    'sklearn'
    """
    from sklearn import neural_network

    while _originals:
        name, original = _originals.popitem()
        setattr(neural_network, name, original)


def main(arguments: list[str]) -> int:
    """Run the script named first, patched, as ``python script.py`` would; return the exit status."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m fastmlp.patch script.py [arguments of the script]", file=sys.stderr)
        return 2
    script = arguments[0]
    if not Path(script).exists() or Path(script).is_dir():
        what = "no such file" if not Path(script).exists() else "a folder, where a script is expected"
        print(f"python -m fastmlp.patch: {what}: {script}", file=sys.stderr)
        return 2
    sys.argv = list(arguments)
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(script).resolve().parent)  # also for what scikit-learn imports
    patch_sklearn()
    file = os.path.join(os.getcwd(), script)  # noqa: PTH109, PTH118 (not tidied, as Python does not)
    # Not by runpy, which takes the module away when the script ends: threads and exit handlers may still need it.
    program = ModuleType("__main__")
    vars(program).update(__file__=file, __builtins__=builtins)
    sys.modules["__main__"] = program
    exec(compile(Path(script).read_bytes(), file, "exec", dont_inherit=True), vars(program))
    return 0


if __name__ == "__main__":
    # The module under its own name, so that a script can undo the patch.
    from fastmlp import patch

    status = patch.main(sys.argv[1:])
    if status:  # SystemExit is printed where Python stays, as with -i
        sys.exit(status)
