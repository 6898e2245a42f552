"""PyTorch, eager: plain tensors, no modules and no DataLoader, the fastest of its kinds of optimizer for the row."""

import math
import time

import torch
from torch.nn import functional

from .rows import (
    ALPHA,
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    PROOF_EPOCHS,
    Inference,
    Training,
    Unsupported,
)

KINDS = ({"fused": True}, {"foreach": True}, {"foreach": False})
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid}


class Library:
    def __init__(self, name, threads):
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    def version(self):
        return torch.__version__

    def prepare(self, row, shuffle):
        if isinstance(row, Training):
            return training(row, shuffle)
        if isinstance(row, Inference):
            return inference(row)
        raise Unsupported("no such estimator")


def forward(x, weights, biases, activation):
    """Return the outputs before the output activation."""
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        x = activation(torch.addmm(b, x, W))
    return torch.addmm(biases[-1], x, weights[-1])


def squared_error(outputs, y):
    return functional.mse_loss(outputs, y) * (0.5 * y.shape[1])


LOSSES = {
    "identity": squared_error,
    "logistic": functional.binary_cross_entropy_with_logits,
    "softmax": functional.cross_entropy,
}


def optimizer(row, groups, kind):
    if row.solver == "sgd":
        return torch.optim.SGD(groups, LEARNING_RATE, momentum=MOMENTUM, nesterov=True, **kind)
    return torch.optim.Adam(groups, LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON, **kind)


def training(row, shuffle):
    X = torch.from_numpy(row.data[0])
    y = torch.from_numpy(row.data[1])
    if row.output == "logistic":
        y = y.to(X.dtype)[:, None]
    activation, lose = ACTIVATIONS[row.activation], LOSSES[row.output]
    drawn = [[torch.from_numpy(array) for array in arrays] for arrays in row.parameters()]

    def fit(epochs, kind):
        weights, biases = ([array.clone().requires_grad_() for array in arrays] for arrays in drawn)
        # The L2 penalty is divided by the rows of the batch, of which the last may have fewer.
        groups = [{"params": weights, "weight_decay": 0.0}, {"params": biases, "weight_decay": 0.0}]
        opt = optimizer(row, groups, kind)
        steps = 0
        batches = list(zip(X.split(row.batch_size), y.split(row.batch_size), strict=True))
        for _ in range(epochs):
            if shuffle:
                order = torch.randperm(len(X))
                batches = zip(X[order].split(row.batch_size), y[order].split(row.batch_size), strict=True)
            total = torch.zeros((), dtype=X.dtype)
            for x, t in batches:
                steps += 1
                opt.param_groups[0]["weight_decay"] = ALPHA / len(x)
                if row.solver == "adam":
                    # scikit-learn adds epsilon before the bias correction of the root, PyTorch after it.
                    eps = EPSILON / math.sqrt(1 - BETA_2**steps)
                    for group in opt.param_groups:
                        group["eps"] = eps
                opt.zero_grad()
                loss = lose(forward(x, weights, biases, activation), t)
                loss.backward()
                opt.step()
                total += loss.detach()
        return weights, biases

    def seconds(kind):
        start = time.perf_counter()
        fit(1, kind)
        return time.perf_counter() - start

    kind = min(KINDS, key=lambda kind: min(seconds(kind) for _ in range(3)))

    def run(epochs):
        fit(epochs, kind)
        return epochs

    def loss():
        return row.loss(*([array.detach().numpy() for array in arrays] for arrays in fit(PROOF_EPOCHS, kind)))

    return run, loss


def inference(row):
    weights, biases = ([torch.from_numpy(array) for array in arrays] for arrays in row.parameters())
    activation = ACTIVATIONS[row.activation]
    output = {"identity": lambda z: z, "logistic": torch.sigmoid, "softmax": lambda z: torch.softmax(z, 1)}[row.output]
    X = row.inputs

    def predict():
        return output(forward(torch.from_numpy(X), weights, biases, activation)).numpy()

    @torch.inference_mode()
    def run(calls):
        for _ in range(calls):
            predict()
        return calls

    return run, lambda: row.loss(predict())
