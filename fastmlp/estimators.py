"""MLPClassifier and MLPRegressor: scikit-learn's estimators on the backends of fastmlp.

This module is the face: validation, encoding, predictions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from fastmlp import _labels, _scores
from fastmlp._base import STOCHASTIC_SOLVERS, BaseMLP
from fastmlp._constraints import Registered
from fastmlp._given import plain_targets, validate_rows_and_targets
from fastmlp._increment import bound_first
from fastmlp._parameters import name_of
from fastmlp._predictor import Predictor, Source, label_predictor, log_predictor
from fastmlp._sklearn import _check_partial_fit_first_call, _fit_context, warn, with_callbacks
from fastmlp._stochastic import Validation
from fastmlp._weights import Weights
from fastmlp.backends import Backend, Data
from fastmlp.losses import LOSSES, Loss
from fastmlp.spec import NetworkSpec


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Classifier: a multi-layer perceptron that minimises the log loss, or another.

    The estimator of scikit-learn's name and parameters; the last four are fastmlp's own.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer. ``()`` means none: logistic regression.
    activation : str or Activation, default="relu"
        Activation of all hidden layers: "identity", "logistic", "tanh", "relu"; with its default parameters "linear",
        "leaky_relu", "randomized_leaky_relu", "elu", "selu", "softplus", "gelu" or "silu"; or an activation of your
        own (see `fastmlp.activation`).
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "adam" and "sgd" take a step a batch; "lbfgs" is scipy's L-BFGS-B over the whole data.
    alpha : float, default=1e-4
        Strength of the L2 penalty, ``alpha / 2 * sum(w ** 2) / s`` in the loss of a batch; s is its number of rows or
        the sum of their weights. Biases are free of it.
    batch_size : int or "auto", default="auto"
        Rows a step; "auto" is ``min(200, n_samples)``. No effect with "lbfgs".
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule of the learning rate with "sgd": constant; ``learning_rate_init / (t_ + 1) ** power_t`` after each
        epoch; or divided by 5 each time more than `n_iter_no_change` epochs in a row brought no improvement: where that
        happens with a rate of 1e-6 or less, training stops.
    learning_rate_init : float, default=1e-3
        Learning rate of the first step, for "sgd" and "adam".
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Most epochs, or iterations of "lbfgs".
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new random order ("sgd" and "adam").
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the validation split and the order of rows. An int gives the same model, bit for
        bit, at each fit; so does scikit-learn's estimator with that int, to rounding.
    tol : float, default=1e-4
        What counts as an improvement of loss or validation score; with "lbfgs" the tolerance on the gradient.
    verbose : bool, default=False
        Whether to print the progress of each epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the present weights.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows (stratified where there is one output column), to stop
        when their score no longer improves, and to end with the weights of the best score ("sgd" and "adam").
    validation_fraction : float, default=0.1
        Share of the rows held out by `early_stopping`, between 0 and 1.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moments of "adam", in [0, 1).
    epsilon : float, default=1e-8
        Added to the root of the second moment of "adam".
    n_iter_no_change : int, default=10
        How many epochs in a row may bring no improvement: after one more, training stops (or, with "adaptive", the
        learning rate is divided). `numpy.inf` is never.
    max_fun : int, default=15000
        Most evaluations of the loss by "lbfgs".
    backend : {"auto", "c", "numba", "numpy"}, default="auto"
        What computes; "auto" is the fastest that is installed (see `fastmlp.backends.get_backend`).
    dtype : {None, "float32", "float64"}, default=None
        Precision. None is scikit-learn's rule: float32 data give a float32 model, all else float64 (weights found by
        "lbfgs" are always float64). Given, it holds for training and predictions whatever the dtype of the data, which
        are not copied.
    n_threads : int or None, default=None
        Threads of the C backend; the results have the same bits for any number. None: as many as pay, by measured
        thresholds, of those that ``FASTMLP_NUM_THREADS`` (or else ``OMP_NUM_THREADS``), the processors and processor
        time given to the process, and threadpoolctl allow; -1: all of these; else so many, up to 64. Calls that run
        at the same time in several Python threads share them.
    loss : {"log_loss", "squared_error"}, str or Loss, default="log_loss"
        The log loss; half the squared error of the probabilities (half the Brier score), summed over the outputs; or a
        loss of your own (see `fastmlp.loss`) of probabilities, with targets 0 and 1. Outputs are softmax or logistic,
        whatever the loss.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer. Edits in place and arrays put in their place take effect.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer; likewise.
    loss_ : float
        Loss of the last epoch or iteration, L2 term included.
    loss_curve_ : list of float
        Loss of each epoch ("sgd" and "adam").
    best_loss_ : float or None
        Smallest loss of an epoch; None with `early_stopping` ("sgd" and "adam").
    validation_scores_ : list of float or None
        Accuracy on the held-out rows after each epoch of `early_stopping` ("sgd" and "adam").
    best_validation_score_ : float or None
        The best of them ("sgd" and "adam").
    n_iter_ : int
        Epochs or iterations of the last call.
    t_ : int
        Rows seen so far, counted at each epoch.
    n_layers_ : int
        Number of layers, inputs and outputs included.
    n_outputs_ : int
        Number of output units.
    out_activation_ : str
        Activation of the output layer.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str of shape (n_features,)
        Names of the columns, where X had names that are all strings.

    See Also
    --------
    MLPRegressor : The regressor.
    fastmlp.Network : The network itself, without the estimator around it.

    Notes
    -----
    With the same `random_state` the result is that of scikit-learn's `MLPClassifier` to rounding: below 1e-9 with
    "sgd" and "adam" in float64, unless training itself amplifies rounding (large steps with units that die). With the C
    backend and those two solvers it has the same bits on any x86 processor with AVX2 and FMA. When a fit fails, the
    estimator is as it was before the call. Ctrl-C ends "sgd" and "adam" after the last whole step with a warning, and
    interrupts "lbfgs"; it is served between blocks of 256 rows, which take a tenth of a second from some millions of
    weights on.

    The activation "randomized_leaky_relu" draws its slopes in the steps of "sgd" and "adam", from a key that every fit
    and `partial_fit` takes from `random_state` after the initial weights and before the validation split. Predictions,
    validation scores and "lbfgs" have the mean slope. No other activation draws anything.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS
    (initial weights). Kingma and Ba (2014), arXiv:1412.6980 (adam).

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
    >>> clf = MLPClassifier(hidden_layer_sizes=(16,), max_iter=3000, random_state=1).fit(X_train, y_train)
    >>> clf.score(X_test, y_test) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseMLP._parameter_constraints,
        "loss": [Registered({"log_loss", "squared_error"}, LOSSES)],
    }

    # For pickles that are older than the parameter.
    loss: str | Loss = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        backend="auto",
        dtype=None,
        n_threads=None,
        loss="log_loss",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.backend = backend
        self.dtype = dtype
        self.n_threads = n_threads
        self.loss = loss

    def _output_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _count_outputs(self, targets: np.ndarray) -> int:
        if targets.ndim == 2:
            return targets.shape[1]
        return len(self.classes_) if len(self.classes_) > 2 else 1

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        X, y = validate_rows_and_targets(self, X, y, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = _column(y)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer, targets = _labels.fit_binarizer(y)
            self.classes_ = self._label_binarizer.classes_
            return X, targets
        self._check_classes(y)
        return X, _labels.transform(self._label_binarizer, y)

    def _check_classes(self, y: np.ndarray) -> None:
        """Refuse labels that do not fit the classes of an earlier call."""
        classes = _labels.distinct(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _stratified_by(self, data: Data) -> np.ndarray | None:
        # By scikit-learn's rule: only where there is one output column.
        return data.targets if self.n_outputs_ == 1 else None

    def _validation_score(self, backend: Backend, spec: NetworkSpec, weights: Weights, part: Validation) -> float:
        outputs = backend.forward(spec, weights.vector, part.X)
        return _scores.accuracy_of_outputs(outputs, part.targets, len(self.classes_), part.sample_weight)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on rows X and targets y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays in C order are used as they are; CSR and CSC stay sparse.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or an indicator matrix of 0 and 1 for several labels a row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1 for all. As in scikit-learn they may be negative.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        sklearn.utils._param_validation.InvalidParameterError
            When a parameter is not one that it may be (a ValueError and TypeError).
        TypeError
            When `hidden_layer_sizes` holds no integers, or y is sparse and not multilabel.
        ValueError
            When X or y does not have the expected form, all sample weights together are 0 or far from 1, the activation
            has no gradient (step), a function of your own cannot be compiled or the loss is not defined for the
            targets, or training ended in weights that are not finite.
        AttributeError, TypeError
            When `early_stopping` has been switched on, or off, since a fit with which `warm_start` goes on.
        ImportError
            When an activation or loss of your own has to be compiled and Numba is not installed.
        ZeroDivisionError
            When the weights of a batch sum to zero.

        Examples
        --------
        >>> from fastmlp import MLPClassifier
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
        >>> model = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> model.predict([[0.5], [2.5]])
        array(['low', 'high'], dtype='<U4')
        """
        return self._fit(X, y, sample_weight=sample_weight)

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    @available_if(lambda estimator: estimator._check_solver())
    @bound_first
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on the rows given, keeping the state of the solver between calls.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays in C order are used as they are; CSR and CSC stay sparse.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or an indicator matrix of 0 and 1 for several labels a row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1 for all. As in scikit-learn they may be negative.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever come; needed at the first call, and only there.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        AttributeError
            With the solver "lbfgs".
        sklearn.utils._param_validation.InvalidParameterError
            When a parameter is not one that it may be, at the first call (a ValueError and TypeError).
        TypeError
            When `hidden_layer_sizes` holds no integers, y is sparse and not multilabel, or the last `fit` had
            `early_stopping`.
        ValueError
            When X or y does not have the expected form, `classes` are missing at the first call, `early_stopping` is
            set, the activation has no gradient (step), a function of your own cannot be compiled, or training ended in
            weights that are not finite.
        ImportError
            When an activation or loss of your own has to be compiled and Numba is not installed.
        ZeroDivisionError
            When the weights of a batch sum to zero.

        Examples
        --------
        >>> from fastmlp import MLPClassifier
        >>> model = MLPClassifier((4,), learning_rate_init=0.1, random_state=0)
        >>> for _ in range(50):
        ...     model = model.partial_fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], classes=[0, 1])
        >>> model.predict([[0.5], [2.5]])
        array([0, 1])
        """
        return self._fit(X, y, sample_weight, True, lambda: self._note_classes(y, classes))

    def _note_classes(self, y: Any, classes: Any) -> None:
        """Keep the classes that a first `partial_fit` gives."""
        if _check_partial_fit_first_call(self, classes):
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays are used as they are, by the C backend in any order; CSR and CSC stay
            sparse.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels of the classes with the largest output; for several labels a row 1 where the output exceeds 0.5.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        TypeError, ValueError
            When X does not hold numbers, or does not have the expected form.

        Examples
        --------
        >>> from fastmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier(solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
        >>> clf.predict(X[[0, 75, 149]])
        array([0, 1, 2])
        """
        labels = self._short.labels(self.__dict__, X)
        if labels is None:
            labels, X = self._short_way("labels", X)
        if labels is not None:
            return labels
        check_is_fitted(self)
        return self._predict(X)

    def _predict(self, X: Any, check_input: bool = True) -> np.ndarray:
        return _labels.predict_labels(self._label_binarizer, self._forward_pass_fast(X, check_input=check_input))

    def _prediction_forms(self) -> tuple[str, np.ndarray | None]:
        return ("complements" if self.n_outputs_ == 1 else "outputs"), _labels.coded(self._label_binarizer)

    _PREDICTIONS = ("predict_proba", "predict", "predict_log_proba")

    def _make_predictor(self, method: str, source: Source) -> Predictor:
        form, classes = self._prediction_forms()
        if method == "predict":
            binarizer = self._label_binarizer
            if classes is not None and source.is_fast:
                return label_predictor(source.fast("codes"), classes)
            return source.plain(lambda outputs: _labels.predict_labels(binarizer, outputs))
        numbers = source.make(form, _probabilities)
        return log_predictor(numbers) if method == "predict_log_proba" else numbers

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays are used as they are, by the C backend in any order; CSR and CSC stay
            sparse.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. Of the `dtype` that the estimator was given; where it is None, float32 for a
            float32 model on float32 rows, else float64.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        TypeError, ValueError
            When X does not hold numbers, or does not have the expected form.

        Examples
        --------
        >>> from fastmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier(solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
        >>> clf.predict_proba(X[[0, 75]]).round(2)
        array([[1., 0., 0.],
               [0., 1., 0.]])
        """
        probabilities = self._short.numbers(self.__dict__, X)
        if probabilities is None:
            probabilities, X = self._short_way("numbers", X)
        if probabilities is not None:
            return probabilities
        check_is_fitted(self)
        return _probabilities(self._forward_pass_fast(X))

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays are used as they are, by the C backend in any order; CSR and CSC stay
            sparse.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            The logarithms of `predict_proba`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        TypeError, ValueError
            When X does not hold numbers, or does not have the expected form.

        Examples
        --------
        >>> from fastmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier(solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
        >>> clf.predict_log_proba(X[:1]).argmax().item()
        0
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on rows X with labels y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1 for all. As in scikit-learn they may be negative.

        Returns
        -------
        float
            What `sklearn.metrics.accuracy_score` finds for `predict`: for several labels a row, all must be right.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        ValueError
            When X or y does not have the expected form.

        Examples
        --------
        >>> from fastmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier(solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
        >>> clf.score(X, y) > 0.95
        True
        """
        predicted = self.predict(X)
        # Not there where a subclass has a `fit` of its own, or in a pickle that was made smaller.
        classes = getattr(self, "classes_", None)
        plain = y if type(y) is np.ndarray else plain_targets(y)
        found = (
            None if sample_weight is not None or classes is None else _scores.accuracy(plain, predicted, len(classes))
        )
        return accuracy_score(y, predicted, sample_weight=sample_weight) if found is None else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """Regressor: a multi-layer perceptron that minimises the squared error or the Poisson deviance.

    The estimator of scikit-learn's name and parameters; the last three are fastmlp's own.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, str or Loss, default="squared_error"
        Half the squared error, with identity outputs; half the Poisson deviance, with exponential outputs; or a loss of
        your own (see `fastmlp.loss`), with identity outputs. Over several outputs a loss is summed; but the squared
        error is reported as their mean, as in scikit-learn, whose steps follow the gradient of the sum as well
        ("lbfgs" is given that mean and this gradient).
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer. ``()`` means none: linear regression.
    activation : str or Activation, default="relu"
        Activation of all hidden layers: "identity", "logistic", "tanh", "relu"; with its default parameters "linear",
        "leaky_relu", "randomized_leaky_relu", "elu", "selu", "softplus", "gelu" or "silu"; or an activation of your
        own (see `fastmlp.activation`).
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "adam" and "sgd" take a step a batch; "lbfgs" is scipy's L-BFGS-B over the whole data.
    alpha : float, default=1e-4
        Strength of the L2 penalty, ``alpha / 2 * sum(w ** 2) / s`` in the loss of a batch; s is its number of rows or
        the sum of their weights. Biases are free of it.
    batch_size : int or "auto", default="auto"
        Rows a step; "auto" is ``min(200, n_samples)``. No effect with "lbfgs".
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule of the learning rate with "sgd": constant; ``learning_rate_init / (t_ + 1) ** power_t`` after each
        epoch; or divided by 5 each time more than `n_iter_no_change` epochs in a row brought no improvement: where that
        happens with a rate of 1e-6 or less, training stops.
    learning_rate_init : float, default=1e-3
        Learning rate of the first step, for "sgd" and "adam".
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Most epochs, or iterations of "lbfgs".
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new random order ("sgd" and "adam").
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the validation split and the order of rows. An int gives the same model, bit for
        bit, at each fit; so does scikit-learn's estimator with that int, to rounding.
    tol : float, default=1e-4
        What counts as an improvement of loss or validation score; with "lbfgs" the tolerance on the gradient.
    verbose : bool, default=False
        Whether to print the progress of each epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the present weights.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows, to stop when their score no longer improves, and
        to end with the weights of the best score ("sgd" and "adam").
    validation_fraction : float, default=0.1
        Share of the rows held out by `early_stopping`, between 0 and 1.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moments of "adam", in [0, 1).
    epsilon : float, default=1e-8
        Added to the root of the second moment of "adam".
    n_iter_no_change : int, default=10
        How many epochs in a row may bring no improvement: after one more, training stops (or, with "adaptive", the
        learning rate is divided). `numpy.inf` is never.
    max_fun : int, default=15000
        Most evaluations of the loss by "lbfgs".
    backend : {"auto", "c", "numba", "numpy"}, default="auto"
        What computes; "auto" is the fastest that is installed (see `fastmlp.backends.get_backend`).
    dtype : {None, "float32", "float64"}, default=None
        Precision. None is scikit-learn's rule: float32 data give a float32 model, all else float64 (weights found by
        "lbfgs" are always float64). Given, it holds for training and predictions whatever the dtype of the data, which
        are not copied.
    n_threads : int or None, default=None
        Threads of the C backend; the results have the same bits for any number. None: as many as pay, by measured
        thresholds, of those that ``FASTMLP_NUM_THREADS`` (or else ``OMP_NUM_THREADS``), the processors and processor
        time given to the process, and threadpoolctl allow; -1: all of these; else so many, up to 64. Calls that run
        at the same time in several Python threads share them.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer. Edits in place and arrays put in their place take effect.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer; likewise.
    loss_ : float
        Loss of the last epoch or iteration, L2 term included.
    loss_curve_ : list of float
        Loss of each epoch ("sgd" and "adam").
    best_loss_ : float or None
        Smallest loss of an epoch; None with `early_stopping` ("sgd" and "adam").
    validation_scores_ : list of float or None
        Coefficient of determination on the held-out rows after each epoch of `early_stopping` ("sgd" and "adam").
    best_validation_score_ : float or None
        The best of them ("sgd" and "adam").
    n_iter_ : int
        Epochs or iterations of the last call.
    t_ : int
        Rows seen so far, counted at each epoch.
    n_layers_ : int
        Number of layers, inputs and outputs included.
    n_outputs_ : int
        Number of output units.
    out_activation_ : str
        Activation of the output layer.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str of shape (n_features,)
        Names of the columns, where X had names that are all strings.

    See Also
    --------
    MLPClassifier : The classifier.
    fastmlp.Network : The network itself, without the estimator around it.

    Notes
    -----
    With the same `random_state` the result is that of scikit-learn's `MLPRegressor` to rounding: below 1e-9 with
    "sgd" and "adam" in float64, unless training itself amplifies rounding (large steps with units that die). With the C
    backend and those two solvers it has the same bits on any x86 processor with AVX2 and FMA. When a fit fails, the
    estimator is as it was before the call. Ctrl-C ends "sgd" and "adam" after the last whole step with a warning, and
    interrupts "lbfgs"; it is served between blocks of 256 rows, which take a tenth of a second from some millions of
    weights on.

    The activation "randomized_leaky_relu" draws its slopes in the steps of "sgd" and "adam", from a key that every fit
    and `partial_fit` takes from `random_state` after the initial weights and before the validation split. Predictions,
    validation scores and "lbfgs" have the mean slope. No other activation draws anything.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS
    (initial weights). Kingma and Ba (2014), arXiv:1412.6980 (adam).

    Examples
    --------
    >>> from fastmlp import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(n_samples=200, n_features=5, random_state=1)
    >>> reg = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=2000, random_state=1).fit(X, y)
    >>> reg.score(X, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseMLP._parameter_constraints,
        "loss": [Registered({"squared_error", "poisson"}, LOSSES)],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        backend="auto",
        dtype=None,
        n_threads=None,
    ):
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.backend = backend
        self.dtype = dtype
        self.n_threads = n_threads

    def _output_activation(self) -> str:
        return "exp" if name_of(LOSSES, "loss", self.loss) == "poisson" else "identity"

    def _count_outputs(self, targets: np.ndarray) -> int:
        return 1 if targets.ndim == 1 else targets.shape[1]

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        X, y = validate_rows_and_targets(self, X, y, reset=reset, y_numeric=True)
        if hasattr(y, "tocsr") and (y.ndim == 1 or y.shape[1] > 1):
            y = y.toarray()
        if y.dtype.kind not in "biuf":
            raise TypeError(f"y must hold real numbers (float, integer or bool), got dtype {y.dtype}.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = _column(y)
        return X, y.reshape(len(y), -1)

    def _loss_scale(self) -> float:
        # scikit-learn averages the squared error over the outputs in its loss, not in its gradient (still in 1.9).
        return 1.0 / self.n_outputs_ if name_of(LOSSES, "loss", self.loss) == "squared_error" else 1.0

    def _validation_score(self, backend: Backend, spec: NetworkSpec, weights: Weights, part: Validation) -> float:
        outputs = backend.forward(spec, weights.vector, part.X)
        if not np.isfinite(outputs).all():
            return np.nan
        return _scores.r2_of_outputs(part.targets, outputs, part.sample_weight)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on rows X and targets y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays in C order are used as they are; CSR and CSC stay sparse.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, real numbers; for the Poisson loss not negative (which is not checked, as in scikit-learn: `loss_`
            becomes NaN).
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1 for all. As in scikit-learn they may be negative.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        sklearn.utils._param_validation.InvalidParameterError
            When a parameter is not one that it may be (a ValueError and TypeError).
        TypeError
            When `hidden_layer_sizes` holds no integers, or y is a sparse column or no numbers.
        ValueError
            When X or y does not have the expected form, all sample weights together are 0 or far from 1, the activation
            has no gradient (step), a function of your own cannot be compiled or the loss is not defined for the
            targets, or training ended in weights that are not finite.
        AttributeError, TypeError
            When `early_stopping` has been switched on, or off, since a fit with which `warm_start` goes on.
        ImportError
            When an activation or loss of your own has to be compiled and Numba is not installed.
        ZeroDivisionError
            When the weights of a batch sum to zero.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
        >>> model = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> model.predict([[1.5]]).round(2)
        array([4.])
        """
        return self._fit(X, y, sample_weight=sample_weight)

    @bound_first
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on the rows given, keeping the state of the solver; with "lbfgs" for as many as `fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays in C order are used as they are; CSR and CSC stay sparse.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, real numbers; for the Poisson loss not negative (which is not checked, as in scikit-learn: `loss_`
            becomes NaN).
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1 for all. As in scikit-learn they may be negative.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        sklearn.utils._param_validation.InvalidParameterError
            When a parameter is not one that it may be, at the first call (a ValueError and TypeError).
        TypeError
            When `hidden_layer_sizes` holds no integers, y is a sparse column or no numbers, or the last `fit` had
            `early_stopping`.
        ValueError
            When X or y does not have the expected form, `early_stopping` is set, the activation has no gradient (step),
            a function of your own cannot be compiled, or training ended in weights that are not finite.
        ImportError
            When an activation or loss of your own has to be compiled and Numba is not installed.
        ZeroDivisionError
            When the weights of a batch sum to zero.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> model = MLPRegressor(hidden_layer_sizes=(), learning_rate_init=0.1, random_state=0)
        >>> for _ in range(300):
        ...     model = model.partial_fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0])
        >>> model.predict([[1.5]]).round(1)
        array([4.])
        """
        return self._fit(X, y, sample_weight=sample_weight, incremental=True)

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. Float32 and float64 arrays are used as they are, by the C backend in any order; CSR and CSC stay
            sparse.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Of the `dtype` that the estimator was given; where it is None, float32 for a float32 model on float32 rows,
            else float64.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        TypeError, ValueError
            When X does not hold numbers, or does not have the expected form.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
        >>> reg = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> reg.predict([[1.5], [2.5]]).round(1)
        array([4., 6.])
        """
        numbers = self._short.numbers(self.__dict__, X)
        if numbers is None:
            numbers, X = self._short_way("numbers", X)
        if numbers is not None:
            return numbers
        check_is_fitted(self)
        return self._predict(X)

    def score(self, X, y, sample_weight=None):
        """Return the coefficient of determination on rows X with targets y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1 for all. As in scikit-learn they may be negative.

        Returns
        -------
        float
            What `sklearn.metrics.r2_score` finds for `predict`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before the first fit.
        ValueError
            When X or y does not have the expected form.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
        >>> reg = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> reg.score(X, y) > 0.99
        True
        """
        predicted = self.predict(X)
        # A list would get the dtype of the predictions.
        plain = y if type(y) in (np.ndarray, list) else plain_targets(y)
        found = None if sample_weight is not None else _scores.r2(plain, predicted)
        return r2_score(y, predicted, sample_weight=sample_weight) if found is None else found

    def _prediction_forms(self) -> tuple[str, None]:
        return ("column" if self.n_outputs_ == 1 else "outputs"), None

    _PREDICTIONS = ("predict",)

    def _make_predictor(self, method: str, source: Source) -> Predictor:
        form, _ = self._prediction_forms()
        return source.make(form, _flat)

    def _predict(self, X: Any, check_input: bool = True) -> np.ndarray:
        return _flat(self._forward_pass_fast(X, check_input=check_input))


def _column(y: np.ndarray) -> np.ndarray:
    """Return the only column of `y`, with scikit-learn's warning."""
    column = column_or_1d(y)
    warn(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples, ), for "
        "example using ravel().",
        DataConversionWarning,
    )
    return column


def _probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return a column for each class."""
    return outputs if outputs.shape[1] > 1 else np.hstack([1 - outputs, outputs])


def _flat(outputs: np.ndarray) -> np.ndarray:
    """Return a single output as a vector."""
    return outputs.ravel() if outputs.shape[1] == 1 else outputs
