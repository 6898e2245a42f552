"""Subclasses, as they are written for scikit-learn's estimators: the same model, or an error, never another model."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_iris

import fastmlp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
LIBRARIES = [neural_network, fastmlp]
QUICK = {"max_iter": 3, "random_state": 0}


def keeps_its_rows(library):
    class Subclass(library.MLPClassifier):
        def fit(self, X, y):
            self._data, self._weights, self._spec = X, np.bincount(y), "mine"
            return super().fit(X, y)

    return Subclass((5,), **QUICK).fit(*IRIS)


def has_a_property(library):
    class Subclass(library.MLPClassifier):
        @property
        def activation(self):
            return "tanh"

        @activation.setter
        def activation(self, value):
            pass

    model = Subclass((5,), **QUICK)
    for _ in range(3):
        model.partial_fit(*IRIS, classes=[0, 1, 2])
    return model


def has_an_attribute_of_the_class(library):
    class Subclass(library.MLPClassifier):
        shuffle = False

    model = Subclass((5,), batch_size=20, **QUICK)
    del model.shuffle
    for _ in range(3):
        model.partial_fit(*IRIS, classes=[0, 1, 2])
    return model


def sets_all_parameters_itself(library):
    parameters = neural_network.MLPClassifier((5,), **QUICK).get_params() | {"loss": "log_loss"}

    class Subclass(library.MLPClassifier):
        def __init__(self, alpha=1e-3):
            vars(self).update(parameters, alpha=alpha)

    return Subclass().fit(*IRIS)


def draws_its_own_weights(library):
    class Subclass(library.MLPRegressor):
        def _init_coef(self, fan_in, fan_out, dtype):
            coefs, intercepts = super()._init_coef(fan_in, fan_out, dtype)
            return 2 * coefs, np.full_like(intercepts, 0.5)

    return Subclass(hidden_layer_sizes=(5,), activation="tanh", **QUICK).fit(*DIABETES)


def removes_a_parameter(library):
    class Subclass(library.MLPClassifier):
        @classmethod
        def _get_param_names(cls):
            names = super()._get_param_names()
            names.remove("verbose")
            return names

    model = Subclass((5,), **QUICK)
    assert "verbose" not in model.get_params()
    assert "verbose" not in model.get_params()
    return model.fit(*IRIS)


@pytest.mark.parametrize(
    "fitted",
    [
        keeps_its_rows,
        has_a_property,
        has_an_attribute_of_the_class,
        sets_all_parameters_itself,
        draws_its_own_weights,
        removes_a_parameter,
    ],
)
def test_a_subclass_is_the_same_model(fitted):
    theirs, ours = (fitted(library) for library in LIBRARIES)
    for name in ("coefs_", "intercepts_"):
        for expected, array in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)


def test_attributes_of_a_subclass_stay_when_it_is_copied():
    class Subclass(fastmlp.MLPClassifier):
        def fit(self, X, y):
            super().fit(X, y)
            self._weights = np.bincount(y)
            return self

    globals()["Subclass"], Subclass.__qualname__ = Subclass, "Subclass"
    model = Subclass((5,), **QUICK).fit(*IRIS)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded._weights, [50, 50, 50])
    np.testing.assert_array_equal(loaded.predict(IRIS[0]), model.predict(IRIS[0]))


def test_initial_weights_of_a_subclass_must_fit():
    class Subclass(fastmlp.MLPClassifier):
        def _init_coef(self, fan_in, fan_out, dtype):
            return np.zeros((fan_out, fan_in)), np.zeros(fan_out)

    model = Subclass((5,), **QUICK)
    with pytest.raises(ValueError, match=r"_init_coef must return arrays of shape \(4, 5\), got \(5, 4\)"):
        model.fit(*IRIS)
    assert not hasattr(model, "coefs_")


HOOKS = [
    ("_backprop", {}),
    ("_forward_pass", {"solver": "lbfgs"}),
    ("_initialize", {}),
    ("_update_no_improvement_count", {"solver": "sgd"}),
    ("_fit_stochastic", {}),
    ("_fit_lbfgs", {"solver": "lbfgs"}),
    ("_score", {"early_stopping": True}),
    ("_predict", {"early_stopping": True}),
    ("_forward_pass_fast", {"early_stopping": True}),
]


@pytest.mark.parametrize(("hook", "options"), HOOKS)
def test_steps_of_training_that_are_not_called_are_refused(hook, options):
    model = type("Subclass", (fastmlp.MLPRegressor,), {hook: lambda self, *arguments: None})(**QUICK, **options)
    for method in ("fit", "partial_fit"):
        if method == "fit" or not {"lbfgs", True} & set(options.values()):
            with pytest.raises(TypeError, match=f"Subclass defines {hook}, which scikit-learn's training calls"):
                getattr(model, method)(*DIABETES)
            assert not hasattr(model, "coefs_")


@pytest.mark.parametrize(
    ("hook", "options"),
    [
        ("_predict", {}),
        ("_predict", {"early_stopping": True, "solver": "lbfgs"}),
        ("_score", {}),
        ("_fit_lbfgs", {}),
        ("_unpack", {"solver": "sgd", "learning_rate_init": 1e-6}),
        ("_fit_stochastic", {"solver": "lbfgs"}),
    ],
)
def test_methods_that_scikit_learn_would_not_call_either_are_left_alone(hook, options):
    def zeros(self, X, check_input=True):
        return np.zeros(len(X))

    fitted = [
        type("Subclass", (library.MLPRegressor,), {hook: zeros})(**QUICK, **options).fit(*DIABETES)
        for library in LIBRARIES
    ]
    theirs, ours = (model.predict(DIABETES[0]) for model in fitted)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)
    assert ours.any() == (hook != "_predict")


def test_parameters_that_are_tuples():
    class Subclass(fastmlp.MLPClassifier):
        def __init__(self, layers=([1],), max_iter=3):
            super().__init__(hidden_layer_sizes=(5,), max_iter=max_iter)
            self.layers = layers

    for _ in range(2):
        assert Subclass().fit(*IRIS).n_iter_ == 3


def test_constraints_that_are_replaced():
    class Subclass(fastmlp.MLPClassifier):
        pass

    Subclass((5,), alpha=0.5, **QUICK).fit(*IRIS)
    Subclass._parameter_constraints = fastmlp.MLPClassifier._parameter_constraints | {"alpha": [None]}
    for _ in range(2):
        with pytest.raises(ValueError, match="'alpha' parameter of Subclass"):
            Subclass((5,), alpha=0.5, **QUICK).fit(*IRIS)


def test_filters_of_scikit_learn_s_module_hold_for_lbfgs():
    for library in LIBRARIES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", module="sklearn")
            library.MLPClassifier((5,), solver="lbfgs", **QUICK).fit(*IRIS)
        assert not caught
