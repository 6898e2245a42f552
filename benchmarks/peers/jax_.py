"""JAX: one compiled call for any number of epochs, each a `lax.scan` over its batches."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .rows import (
    ALPHA,
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    PROOF_EPOCHS,
    Inference,
    Training,
    Unsupported,
)

UNROLL = 4
"""Steps in one turn of the loop over batches; for tiny networks four are faster than one, two or eight."""
ORDERS = 32
"""Epochs for which NumPy draws orders ahead; jax.random.permutation sorts, which takes longer than small epochs."""
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "identity": lambda z: z,
    "softmax": jax.nn.softmax,
}


class Library:
    def __init__(self, name, threads):
        pass  # XLA_FLAGS, PJRT_NPROC and the processors it may use say how many threads

    def version(self):
        return jax.__version__

    def prepare(self, row, shuffle):
        if not isinstance(row, Training | Inference):
            raise Unsupported("no such estimator")
        jax.config.update("jax_enable_x64", row.dtype == "float64")
        return training(row, shuffle) if isinstance(row, Training) else inference(row)


def forward(params, x, activation):
    """Return the outputs before the output activation."""
    for W, b in params[:-1]:
        x = activation(x @ W + b)
    W, b = params[-1]
    return x @ W + b


def mean_loss(row, params, x, y):
    z = forward(params, x, ACTIVATIONS[row.activation])
    if row.output == "identity":
        total = 0.5 * jnp.sum((z - y) ** 2)
    elif row.output == "logistic":
        total = jnp.sum(jnp.logaddexp(0.0, z) - z * y)
    else:
        # Targets are one-hot here: a product is faster than gathering one output of each row.
        total = jnp.sum(jax.nn.logsumexp(z, axis=1)) - jnp.sum(z * y)
    return (total + 0.5 * ALPHA * sum(jnp.sum(W * W) for W, _ in params)) / len(x)


def sgd(params, grads, state):
    (velocity,) = state
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v - LEARNING_RATE * g, velocity, grads)
    params = jax.tree.map(lambda p, v, g: p + MOMENTUM * v - LEARNING_RATE * g, params, velocity, grads)
    return params, (velocity,)


def adam(params, grads, state):
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, grads)
    # 1 - beta^t, which expm1 gives in full precision in float32, too.
    rate = -LEARNING_RATE * jnp.sqrt(-jnp.expm1(t * np.log(BETA_2))) / jnp.expm1(t * np.log(BETA_1))
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), params, m, v)
    return params, (m, v, t)


def training(row, shuffle):
    X, y = row.data
    if row.output == "softmax":
        y = np.eye(row.units[-1], dtype=row.dtype)[y]
    elif row.output == "logistic":
        y = y.astype(row.dtype)[:, np.newaxis]
    n, size = len(X), row.batch_size
    whole = n - n % size

    def step(carry, batch):
        params, state = carry
        loss, grads = jax.value_and_grad(lambda p: mean_loss(row, p, *batch))(params)
        return (sgd if row.solver == "sgd" else adam)(params, grads, state), loss * len(batch[0])

    def epoch(carry, X, y):
        batches = [a[:whole].reshape(-1, size, a.shape[1]) for a in (X, y)]
        carry, losses = lax.scan(step, carry, batches, unroll=UNROLL)
        total = losses.sum()
        if whole < n:
            carry, loss = step(carry, (X[whole:], y[whole:]))
            total += loss
        return carry, total / n

    @jax.jit
    def train(carry, X, y, orders, epochs):
        def body(i, carry):
            if shuffle:
                return epoch(carry[0], X[orders[i]], y[orders[i]])
            return epoch(carry[0], X, y)

        return lax.fori_loop(0, epochs, body, (carry, jnp.zeros((), row.dtype)))

    zeros = [(np.zeros_like(W), np.zeros_like(b)) for W, b in zip(*row.parameters(), strict=True)]
    state = (zeros,) if row.solver == "sgd" else (zeros, zeros, np.zeros((), row.dtype))
    start = jax.device_put((list(zip(*row.parameters(), strict=True)), state))
    X, y = jax.device_put((X, y))

    def fit(epochs):
        rng, carry = np.random.default_rng(0), start
        at_once = ORDERS if shuffle else epochs
        for first in range(0, epochs, at_once):
            now = min(at_once, epochs - first)
            # New for every call, which may read it after it has returned.
            orders = np.zeros((ORDERS if shuffle else 0, n), np.int32)
            if shuffle:
                orders[:now] = [rng.permutation(n) for _ in range(now)]
            carry, _ = train(carry, X, y, orders, now)
        return jax.block_until_ready(carry)[0]

    def run(epochs):
        fit(epochs)
        return epochs

    def loss():
        return row.loss(*zip(*jax.device_get(fit(PROOF_EPOCHS)), strict=True))

    return run, loss


def inference(row):
    params = jax.device_put(list(zip(*row.parameters(), strict=True)))
    X = row.inputs

    @jax.jit
    def outputs(params, x):
        return ACTIVATIONS[row.output](forward(params, x, ACTIVATIONS[row.activation]))

    def run(calls):
        for _ in range(calls):
            np.asarray(outputs(params, X))
        return calls

    return run, lambda: row.loss(np.asarray(outputs(params, X)))
