r"""
A perceptron and a logistic neuron: AND, OR and NOT
===================================================

A neuron weighs its inputs, adds a bias and applies an activation, :math:`a = g(w^T x + b)`. With the step function it
is a perceptron, with the logistic function a logistic neuron; the graph is the same. One set of weights, chosen by
hand, makes each of the elementary functions of logic.
"""

# %%
# Weights by hand
# ---------------
# AND fires when both inputs are 1, that is, when their sum exceeds 1.5; OR, when it exceeds 0.5; NOT turns its only
# input around. Each column of ``truth`` holds what the perceptron says about one row of inputs.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network
from fastmlp.plotting import DecisionBoundary

GATES = {"AND": ([1.0, 1.0], -1.5), "OR": ([1.0, 1.0], -0.5), "NOT": ([-1.0], 0.5)}


def neuron(weights, bias, activation, steepness=1.0):
    """One neuron: a network with one layer of one unit."""
    coefs, intercepts = [steepness * np.transpose([weights])], [[steepness * bias]]
    return Network.from_weights(coefs, intercepts, output_activation=activation)


def inputs(n):
    """All rows of n zeros and ones."""
    return np.array(np.meshgrid(*[[0.0, 1.0]] * n, indexing="ij")).reshape(n, -1).T


truth = {}
for name, (weights, bias) in GATES.items():
    truth[name] = neuron(weights, bias, "step").forward(inputs(len(weights)))[:, 0]
    print(name, truth[name])

# %%
# The same graph with another activation
# --------------------------------------
# The logistic neuron says the same by degrees. The steeper it is, the nearer to the perceptron: multiplying weights and
# bias by a constant moves no boundary.

logistic = {steepness: neuron(*GATES["AND"], "logistic", steepness) for steepness in (1, 4, 16)}
distance = {
    steepness: float(np.abs(net.forward(inputs(2))[:, 0] - truth["AND"]).max()) for steepness, net in logistic.items()
}
print(distance)

fig, axes = plt.subplots(1, 4, figsize=(12, 3.7), layout="constrained", sharey=True)
pictures = {"AND, step": neuron(*GATES["AND"], "step"), "OR, step": neuron(*GATES["OR"], "step")}
pictures |= {f"AND, logistic, steepness {steepness}": logistic[steepness] for steepness in (1, 4)}
for ax, (title, net) in zip(axes, pictures.items(), strict=True):
    DecisionBoundary.from_network(
        net, inputs(2), eps=0.5, ax=ax, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6
    )
    values = net.forward(inputs(2))[:, 0]
    ax.scatter(*inputs(2).T, c=values > 0.5, cmap="gray_r", edgecolor="black", s=60)
    ax.set(title=title, aspect="equal", xticks=[0, 1], yticks=[0, 1])
plt.show()
