r"""
What can be modelled: bumps of sigmoids, and ever better approximations
=======================================================================

Two steep sigmoids, one up and one down, make a bump; bumps side by side make any continuous function on an interval as
nearly as one likes. That is the idea behind the theorem that one hidden layer suffices (Cybenko, 1989,
https://doi.org/10.1007/BF02551274; Hornik, Stinchcombe and White, 1989, https://doi.org/10.1016/0893-6080(89)90020-8).
"""

# %%
# A bump
# ------
# :math:`\sigma(k (x - l)) - \sigma(k (x - r))` rises at l and falls at r, the more sharply the larger k is.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPRegressor, Network


def bumps(edges, heights, steepness):
    """A network with one bump of the given height between each two neighbouring edges."""
    left, right = np.asarray(edges[:-1]), np.asarray(edges[1:])
    W = np.full((1, 2 * len(left)), steepness)
    b = -steepness * np.concatenate([left, right])
    out = np.concatenate([heights, -np.asarray(heights)])[:, np.newaxis]
    return Network.from_weights([W, out], [b, [0.0]], activation="logistic")


x = np.linspace(0, 1, 2001)[:, np.newaxis]
one = {k: bumps([0.4, 0.6], [1.0], k).forward(x)[:, 0] for k in (30.0, 100.0, 1000.0)}

# %%
# A function made of bumps
# ------------------------
# As high as the function in the middle of each: with twice as many bumps half the error. The root mean squared error,
# by the number of hidden units, two for each bump:


def target(x):
    """A continuous function on [0, 1]."""
    return np.sin(2 * np.pi * x) + 0.5 * np.cos(5 * np.pi * x)


def root_mean_square(error):
    """The root of the mean of squares."""
    return float(np.sqrt(np.mean(error**2)))


by_hand = {}
for n in (5, 10, 20, 40, 80):
    edges = np.linspace(0, 1, n + 1)
    # The outer edges lie beyond the interval, so that the first and the last bump do not fall within it.
    edges[[0, -1]] = -1, 2
    middle = (np.arange(n) + 0.5) / n
    net = bumps(edges, target(middle), steepness=1e4)
    by_hand[2 * n] = root_mean_square(net.forward(x)[:, 0] - target(x[:, 0]))
print("by hand:", {units: round(error, 4) for units, error in by_hand.items()})

# %%
# Learned
# -------
# Training places the sigmoids better than we did. The same error of the best of five starts:

warnings.simplefilter("ignore", ConvergenceWarning)  # 1500 iterations are enough for the picture
options = {"activation": "tanh", "solver": "lbfgs", "alpha": 0, "max_iter": 1500, "max_fun": 10**6, "tol": 1e-9}
learned, outputs = {}, {}
for width in (1, 2, 4, 8, 16):
    for seed in range(5):
        reg = MLPRegressor(hidden_layer_sizes=(width,), random_state=seed, **options)
        reg.fit(4 * x[::10] - 2, target(x[::10, 0]))
        output = reg.predict(4 * x - 2)
        error = root_mean_square(output - target(x[:, 0]))
        if error < learned.get(width, np.inf):
            learned[width], outputs[width] = error, output
print("learned:", {width: round(error, 4) for width, error in learned.items()})

fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for k, y in one.items():
    axes[0].plot(x, y, label=f"steepness {k:g}")
axes[0].set(title="two sigmoids make a bump", xlabel="x")
axes[1].plot(x, target(x), color="black", label="target")
for width in (1, 2, 4):
    axes[1].plot(x, outputs[width], label=f"{width} hidden unit{'s' * (width > 1)}")
axes[1].set(title="learned", xlabel="x")
axes[2].loglog(list(by_hand), list(by_hand.values()), "s-", label="bumps by hand")
axes[2].loglog(list(learned), list(learned.values()), "o-", label="learned")
axes[2].set(title="root mean squared error", xlabel="hidden units")
axes[0].set_ylim(-0.05, 1.5)
for ax in axes:
    ax.legend(loc="upper right")
plt.show()
