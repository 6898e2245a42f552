r"""
Zero-centred or not: when all gradients of a unit share a sign
==============================================================

The derivatives of the loss with respect to the weights of unit i are :math:`\partial L / \partial w_{ij} = \delta_i
a_j`. When all inputs :math:`a_j` of the unit are positive, as outputs of logistic units are, all have the sign of
:math:`\delta_i`: after one row all weights of the unit rise together or fall together, and a step to where some should
rise and others fall is made in zigzags. Outputs of tanh have both signs.
"""

# %%
# Counted
# -------
# For each row of data, the share of units in the second hidden layer whose weights all move in the same direction.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(200, 5)), rng.normal(size=(200, 1))
shares = {}
for activation in ("logistic", "tanh"):
    net = Network([5, 6, 6, 1], activation=activation, random_state=0)
    signs = [np.sign(net.trace(x, y).dW[2]) for x, y in zip(X, Y, strict=True)]
    shares[activation] = float(np.mean([np.abs(sign.sum(axis=1)) == sign.shape[1] for sign in signs]))
print(shares)

# %%
# The zigzag
# ----------
# One linear unit with two inputs, whose best weights are 1 and -1. With inputs in (0, 2) both derivatives of a row
# share a sign, and the path goes to and fro; with the same inputs moved to mean 0, and stretched so that their mean
# square is about that of before, it does not. At each rate the zigzag is three quarters longer and takes three times
# as many steps or more: along the line where both weights change together it moves far, and across that line hardly.

w_best = np.array([1.0, -1.0])
inputs = rng.uniform(0, 2, size=(400, 2))


def descend(data, rate):
    """Return the weights before each step, one for each row of data, and after the last."""
    net = Network.from_weights([np.array([[-1.0], [-0.5]])], [[0.0]])
    path = [net.coefs[0][:, 0].copy()]
    for x in data:
        (dW,), _ = net.gradients([x], [x @ w_best])
        net.coefs[0][:] -= rate * dW  # the bias stays 0
        path.append(net.coefs[0][:, 0].copy())
    return np.array(path)


paths, steps, lengths = {}, {}, {}
for name, data in {"inputs in (0, 2)": inputs, "inputs of mean 0": 2 * (inputs - 1)}.items():
    for rate in (0.05, 0.1, 0.2):
        path = paths[name, rate] = descend(data, rate)
        steps[name, rate] = int((np.linalg.norm(path - w_best, axis=1) > 0.05).sum())
        lengths[name, rate] = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
        print(f"{name}, rate {rate}: {steps[name, rate]} steps farther than 0.05 from the best weights, ", end="")
        print(f"a way {lengths[name, rate]:.3g} long")

fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
axes[0].bar(list(shares), list(shares.values()), color=["#d6604d", "#2166ac"])
axes[0].set(ylabel="share of units", title="all gradients of a unit\nhave the same sign", ylim=(0, 1.05))
for ax, name in zip(axes[1:], ("inputs in (0, 2)", "inputs of mean 0"), strict=True):
    ax.plot(*paths[name, 0.2].T, marker=".", linewidth=0.8)
    ax.plot(*w_best, "k*", markersize=12)
    ax.set(title=f"{name}, rate 0.2", xlabel="first weight", ylabel="second weight", xlim=(-1.2, 1.3), ylim=(-1.3, 0.7))
plt.show()
