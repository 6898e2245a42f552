r"""
An activation and a loss of your own
====================================

`fastmlp.activation` and `fastmlp.loss` register a function of one number, given with its derivative: networks and
estimators then take it like one of the library's. Numba compiles it for the C kernels, and the derivative is compared
with differences before anything is trained with it.
"""

# %%
# A bump, and exclusive or with a single unit
# -------------------------------------------
# The Gaussian :math:`g(z) = e^{-z^2}` is near 1 only where :math:`z` is near 0, so that one unit cuts a strip out of
# the plane, where a sigmoid has a half-plane. Exclusive or lies in a strip: no hidden layer is needed.

import math

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import fastmlp
from fastmlp import MLPRegressor, Network
from fastmlp.plotting import ActivationDisplay, DecisionBoundary


@fastmlp.activation(derivative=lambda z: -2 * z * math.exp(-z * z), needs="preactivation", range=(0, 1))
def bump(z):
    """exp(-z^2): 1 at 0, and next to nothing beyond 2."""
    return math.exp(-z * z)


X, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0, 1.0, 0.0])
one_unit = Network([2, 1], output_activation=bump, random_state=2)
one_unit.fit(X, y, learning_rate=0.05, epochs=500)
print(one_unit.forward(X).ravel().round(2), one_unit.W(1).round(2), one_unit.b(1).round(2))

# %%
# A wrong derivative
# ------------------
# The factor 2 is missing. The error names a point and says what the derivative is there.

try:
    fastmlp.activation(
        lambda z: math.exp(-z * z), name="wrong", derivative=lambda z: -z * math.exp(-z * z), needs="preactivation"
    )
except ValueError as error:
    refusal = str(error)
    print(refusal)

# %%
# The same as one of the library's
# --------------------------------
# swish is what the library calls silu. After training on digits the weights are the same, but for rounding.


def swish_derivative(z):
    """In terms of z, since swish takes most of its negative values twice."""
    s = 1 / (1 + math.exp(-z))
    return s + z * s * (1 - s)


swish = fastmlp.activation(
    lambda z: z / (1 + math.exp(-z)), name="swish", derivative=swish_derivative, needs="preactivation"
)
pixels, digit = load_digits(return_X_y=True)
nets = [
    Network([64, 100, 10], activation=activation, output_activation="softmax", loss="log_loss", random_state=0)
    for activation in (swish, "silu")
]
for net in nets:
    net.fit(pixels / 16, digit, epochs=20)
accuracy = float(np.mean(nets[0].forward(pixels / 16).argmax(axis=1) == digit))
largest = float(np.abs(nets[0].get_parameters() - nets[1].get_parameters()).max())
print(f"accuracy {accuracy:.3f}, largest difference of a weight {largest:.0e}")

# %%
# A loss that does not mind outliers
# ----------------------------------
# The squared error of one wild measurement outweighs many good ones. The pseudo-Huber loss
# :math:`\sqrt{1 + (a - y)^2} - 1` is a parabola near 0 and a straight line far away, where its derivative is at most 1.


@fastmlp.loss(derivative=lambda a, y: (a - y) / math.sqrt(1 + (a - y) ** 2))
def pseudo_huber(a, y):
    """A parabola near 0, straight far away."""
    return math.sqrt(1 + (a - y) ** 2) - 1


rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (200, 1))
measured = 2 * x[:, 0] + rng.normal(scale=0.2, size=200)
measured[x[:, 0] > 0.9] += 10
lines, slopes = {}, {}
for name in ("squared_error", "pseudo_huber"):
    lines[name] = MLPRegressor(name, (), solver="lbfgs", alpha=0.0, random_state=0).fit(x, measured)
    slopes[name] = lines[name].coefs_[0].item()
    print(f"{name}: slope {slopes[name]:.2f}, where 2 is right")

fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
ActivationDisplay.from_activation(bump, z=np.linspace(-4, 4, 401), ax=axes[0])
DecisionBoundary.from_network(one_unit, X, ax=axes[1])
axes[1].scatter(*X.T, c=y, cmap="coolwarm", edgecolors="black")
axes[1].set(title="exclusive or, by one unit", xticks=[0, 1], yticks=[0, 1])
axes[2].plot(x, measured, ".", color="grey", label="measured")
ends = np.array([[-1.0], [1.0]])
for (name, line), style in zip(lines.items(), ("--", "-"), strict=True):
    axes[2].plot(ends, line.predict(ends), style, label=name)
axes[2].set(title="a line and a few outliers", xlabel="x", xticks=[-1, 0, 1])
axes[2].legend()
plt.show()
