r"""
Handwritten digits
==================

The classic of a first network on real data: 28 by 28 pixels, 30 logistic hidden units, 10 logistic outputs, squared
error, and stochastic gradient descent in batches of 10 (M. Nielsen, *Neural Networks and Deep Learning*, 2015, chapter
1, which reports about 95 % after 30 epochs).

The images of MNIST are read from the folder that the environment variable ``FASTMLP_DATA`` names:
``train-images-idx3-ubyte.gz``, ``train-labels-idx1-ubyte.gz`` and the two ``t10k-`` files. Without it this page shows
the 1797 digits of 8 by 8 pixels that come with scikit-learn, and the same network on them.
"""

# %%
# The images
# ----------

import gzip
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastmlp import Network


def idx(path):
    """Read bytes in the IDX format: a header of 4 bytes, the lengths of the axes, the bytes."""
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, ">u4", content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


if "FASTMLP_DATA" in os.environ:
    folder = Path(os.environ["FASTMLP_DATA"])
    images, test_images = (idx(folder / f"{part}-images-idx3-ubyte.gz") / np.float32(255) for part in ("train", "t10k"))
    labels, test_labels = (idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(int) for part in ("train", "t10k"))
else:
    digits = load_digits()
    images, test_images, labels, test_labels = train_test_split(
        (digits.images / 16).astype(np.float32), digits.target, random_state=0, stratify=digits.target
    )
X, X_test = images.reshape(len(images), -1), test_images.reshape(len(test_images), -1)
Y = np.eye(10, dtype=np.float32)[labels]
print(f"{len(X)} images to learn from, {len(X_test)} to test with, {X.shape[1]} pixels")

# %%
# 30 epochs
# ---------
# Learning rate 3, no momentum. After each epoch we count the test images whose largest output is the right one.

net = Network(
    [X.shape[1], 30, 10],
    activation="logistic",
    output_activation="logistic",
    loss="squared_error",
    dtype="float32",
    random_state=0,
)
accuracy = []


def test(net, epoch, loss):
    """Note the accuracy on the test images."""
    accuracy.append(float((net.forward(X_test).argmax(axis=1) == test_labels).mean()))


net.fit(X, Y, solver="sgd", learning_rate=3.0, momentum=0.0, nesterov=False, batch_size=10, epochs=30, callback=test)
print(f"accuracy on the test images: {accuracy[0]:.2%} after one epoch, {accuracy[-1]:.2%} after {len(accuracy)}")

# %%
# What it does, and where it fails
# --------------------------------

answers = net.forward(X_test).argmax(axis=1)
wrong = np.flatnonzero(answers != test_labels)[:12]
fig = plt.figure(figsize=(12, 4), layout="constrained")
left, right = fig.subfigures(1, 2)
ax = left.subplots()
ax.plot(range(1, len(accuracy) + 1), accuracy, marker=".")
ax.set(xlabel="epoch", ylabel="accuracy on the test images")
right.suptitle("wrong: answer (label)")
axes = right.subplots(2, 6)
for ax in axes.flat:
    ax.set_axis_off()
for ax, k in zip(axes.flat, wrong, strict=False):
    ax.imshow(test_images[k], cmap="gray_r")
    ax.set_title(f"{answers[k]} ({test_labels[k]})", fontsize=9)
plt.show()
