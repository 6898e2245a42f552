r"""
The 8-3-8 network learns a code of three bits
=============================================

Eight patterns, each a single 1 among eight zeros, go in and are to come out again, through three hidden units. To pass
through, they must become eight different codes, and the hidden units learn something like the numbers 0 to 7 in binary.
(Rumelhart, Hinton and Williams, 1986; T. Mitchell, *Machine Learning*, 1997, section 4.6.4.)
"""

# %%
# Learning rate 0.3, no momentum, weights from (-0.1, 0.1), 5000 passes
# ---------------------------------------------------------------------
# One step after each pattern, in fixed order. A pattern is correct when the right output, and no other, is above 1/2.
# One start proves little, so we try twenty.

import matplotlib.pyplot as plt
import numpy as np

from fastmlp import Network

X = np.eye(8)


def learn(seed, passes=5000):
    """Return the network and its losses."""
    net = Network([8, 3, 8], activation="logistic", output_activation="logistic", loss="squared_error")
    net.set_parameters(np.random.RandomState(seed).uniform(-0.1, 0.1, net.n_parameters))
    losses = net.fit(
        X,
        X,
        solver="sgd",
        learning_rate=0.3,
        momentum=0.0,
        nesterov=False,
        batch_size=1,
        shuffle=False,
        epochs=passes,
    )
    return net, losses


def correct(net):
    """Return for each pattern whether it comes out."""
    return ((net.forward(X) > 0.5) == X).all(axis=1)


n_correct = {seed: int(correct(learn(seed)[0]).sum()) for seed in range(20)}
good = [seed for seed, n in n_correct.items() if n == 8]
print(f"correct patterns by seed: {n_correct}")
print(f"all eight with {len(good)} of 20 seeds: {good}")

# %%
# The code
# --------

seed = good[0]
net, losses = learn(seed)
hidden = net.activations(X)[0]
code = (hidden > 0.5).astype(int)
for values, bits in zip(hidden, code, strict=True):
    print(values.round(2), bits)
n_codes = len({tuple(bits) for bits in code.tolist()})
print(f"{n_codes} different codes")

fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained", width_ratios=[1.3, 0.6, 1])
axes[0].plot(np.arange(1, len(losses) + 1), losses)
axes[0].set(xlabel="pass", ylabel="squared error", title=f"seed {seed}")
for ax, values, title in ((axes[1], hidden, "hidden units"), (axes[2], net.forward(X), "outputs")):
    ax.imshow(values, vmin=0, vmax=1, cmap="Blues")
    ax.set(title=title, ylabel="pattern", xticks=range(values.shape[1]), yticks=range(8))
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if value > 0.6 else "black"
        ax.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=ink)
plt.show()
