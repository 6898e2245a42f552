r"""
Gradient descent on a surface that one can see
==============================================

A network with two parameters has a loss that is a surface over a plane. Gradient descent goes downhill on it, each step
:math:`w \leftarrow w - \eta \nabla L(w)` across the contour lines; the learning rate decides whether it creeps,
arrives, or jumps over the valley.
"""

# %%
# Two parameters
# --------------
# One logistic neuron with a weight and a bias, and the log loss of six rows.

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network

X = np.array([[-2.0], [-1.0], [-0.5], [0.5], [1.0], [2.5]])
y = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])


def neuron(w, b):
    """A logistic neuron with one input."""
    return Network.from_weights([[[w]]], [[b]], output_activation="logistic", loss="log_loss")


def descend(learning_rate, n_steps, w=-2.0, b=2.0):
    """Return the points of gradient descent, and the losses there."""
    net = neuron(w, b)
    points, losses = [(w, b)], [net.loss(X, y)]
    for _ in range(n_steps):
        (dW,), (db,) = net.gradients(X, y)
        net.coefs[0][:] -= learning_rate * dW
        net.intercepts[0][:] -= learning_rate * db
        points.append((net.coefs[0].item(), net.intercepts[0].item()))
        losses.append(net.loss(X, y))
    return np.array(points), losses


runs = {rate: descend(rate, 40) for rate in (0.1, 1.0, 8.0)}
for rate, (_, losses) in runs.items():
    rises = sum(after > before for before, after in pairwise(losses))
    print(f"rate {rate}: loss {losses[0]:.3f} -> {losses[-1]:.3f}, {rises} of 40 steps uphill")

# %%
# The gradient is the direction of steepest ascent
# ------------------------------------------------
# Of all directions of length 1 the loss rises fastest, to first order, in that of the gradient.

net, h = neuron(-2.0, 2.0), 1e-6
angles = np.linspace(0, 2 * np.pi, 3601)
rises = [neuron(-2 + h * np.cos(t), 2 + h * np.sin(t)).loss(X, y) - net.loss(X, y) for t in angles]
steepest = angles[int(np.argmax(rises))]
(dW,), (db,) = net.gradients(X, y)
of_gradient = float(np.arctan2(db.item(), dW.item()) % (2 * np.pi))
print(f"steepest at {np.degrees(steepest):.1f} degrees, gradient at {np.degrees(of_gradient):.1f} degrees")

w, b = np.meshgrid(np.linspace(-3, 5, 81), np.linspace(-3, 3, 61))
surface = np.array([[neuron(*point).loss(X, y) for point in zip(*row, strict=True)] for row in zip(w, b, strict=True)])
fig = plt.figure(figsize=(12, 4.4), layout="constrained")
solid = fig.add_subplot(1, 2, 1, projection="3d")
solid.plot_surface(w, b, surface, cmap="viridis", alpha=0.8)
solid.set(xlabel="w", ylabel="b", zlabel="loss")
flat = fig.add_subplot(1, 2, 2)
flat.contour(w, b, surface, levels=25, cmap="viridis", linewidths=0.8)
for rate, (points, _) in runs.items():
    flat.plot(*points.T, marker=".", linewidth=1, label=f"learning rate {rate}")
flat.set(xlabel="w", ylabel="b", xlim=(-3, 5), ylim=(-3, 3))
flat.legend(loc="lower left")
plt.show()
