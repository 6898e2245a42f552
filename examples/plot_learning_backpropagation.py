r"""
Backpropagation by paths, by matrices, and checked by differences
=================================================================

Three ways to the same gradient. The chain rule sums over every path from the loss to a weight, and their number grows
with the product of the layers' widths. Backpropagation, :math:`\delta^{[l]} = (W^{[l+1]T} \delta^{[l+1]}) \odot
g'(z^{[l]})`, takes what paths have in common out of the sum. Differences of the loss need no derivative at all, and so
check both.
"""

# %%
# By paths and by matrices
# ------------------------

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network

net = Network([3, 4, 4, 2], activation="tanh", output_activation="softmax", loss="log_loss", random_state=0)
x, y = np.array([0.5, -1.0, 2.0]), 1

explanation = net.explain(x, y, layer=1, i=2, j=3)
trace = net.trace(x, y)
print(f"{len(explanation.paths)} paths sum to {explanation.derivative:.12f}")
print(f"backpropagation gives   {trace.dW[1][1, 2]:.12f}")
by_paths = {
    layer: np.array([[net.explain(x, y, layer, i + 1, j + 1).derivative for j in range(n)] for i in range(m)])
    for layer, (m, n) in ((layer, net.W(layer).shape) for layer in (1, 2, 3))
}
paths_error = max(np.abs(by_paths[layer] - trace.dW[layer]).max() for layer in by_paths)
print(f"largest difference over all weights: {paths_error:.1e}")

# %%
# By differences
# --------------
# :math:`(L(w + h) - L(w - h)) / 2h` is wrong by two things: by the term of order :math:`h^2` that it leaves out, and by
# the rounding of the loss, divided by h. The best h lies where they meet, near the cube root of the machine epsilon.


def by_differences(h):
    """Return the gradient with respect to all parameters, in the order of ``net.get_parameters``."""
    theta, gradient = net.get_parameters(), []
    for k in range(len(theta)):
        losses = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * h
            net.set_parameters(moved)
            losses.append(net.loss([x], [y]))
        gradient.append((losses[0] - losses[1]) / (2 * h))
    net.set_parameters(theta)
    return np.array(gradient)


dW, db = net.gradients([x], [y])
exact = np.concatenate([part.ravel() for part in [*dW, *db]])
steps = np.logspace(-12, 0, 25)
errors = [np.linalg.norm(by_differences(h) - exact) / np.linalg.norm(exact) for h in steps]
best = float(steps[int(np.argmin(errors))])
print(f"best h: {best:.0e}, relative error there {min(errors):.1e}")

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.loglog(steps, errors, "o-", label="relative error of the differences")
ax.loglog(steps[-9:-2], errors[-3] * (steps[-9:-2] / steps[-3]) ** 2, "k--", label="$h^2$")
ax.loglog(steps[:9], errors[2] * (steps[2] / steps[:9]), "k:", label="$1/h$")
ax.set(xlabel="h")
ax.legend()
plt.show()
