"""Latency of predictions, of `partial_fit` and of short fits, beside scikit-learn and onnxruntime.

Run ``python benchmarks/latency.py``; onnxruntime is measured where it and onnx are installed, frames where pandas is.
One processor, one thread each. Everything in a block is measured in turn, round after round, so that all meet the same
moods of the machine; printed are the least and the median time of a call in microseconds, and how many times longer the
others took in their least. onnxruntime gets the network itself (Gemm, Relu, Softmax) with the same weights in float32.
"""

import argparse
import os

os.environ |= dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "FASTMLP_NUM_THREADS"], "1")
if hasattr(os, "sched_setaffinity"):
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(processors)})
else:
    processors = set()

# The number of threads is read when the libraries are imported.
import platform
import statistics
import threading
import time
import timeit
import warnings

import numpy as np
import sklearn
from scipy.sparse import csc_array, csr_array
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor

from fastmlp import MLPClassifier, MLPRegressor, __version__
from fastmlp.backends import get_backend

try:
    import onnx
    import onnxruntime
except ImportError:
    onnxruntime = None
try:
    import pandas
except ImportError:
    pandas = None


def measure(calls, rounds, seconds=0.002):
    """Return (least, median) microseconds of each call, measured in turn; a call is a statement and its names."""
    timers = {name: timeit.Timer(statement, globals=names) for name, (statement, names) in calls.items()}
    counts = {}
    for name, timer in timers.items():
        timer.timeit(1)  # the first call binds
        counts[name] = max(1, int(seconds / timer.timeit(1)))
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, timer in timers.items():
            times[name].append(timer.timeit(counts[name]) / counts[name] * 1e6)
    return {name: (min(found), statistics.median(found)) for name, found in times.items()}


def show(title, found, ours):
    print(f"\n{title}")
    least = found[ours][0]
    for name, (best, median) in found.items():
        ratio = "" if name == ours else f"{best / least:9.2f}x"
        print(f"    {name:<44}{best:11.3f}{median:11.3f}{ratio}", flush=True)


