r"""
Layers, shapes and parameters: a 4-3-1 network on 3 inputs
==========================================================

In layer :math:`l` every unit weighs the outputs of the layer before, so the layer is a matrix and a vector,

.. math:: z^{[l]} = W^{[l]} a^{[l-1]} + b^{[l]}, \qquad a^{[l]} = g(z^{[l]}), \qquad a^{[0]} = x.
"""

# %%
# Shapes
# ------
# Layer 1 has 4 units that read 3 inputs each: :math:`W^{[1]}` has 4 rows and 3 columns.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network
from fastmlp.plotting import NetworkDisplay

net = Network([3, 4, 3, 1], activation="logistic", random_state=0)
shapes = {layer: (net.W(layer).shape, net.b(layer).shape) for layer in (1, 2, 3)}
for layer, (W, b) in shapes.items():
    print(f"layer {layer}: W {W}, b {b}, {W[0] * W[1] + b[0]} parameters")
print(net.n_parameters, "parameters")

# %%
# One row, unit by unit and by matrices
# -------------------------------------


def forward(x):
    """The formulas above."""
    a = x
    for layer in (1, 2, 3):
        z = net.W(layer) @ a + net.b(layer)
        a = 1 / (1 + np.exp(-z)) if layer < 3 else z
    return a


x = np.array([0.5, -1.0, 2.0])
unit = sum(net.W(1)[0, j] * x[j] for j in range(3)) + net.b(1)[0]
print("z of the first unit of layer 1:", unit, "or", net.preactivations([x])[0][0, 0])
print("output:", forward(x), "or", net.forward([x])[0])

# %%
# All rows at once
# ----------------
# With the rows of X below each other, :math:`Z^{[l]} = A^{[l-1]} W^{[l]T} + b^{[l]T}`: one product of matrices for all.

X = np.random.default_rng(0).normal(size=(1000, 3))
one_by_one = np.array([forward(x) for x in X])
at_once = net.forward(X)
print([a.shape for a in net.activations(X)])
print("largest difference:", np.abs(one_by_one - at_once).max())

NetworkDisplay.from_network(net)
plt.show()
