"""The two libraries that are compared: scikit-learn, and the subject.

The one place that knows fastmlp. The subject is fastmlp if it has the estimators. The environment variable
`PARITY_SUBJECT` names another one: ``sklearn`` (the reference itself: the harness must find nothing) or ``reordered``
(a correct copy that rounds differently: the tolerances must bear it).

What is assumed of fastmlp, beyond scikit-learn's interface:

- training prints its lines (`verbose`) through `sys.stdout` as it goes, inside the part that handles KeyboardInterrupt;
- the private names that people reach for are there when scikit-learn has them: `_optimizer.learning_rate`,
  `_no_improvement_count`, `_label_binarizer`, `_random_state`, and `_best_coefs`, which early stopping makes `coefs_`
  (the solver's moments are compared if they have scikit-learn's names, and need not be there);
- lbfgs calls ``scipy.optimize.minimize(fun, x0, jac=True, ...)``, looked up in `scipy.optimize` when called, with a
  `fun` that returns loss and gradient in scikit-learn's packing.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase

import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

VARIABLE = "PARITY_SUBJECT"

SKLEARN_VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


@dataclass(frozen=True)
class Accepted:
    """A documented difference (in docs/switching.md): patterns of case, quantity and kind of difference."""

    case: str
    quantity: str
    what: str
    reason: str

    def covers(self, case_id: str, quantity: str, what: str) -> bool:
        """Return whether a difference is this one."""
        found = zip((case_id, quantity, what), (self.case, self.quantity, self.what), strict=True)
        return all(fnmatchcase(name, pattern) for name, pattern in found)


ACCEPTED_OF_FASTMLP = (
    Accepted("*float32*", "_optimizer.*", "type", "moments have the precision of the fit"),
    Accepted("*float32*", "*loss_*", "type", "losses are float64 in every fit"),
    Accepted("hand-weight_float32", "*", "distance*", "the sum of float32 weights is not rounded to float32"),
    Accepted("hand-X_longdouble", "predict", "type", "the kernels know float32 and float64"),
    Accepted("fail-param_activation", "*", "exception", "more activations are listed"),
)


@dataclass(frozen=True)
class Library:
    """A pair of estimators and what the comparison may take for granted about them.

    Attributes
    ----------
    restores : bool
        Whether a fit that ends in an error leaves the estimator as it was; scikit-learn's does not.
    is_stand_in : bool
        Whether this is not the library the tests are for.
    accepted : tuple of Accepted
        Documented differences. Reported as notes, not differences.
    """

    name: str
    MLPClassifier: type
    MLPRegressor: type
    restores: bool = False
    is_stand_in: bool = True
    accepted: tuple[Accepted, ...] = ()

    def estimator(self, kind_is_classifier: bool) -> type:
        """Return the class for a kind of targets."""
        return self.MLPClassifier if kind_is_classifier else self.MLPRegressor


REFERENCE = Library("sklearn", MLPClassifier, MLPRegressor)


def _fastmlp() -> Library | None:
    try:
        module = importlib.import_module("fastmlp")
    except ModuleNotFoundError as error:
        # Only its absence is a reason for a stand-in; an import that breaks inside is a failure.
        if error.name == "fastmlp":
            return None
        raise
    if not hasattr(module, "MLPClassifier"):
        return None
    return Library(
        "fastmlp",
        module.MLPClassifier,
        module.MLPRegressor,
        restores=True,
        is_stand_in=False,
        accepted=ACCEPTED_OF_FASTMLP,
    )


def load(name: str | None = None) -> Library:
    """Return the subject: by name, by the environment, or fastmlp; without fastmlp, scikit-learn itself."""
    name = name or os.environ.get(VARIABLE) or ""
    if name == "sklearn":
        return REFERENCE
    if name == "reordered":
        from parity import standins

        module = standins.reordered()
        return Library("reordered", module.MLPClassifier, module.MLPRegressor)
    if name in ("", "fastmlp"):
        found = _fastmlp()
        if found is None and name:
            raise ImportError("fastmlp has no estimators")
        return found or REFERENCE
    raise ValueError(f"unknown subject: {name!r}")


SUBJECT = load()
