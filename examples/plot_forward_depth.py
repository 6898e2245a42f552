r"""
Depth against width, at equal parameters
========================================

A wide layer adds up many features of the inputs; a deep network makes features of features. For a function that is
itself composed, a function of a function of ..., the deep one does more with the same number of parameters.
"""

# %%
# A zigzag
# --------
# The tent map folds the interval in half; applied k times it has :math:`2^{k-1}` teeth (Telgarsky, 2015,
# arXiv:1509.08101). One fold takes two ReLU units, :math:`t(x) = 2 \max(x, 0) - 4 \max(x - \frac12, 0)`, so k layers of
# two units are enough, where one hidden layer of ReLU units needs a unit for each bend.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network


def folds(k):
    """k folds, by hand: hidden layers of two units."""
    tent = np.array([[2.0], [-4.0]])
    coefs = [np.array([[1.0, 1.0]])] + [tent @ [[1.0, 1.0]]] * (k - 1) + [tent]
    return Network.from_weights(coefs, [np.array([0.0, -0.5])] * k + [np.zeros(1)], activation="relu")


def teeth(y):
    """Number of tops of a zigzag."""
    return int(((y[1:-1] > y[:-2]) & (y[1:-1] > y[2:])).sum())


x = np.linspace(0, 1, 4097)[:, np.newaxis]
for k in (1, 2, 3, 4, 5):
    net = folds(k)
    print(f"{k} hidden layers, {net.n_parameters} parameters: {teeth(net.forward(x)[:, 0])} teeth")

# %%
# Learned, at equal parameters
# ----------------------------
# The zigzag with 4 teeth, learned by networks of about 220 parameters with one, two and three hidden layers: median and
# least error of ten starts each. With tanh the wide layer learns next to nothing where the deep networks do. With ReLU
# the wide layer, which needs but 8 of its 76 units, has the smallest median: the deep ones fail from many starts,
# though the best start of the deepest comes nearest. That something can be represented does not say that it is found.

y = folds(3).forward(x)[:, 0]
shapes = {1: [1, 76, 1], 2: [1, 13, 13, 1], 3: [1, 9, 9, 9, 1]}
errors, best = {}, {}
for activation in ("tanh", "relu"):
    for depth, units in shapes.items():
        found = errors[activation, depth] = []
        for seed in range(10):
            net = Network(units, activation=activation, random_state=seed)
            net.fit(2 * x[::16] - 1, y[::16], learning_rate=0.005, batch_size=32, epochs=2000)
            output = net.forward(2 * x - 1)[:, 0]
            found.append(float(np.sqrt(np.mean((output - y) ** 2))))
            if found[-1] == min(found):
                best[activation, depth] = output
        middle, least = np.median(found), min(found)
        print(f"{activation}, {units}, {net.n_parameters} parameters: {middle:.4f} (median), {least:.4f} (least)")

fig, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained", sharey=True)
axes[0].plot(x, folds(5).forward(x), color="black", linewidth=0.8)
axes[0].set(title="by hand: 5 layers of 2 units", xlabel="x")
for ax, (depth, units) in zip(axes[1:], shapes.items(), strict=True):
    for activation in ("tanh", "relu"):
        ax.plot(x, best[activation, depth], label=activation)
    ax.plot(x, y, "k:", linewidth=1, label="target")
    ax.set(title=f"learned: {units}", xlabel="x")
axes[0].set_ylim(-0.4, 1.5)
axes[1].legend(loc="upper right", ncols=3, fontsize="small")
plt.show()
