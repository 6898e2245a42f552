r"""
Every activation and its derivative
===================================

The functions that fastmlp has for hidden layers, and the step function of the perceptron. The derivative is what the
gradient is multiplied by on its way back: where it is 0, nothing is learned, and where it is small, little. The
randomized leaky ReLU is shown as it predicts, with the mean of the slopes that it draws in training.
"""

# %%
# The pictures
# ------------

import matplotlib.pyplot as plt
import numpy as np

from fastmlp.activations import ACTIVATIONS
from fastmlp.plotting import ActivationDisplay

names = [name for name, entry in ACTIVATIONS.items() if not entry.outputs_only]
n_rows = -(-len(names) // 4)
fig, axes = plt.subplots(n_rows, 4, figsize=(13, 2.7 * n_rows), layout="constrained", squeeze=False)
for ax in axes.flat[len(names) :]:
    ax.set_axis_off()
displays = {
    name: ActivationDisplay.from_activation(name, z=np.linspace(-4, 4, 801), ax=ax)
    for name, ax in zip(names, axes.flat, strict=False)
}
for display in displays.values():
    display.ax_.set(ylim=(-2.2, 2.2), title=display.name.replace(" (", "\n("))

# %%
# The greatest derivative
# -----------------------
# A logistic layer passes on at most a quarter of a gradient, tanh at most all of it. Through ten layers that is the
# difference between :math:`4^{-10} \approx 10^{-6}` and 1.

greatest = {name: float(d.derivative.max()) for name, d in displays.items() if d.derivative is not None}
print({name: round(slope, 3) for name, slope in greatest.items()})

# %%
# tanh is a logistic function, scaled
# -----------------------------------
# :math:`\tanh z = 2 \sigma(2z) - 1`: it has mean 0 where the logistic function has mean 1/2.

z = np.linspace(-20, 20, 100_001)[np.newaxis]
identity_error = np.abs(ACTIVATIONS["tanh"].value(z) - (2 * ACTIVATIONS["logistic"].value(2 * z) - 1)).max()
print(f"largest difference: {identity_error:.1e}")
plt.show()
