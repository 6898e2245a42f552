r"""
The perceptron rule, and where it goes round in circles
=======================================================

Rosenblatt's rule goes through the rows one by one and after each mistake moves the weights towards the right answer,

.. math:: w \leftarrow w + (y - a) x, \qquad b \leftarrow b + (y - a),

with a the step function of :math:`w^T x + b`. It ends with weights that are right everywhere if there are any (the
perceptron convergence theorem). For exclusive or there are none, and the rule cycles.
"""

# %%
# The rule
# --------
# Weights start at zero and stay integers, so a state that comes back is seen exactly. An epoch that begins with weights
# of an earlier one repeats what followed then, for ever.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network
from fastmlp.plotting import DecisionBoundary

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}


def perceptron_rule(y, max_epochs=100):
    """Return the perceptron, the mistakes of each epoch, and the epochs after which a state came back (or None)."""
    net = Network.from_weights([np.zeros((2, 1))], [[0.0]], output_activation="step")
    seen, mistakes = {}, []
    for epoch in range(max_epochs):
        state = tuple(net.get_parameters())
        if state in seen:
            return net, mistakes, (seen[state], epoch)
        seen[state] = epoch
        mistakes.append(0)
        for x, target in zip(X, y, strict=True):
            error = target - net.forward([x]).item()
            net.coefs[0][:, 0] += error * x
            net.intercepts[0][0] += error
            mistakes[-1] += int(error != 0)
        if mistakes[-1] == 0:
            break
    return net, mistakes, None


learned = {name: perceptron_rule(y) for name, y in TARGETS.items()}
for name, (net, mistakes, cycle) in learned.items():
    end = (
        "no mistake left" if cycle is None else f"the weights before epochs {cycle[0] + 1} and {cycle[1] + 1} are equal"
    )
    print(f"{name}: mistakes {mistakes}, w = {net.W(1)[0]}, b = {net.b(1)[0]}: {end}")

# %%
# What it found
# -------------
# A line for AND and for OR. For exclusive or, wherever the rule is interrupted, a line that is wrong somewhere.

fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained", sharey=True)
for ax, (name, (net, _, cycle)) in zip(axes, learned.items(), strict=True):
    options = {"levels": [0, 0.5, 1], "cmap": "RdBu_r", "alpha": 0.5}
    # A fine grid, because some of its points lie on the line itself, and rounding says on which side they are.
    DecisionBoundary.from_network(net, X, eps=0.5, grid_resolution=800, ax=ax, **options)
    ax.scatter(*X.T, c=TARGETS[name], cmap="gray_r", edgecolor="black", s=60, zorder=2)
    title = f"{name}: learned" if cycle is None else f"{name}: cycles"
    ax.set(title=title, aspect="equal", xticks=[0, 1], yticks=[0, 1])
plt.show()
