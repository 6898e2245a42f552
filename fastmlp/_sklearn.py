"""What fastmlp takes from inside scikit-learn: the one place where names without a public promise are imported.

Each has been there since 1.7 unless a line says otherwise.
"""

from __future__ import annotations

import sys
import warnings
from types import FunctionType
from typing import Any

import numpy as np
import sklearn
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.fixes import parse_version
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "LABELS_ARE_COUNTED",
    "CallbackSupportMixin",
    "Interval",
    "Options",
    "StrOptions",
    "_check_partial_fit_first_call",
    "_check_sample_weight",
    "_fit_context",
    "lbfgs_point_dtype",
    "lbfgs_print_options",
    "warn",
    "warn_of_lbfgs",
    "with_callbacks",
]

LABELS_ARE_COUNTED = parse_version(sklearn.__version__) < parse_version("1.8")
"""Whether scikit-learn warns of many classes for few rows, as if for a regression, wherever it looks at labels."""

_NAME = "sklearn.neural_network._multilayer_perceptron"


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn in the name of scikit-learn's module, so that a script's filters with ``module="sklearn"`` hold.

    In every fit anew: what notes that it has been done is thrown away. So it is with scikit-learn's, whose validation
    touches the filters, after which Python forgets what it has warned of.
    """
    caller = sys._getframe(1)
    warnings.warn_explicit(message, category, caller.f_code.co_filename, caller.f_lineno, module=_NAME, registry={})


def warn_of_lbfgs(result: Any, max_iter: int) -> None:
    """Warn as scikit-learn does where L-BFGS did not converge, likewise in the name of its module and anew."""
    # In a frame that is, for the warnings module, one of scikit-learn's; what is noted there is gone with its globals.
    call = FunctionType((lambda function, *arguments: function(*arguments)).__code__, {"__name__": _NAME})
    call(_check_optimize_result, "lbfgs", result, max_iter)


try:  # from 1.9 on, and experimental there
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's mixin where there is none: no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Return `method` as it is."""
        return method


try:  # from 1.8 on
    from sklearn.utils.fixes import _get_additional_lbfgs_options_dict
except ImportError:

    def _get_additional_lbfgs_options_dict(key: str, value: int) -> dict[str, int]:
        import scipy

        return {} if parse_version(scipy.__version__) >= parse_version("1.15") else {key: value}


def lbfgs_print_options(verbose: bool | int) -> dict[str, int]:
    """Return the options that let scipy's L-BFGS report its progress, where it still does."""
    return _get_additional_lbfgs_options_dict("iprint", 1 if verbose is True or verbose >= 1 else -1)


def lbfgs_point_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype of the points at which scipy's L-BFGS evaluates, when it starts from one of `dtype`."""
    import scipy

    # From 1.12 on scipy keeps float32; before, every point is float64.
    return dtype if parse_version(scipy.__version__) >= parse_version("1.12") else np.dtype(np.float64)
