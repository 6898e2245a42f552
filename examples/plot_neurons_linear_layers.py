r"""
Linear layers collapse into one
===============================

Without activations a network of any depth computes one affine map,

.. math:: W^{[2]} (W^{[1]} x + b^{[1]}) + b^{[2]} = (W^{[2]} W^{[1]}) x + (W^{[2]} b^{[1]} + b^{[2]}),

so it learns nothing that a single layer does not. What makes depth worth having is the activation between the layers.
"""

# %%
# Multiply the layers of a network out
# ------------------------------------

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network

deep = Network([3, 5, 4, 2], activation="identity", random_state=0)


def collapse(net):
    """Return the one layer that a network of linear layers is."""
    W, b = np.eye(net.units[0]), np.zeros(net.units[0])
    for layer in range(1, len(net.units)):
        W, b = net.W(layer) @ W, net.W(layer) @ b + net.b(layer)
    return Network.from_weights([W.T], [b])


single = collapse(deep)
X = np.random.default_rng(0).normal(size=(1000, 3))
difference = np.abs(deep.forward(X) - single.forward(X)).max()
print(f"{deep.n_parameters} parameters or {single.n_parameters}: outputs differ by at most {difference:.1e}")

# %%
# Exclusive or again
# ------------------
# So a linear network of three layers fits the line that least squares fits, here the constant 1/2; the same network
# with tanh between the layers learns exclusive or.

corners, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0, 1.0, 0.0])
outputs = {}
for activation in ("identity", "tanh"):
    net = Network([2, 8, 8, 1], activation=activation, random_state=0)
    net.fit(corners, y, learning_rate=0.01, epochs=2000)
    outputs[activation] = net.forward(corners)[:, 0]
    print(activation, outputs[activation].round(3) + 0.0)

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
places = np.arange(4)
for shift, (activation, values) in zip((-0.2, 0.2), outputs.items(), strict=True):
    ax.bar(places + shift, values, width=0.4, label=f"{activation} between the layers")
ax.scatter(places, y, color="black", zorder=2, label="target")
ax.set(xticks=places, xticklabels=["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"], ylabel="output", ylim=(-0.05, 1.5))
ax.legend()
plt.show()
