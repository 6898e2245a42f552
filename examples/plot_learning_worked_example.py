r"""
The worked example, step by step to 10,000 steps
================================================

The 2-2-2 network that many lectures compute by hand: logistic units, squared error, one row of data. Every number of
the way there and back can be printed, drawn and explained, and after 10,000 steps the outputs are where they should be.
"""

# %%
# The network
# -----------

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network

x, y = [0.05, 0.10], [0.01, 0.99]


def worked_example():
    """The network as it starts."""
    net = Network([2, 2, 2], activation="logistic", output_activation="logistic", loss="squared_error")
    net.W(1)[:] = [[0.15, 0.20], [0.25, 0.30]]
    net.W(2)[:] = [[0.40, 0.45], [0.50, 0.55]]
    net.b(1)[:] = 0.35
    net.b(2)[:] = 0.60
    return net


net = worked_example()
trace = net.trace(x, y)
print(trace)

# %%
# In the circles stand the activations, on the lines the weights; derivatives of the loss are purple.

display = trace.plot(precision=4)

# %%
# One derivative, path by path
# ----------------------------
# The weight from the first hidden unit to the first output acts on the loss in one way, a weight of the first layer in
# two: through either output.

output_weight, first_weight = net.explain(x, y, 2, 1, 1), net.explain(x, y, 1, 1, 1)
print(output_weight)
print(first_weight)

# %%
# Steps
# -----
# Learning rate 1/2. The calculation by hand usually leaves the biases as they are; ``fit`` trains them, too.


def descend(net, n_steps):
    """Take steps on the weights alone and return the loss before each and after the last."""
    losses = [net.loss([x], [y])]
    for _ in range(n_steps):
        dW, _ = net.gradients([x], [y])
        for W, step in zip(net.coefs, dW, strict=True):
            W[:] -= 0.5 * step
        losses.append(net.loss([x], [y]))
    return losses


fixed, free = worked_example(), worked_example()
fixed_losses = descend(fixed, 10_000)
free_losses = free.fit([x], [y], solver="sgd", learning_rate=0.5, momentum=0.0, nesterov=False, epochs=10_000)
print(f"after one step {fixed_losses[1]:.9f}, after 10,000 {fixed_losses[-1]:.9f}, outputs {fixed.forward([x])[0]}")
print(f"with biases: after 10,000 steps {free.loss([x], [y]):.9f}, outputs {free.forward([x])[0]}")

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.loglog(np.arange(10_001) + 1, fixed_losses, label="weights alone")
ax.loglog(np.arange(10_000) + 1, free_losses, label="weights and biases")
ax.set(xlabel="step", ylabel="squared error")
ax.legend()
plt.show()
