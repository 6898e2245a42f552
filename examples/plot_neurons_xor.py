r"""
Exclusive or: by a network of perceptrons, then learned
=======================================================

No line separates (0, 1) and (1, 0) from (0, 0) and (1, 1). Two perceptrons make features in which one does: exclusive
or is OR and not AND. A network with differentiable units finds such features by itself.
"""

# %%
# By hand
# -------
# The first hidden unit computes OR, the second AND; the output unit fires for the first without the second.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network
from fastmlp.plotting import DecisionBoundary, NetworkDisplay

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([0.0, 1.0, 1.0, 0.0])

by_hand = Network.from_weights(
    coefs=[[[1.0, 1.0], [1.0, 1.0]], [[1.0], [-1.0]]],
    intercepts=[[-0.5, -1.5], [-0.5]],
    activation="step",
    output_activation="step",
)
print(by_hand.activations(X)[0])  # OR, AND
print(by_hand.forward(X)[:, 0])

# %%
# Learned
# -------
# Steps have no gradient; tanh units do. Two of them and a logistic output are enough, from a good start; with a bad one
# gradient descent may end in a local minimum or on a plateau. Of the starts 0 to 19 these learned it:

options = {"solver": "sgd", "learning_rate": 0.5, "momentum": 0.9, "batch_size": 4, "epochs": 1000}
good = []
for seed in range(20):
    net = Network([2, 2, 1], output_activation="logistic", loss="log_loss", random_state=seed)
    net.fit(X, y, **options)
    if (net.forward(X)[:, 0].round() == y).all():
        good.append(seed)
print(f"{len(good)} of 20: {good}")

learned = Network([2, 2, 1], output_activation="logistic", loss="log_loss", random_state=good[0])
losses = learned.fit(X, y, **options)
print(learned.forward(X)[:, 0].round(3))

fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", width_ratios=[1.6, 1, 1])
NetworkDisplay.from_network(by_hand, ax=axes[0])
for ax, title, net in zip(axes[1:], ("by hand", "learned"), (by_hand, learned), strict=True):
    DecisionBoundary.from_network(net, X, eps=0.5, ax=ax, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
    ax.scatter(*X.T, c=y, cmap="gray_r", edgecolor="black", s=60)
    ax.set(title=title, aspect="equal", xticks=[0, 1], yticks=[0, 1])
plt.show()
