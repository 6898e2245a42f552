r"""
Saturated and dead units, and leaky ReLU
========================================

A unit learns through its derivative. A logistic or tanh unit far from 0 is *saturated*: its derivative is nearly 0. A
ReLU unit that is negative for every row is *dead*: its derivative is 0 everywhere, and so is the gradient of its
weights. In the first layer, without momentum from before and without a penalty, no step of training moves it again.
Leaky ReLU keeps a small slope there, so that its units can come back.
"""

# %%
# Dead units, counted by their gradients
# --------------------------------------
# Digits, 8 by 8 pixels, and one hidden layer of 50 units. Their biases start at -1, as a step of training that was too
# long might leave them. A ReLU unit is dead when the gradient of the loss over all rows is exactly 0 for all its
# weights.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastmlp import Network

X, y = load_digits(return_X_y=True)
X = X / 16
options = {"output_activation": "softmax", "loss": "log_loss", "random_state": 0}


def without_gradient(net):
    """Return for each unit of the first hidden layer whether it gets no gradient from any row."""
    dW, _ = net.gradients(X, y)
    return (dW[0] == 0).all(axis=0)


def negative(net):
    """Return for each unit of the first hidden layer whether it is negative for all rows."""
    return (net.preactivations(X)[0] <= 0).all(axis=0)


relu = Network([64, 50, 10], activation="relu", **options)
relu.intercepts[0][:] = -1
dead = without_gradient(relu)
start = relu.coefs[0].copy()
relu.fit(X, y, learning_rate=0.01, epochs=30)
dead_after = without_gradient(relu)
moved = (relu.coefs[0] != start).any(axis=0)
print(f"ReLU: {dead.sum()} of 50 units dead before training and {dead_after.sum()} after it")
print(f"weights of dead units that moved: {(moved & dead).sum()}")

# %%
# Cured by leaky ReLU
# -------------------
# The same weights under leaky ReLU: no unit is without gradient, and training brings units back among the living.

leaky = Network.from_weights(relu.coefs, relu.intercepts, activation="leaky_relu", **options)
counts = {"ReLU, trained": (int(dead_after.sum()), int(negative(relu).sum()))}
counts["leaky ReLU,\nsame weights"] = (int(without_gradient(leaky).sum()), int(negative(leaky).sum()))
leaky.fit(X, y, learning_rate=0.01, epochs=300)
counts["leaky ReLU,\ntrained on"] = (int(without_gradient(leaky).sum()), int(negative(leaky).sum()))
for name, (silent, below) in counts.items():
    print(f"{' '.join(name.split())}: {silent} units without gradient, {below} negative for all rows")

# %%
# Saturation, measured
# --------------------
# A logistic unit passes on :math:`g'(z) = a (1 - a)` of a gradient. Scaling up the initial weights saturates it: the
# median derivative in the hidden layer falls, and so does the gradient of the first layer.

slopes, gradients = {}, {}
scales = (1, 3, 10, 30)
for scale in scales:
    net = Network([64, 50, 10], activation="logistic", **options)
    net.coefs[0][:] *= scale
    a = net.activations(X)[0]
    slopes[scale] = float(np.median(a * (1 - a)))
    gradients[scale] = float(np.linalg.norm(net.gradients(X, y)[0][0]))
    print(f"weights times {scale}: median derivative {slopes[scale]:.1e}, gradient {gradients[scale]:.2e}")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for shift, what, values in zip(
    (-0.2, 0.2), ("without gradient", "negative for all rows"), zip(*counts.values(), strict=True), strict=True
):
    axes[0].bar_label(axes[0].bar(np.arange(3) + shift, values, width=0.4, label=what))
axes[0].set(xticks=range(3), xticklabels=list(counts), ylabel="hidden units, of 50")
axes[0].margins(y=0.3)
axes[0].legend()
axes[1].loglog(scales, list(slopes.values()), "o-", label="median derivative of the hidden units")
axes[1].loglog(scales, list(gradients.values()), "s-", label="norm of the first layer's gradient")
axes[1].set(xlabel="initial weights times", title="saturation of logistic units")
axes[1].legend()
plt.show()