def onnx_session(model):
    """Return ``f(X)`` that runs the network of a fitted scikit-learn estimator in onnxruntime, on one thread."""
    helper, numbers = onnx.helper, onnx.TensorProto.FLOAT
    nodes, initializers, last = [], [], "X"
    n_layers = len(model.coefs_)
    outputs = {"softmax": "Softmax", "identity": None}[model.out_activation_]
    for i, (W, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        initializers += [
            onnx.numpy_helper.from_array(W.astype(np.float32), f"W{i}"),
            onnx.numpy_helper.from_array(b.astype(np.float32), f"b{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"W{i}", f"b{i}"], [f"z{i}"]))
        kind = "Relu" if i < n_layers - 1 else outputs
        last = f"z{i}"
        if kind:
            nodes.append(helper.make_node(kind, [last], [f"a{i}"]))
            last = f"a{i}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("X", numbers, [None, model.coefs_[0].shape[0]])],
        [helper.make_tensor_value_info(last, numbers, [None, model.coefs_[-1].shape[1]])],
        initializers,
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(built.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [last]
    return lambda X: session.run(names, {"X": X})[0]


def bare_call(model, x, out):
    """Return a call of the C function with nothing around it but the two buffers that it needs."""
    weights = model._shown_weights
    binding = get_backend("c").bind(
        model._network_spec(weights.layout, weights.vector.dtype), weights.vector, "outputs"
    )
    names = {"predict": binding.predict, "struct": binding.struct, "view": binding.view, "chars": binding.chars}
    return "predict(struct, 1, view(chars, x), view(chars, out, True))", {**names, "x": x, "out": out}


def fitted(ours, theirs, dtype):
    """Return both libraries' estimators with the same weights, and rows."""
    rng = np.random.default_rng(0)
    is_classifier = ours is MLPClassifier
    X = rng.normal(size=(1000, 64 if is_classifier else 8)).astype(dtype)
    y = rng.integers(0, 10, 1000) if is_classifier else X.sum(axis=1)
    options = {"hidden_layer_sizes": (100,) if is_classifier else (64, 64), "max_iter": 3, "random_state": 0}
    models = ours(**options).fit(X, y), theirs(**options).fit(X, y)
    for mine, other in zip(
        models[0].coefs_ + models[0].intercepts_, models[1].coefs_ + models[1].intercepts_, strict=True
    ):
        mine[:] = other
    return *models, X


def one_row(rounds):
    for ours, theirs, methods in (
        (MLPClassifier, SklearnClassifier, ("predict_proba", "predict")),
        (MLPRegressor, SklearnRegressor, ("predict",)),
    ):
        for dtype in ("float32", "float64"):
            model, other, X = fitted(ours, theirs, dtype)
            x = X[:1].copy()
            predictor = model.predictor()
            out = predictor(x)
            calls = {}
            for method in methods:
                calls[method] = (f"model.{method}(x)", {"model": model, "x": x})
                calls[f"scikit-learn's {method}"] = (f"model.{method}(x)", {"model": other, "x": x})
            calls |= {
                "predictor": ("f(x)", {"f": predictor, "x": x}),
                "predictor with out": ("f(x, out)", {"f": predictor, "x": x, "out": out}),
                "bare call of C": bare_call(model, x, out),
            }
            if onnxruntime and dtype == "float32":
                run = onnx_session(other)
                np.testing.assert_allclose(run(X).squeeze(), model.predictor()(X), rtol=1e-3, atol=1e-5)
                calls["onnxruntime"] = ("f(x)", {"f": run, "x": x})
            shape = "-".join(map(str, model._shown_weights.layout.units))
            show(f"one row of {shape}, {dtype}", measure(calls, rounds), methods[0])


def frame(X):
    """Return rows as a frame with names of columns."""
    return pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])


def forms(rounds):
    model, other, X = fitted(MLPClassifier, SklearnClassifier, "float64")
    x = X[:1].copy()
    given = {"a list": x.tolist(), "integers": x.astype(int), "float32": x.astype("float32")}
    given["a row of columns"] = np.asfortranarray(X)[:1]
    given |= {"CSR": csr_array(x), "CSC": csc_array(x)}
    if pandas:
        given["a frame"] = frame(x)
    for name, x in given.items():
        calls = {}
        for library, estimator in (("", model), ("scikit-learn's ", other)):
            if name == "a frame":
                estimator.feature_names_in_ = np.array(x.columns, dtype=object)
            calls[f"{library}predict"] = ("model.predict(x)", {"model": estimator, "x": x})
        show(f"one row of 64-100-10, float64, given as {name}", measure(calls, rounds), "predict")


def short_fits(rounds):
    X, y = load_iris(return_X_y=True)
    for name, rows in (("an array", X), ("a list", X.tolist()), *([("a frame", frame(X))] if pandas else [])):
        for what in ("fit(X, y)", "fit(X, y).score(X, y)"):
            calls = {}
            for library, cls in (("", MLPClassifier), ("scikit-learn's ", SklearnClassifier)):
                names = {"model": cls(max_iter=1, random_state=0), "X": rows, "y": y}
                calls[f"{library}{what}"] = (f"model.{what}", names)
            show(f"one epoch on the irises, 4-100-3, given as {name}", measure(calls, rounds), what)


def many_rows(rounds):
    for ours, theirs in ((MLPClassifier, SklearnClassifier), (MLPRegressor, SklearnRegressor)):
        model, other, X = fitted(ours, theirs, "float32")
        method = "predict_proba" if ours is MLPClassifier else "predict"
        run = onnx_session(other) if onnxruntime else None
        for n in (1000, 100_000):
            rows = np.tile(X, (n // len(X), 1))
            calls = {
                method: (f"model.{method}(X)", {"model": model, "X": rows}),
                f"scikit-learn's {method}": (f"model.{method}(X)", {"model": other, "X": rows}),
            }
            if ours is MLPClassifier:
                calls["predict"] = ("model.predict(X)", {"model": model, "X": rows})
            if run:
                calls["onnxruntime"] = ("f(X)", {"f": run, "X": rows})
            shape = "-".join(map(str, model._shown_weights.layout.units))
            show(f"{n} rows of {shape}, float32", measure(calls, rounds if n == 1000 else max(5, rounds // 5)), method)


def partial_fits(rounds):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 64)), rng.integers(0, 10, 500)
    for name, seed in (("an int", 0), ("None", None), ("an instance", np.random.RandomState(0))):
        options = {"hidden_layer_sizes": (30,), "solver": "sgd", "random_state": seed}
        ours, theirs = (
            cls(**options).partial_fit(X, y, classes=np.arange(10)) for cls in (MLPClassifier, SklearnClassifier)
        )
        for n in (1, 32):
            names = {"X": X[:n].copy(), "y": y[:n].copy()}
            calls = {
                "partial_fit": ("model.partial_fit(X, y)", {"model": ours, **names}),
                "scikit-learn's partial_fit": ("model.partial_fit(X, y)", {"model": theirs, **names}),
            }
            title = f"partial_fit of {n} row{'s' * (n > 1)}, 64-30-10, sgd, float64, random_state {name}"
            show(title, measure(calls, rounds), "partial_fit")


def scaling(seconds=0.5):
    """Print how much more two threads do than one, each on a processor of its own where there are two."""
    if processors:
        os.sched_setaffinity(0, processors)
    model, _, X = fitted(MLPClassifier, SklearnClassifier, "float32")
    rows = np.tile(X, (10, 1))

    def work(call, barrier, counts, i):
        barrier.wait()
        end, n = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            call()
            n += 1
        counts[i] = n

    def rate(make, n_threads):
        barrier, counts = threading.Barrier(n_threads), [0] * n_threads
        threads = [threading.Thread(target=work, args=(make(i), barrier, counts, i)) for i in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds

    x, y = X[:1].copy(), np.arange(len(rows)) % 10

    def fitting(i):
        estimator = MLPClassifier(max_iter=3, random_state=i)
        return lambda: estimator.fit(rows, y)

    print(
        f"\ntwo threads, {len(processors) or os.cpu_count()} processors: calls a second in all, and times those of one"
    )
    for name, make in (
        ("predict_proba of one estimator, 1 row", lambda i: lambda: model.predict_proba(x)),
        ("predict_proba of one estimator, 1000 rows", lambda i: lambda: model.predict_proba(X)),
        ("fits of different estimators, 10,000 rows", fitting),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone, together = [], []
            for _ in range(5):
                alone.append(rate(make, 1))
                together.append(rate(make, 2))
        print(f"    {name:<44}{max(together):13.1f}{max(together) / max(alone):9.2f}x", flush=True)


BLOCKS = {
    "one": one_row,
    "forms": forms,
    "many": many_rows,
    "partial": partial_fits,
    "fits": short_fits,
    "scaling": lambda rounds: scaling(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("blocks", nargs="*", default=list(BLOCKS), metavar="block", help=", ".join(BLOCKS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    backend = get_backend()
    print(f"fastmlp {__version__}: backend {backend.name}, instruction set {backend.isa}, one thread")
    print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, Python {platform.python_version()}")
    print(f"onnxruntime {onnxruntime.__version__}" if onnxruntime else "without onnxruntime")
    print(f"{arguments.rounds} rounds; microseconds a call: least, median, and times the least of the first")
    for name in arguments.blocks:
        BLOCKS[name](arguments.rounds)


if __name__ == "__main__":
    main()
