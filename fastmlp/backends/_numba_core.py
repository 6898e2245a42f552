"""Forward pass, gradient and epochs, compiled once for float32 and once for float64, whatever the network.

What a network consists of comes as data: a record for the network, one for each layer, and in them the addresses of the
kernels of `_numba_formulas`. All matrices of a call lie in one array, `work`, at the offsets in the records; their rows
are padded to whole vectors and the number of rows to whole tiles, so that the products know no remainders. What is
in the padding is never used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types

from fastmlp.backends._numba_jit import TILE_ROWS, VECTOR_BYTES, call, draw_uint32, entry, inlined, tile

BLOCK_ROWS = 128
"""Rows that go through the network together."""
DONE, PAUSED, ZERO_WEIGHT = range(3)
# Flops between returns to the caller, who lets signals in: 50 ms at 2 GFLOP/s.
_BUDGET = 100_000_000
# What a step costs beyond its arithmetic, in the same unit.
_STEP = 2000

_INTEGER = np.int64
LAYER = np.dtype(
    [
        (name, _INTEGER)
        for name in (
            "fan_in fan_out ld_in ld"  # widths, and the distances of rows
            " coefs intercepts"  # offsets in the vector of parameters
            " weights bias transposed weights_grad bias_grad"  # offsets in `work` ...
            " input z a"
            " value backward needs_z parameters"  # addresses of kernels, and where the activation's parameters are
        ).split()
    ]
)
NETWORK = np.dtype(
    [
        (name, _INTEGER)
        for name in ["n_coefs", "n_parameters", "canonical", "term", "derivative", "sparse", "targets", "terms", "delta", "next_delta"]
    ]
)
RUN = np.dtype(
    [("alpha", np.float64), ("loss", np.float64), ("weight", np.float64), ("l2", np.float64)]
    + [("epoch_data", np.float64), ("epoch_l2", np.float64)]
    + [(name, _INTEGER) for name in ["row", "batch_row", "epoch", "n_epochs", "batch_size", "t", "update", "generator", "with_gradient"]]
)


@inlined
def _lanes(work):
    return VECTOR_BYTES // work.itemsize


@inlined
def _round_up(n, multiple):
    return (n + multiple - 1) // multiple * multiple


@inlined
def _product(work, a, a_row, a_step, b, b_step, c, c_row, rows, depth):
    """Add A B to C, whose rows are as long as those of B: b_step = c_row, a whole number of vectors."""
    lanes = _lanes(work)
    j = 0
    while j + 3 * lanes <= c_row:
        for i in range(0, rows, TILE_ROWS):
            tile(work, a + i * a_row, a_row, a_step, b + j, b_step, c + i * c_row + j, c_row, depth, TILE_ROWS, 3)
        j += 3 * lanes
    while j < c_row:
        for i in range(0, rows, TILE_ROWS):
            tile(work, a + i * a_row, a_row, a_step, b + j, b_step, c + i * c_row + j, c_row, depth, TILE_ROWS, 1)
        j += lanes


@inlined
def _pack(network, layers, params, work):
    """Copy the parameters into padded rows, and the weights that a delta is multiplied with transposed."""
    for l in range(len(layers)):
        layer = layers[l]
        n = layer.fan_out
        for j in range(n):
            work[layer.bias + j] = params[layer.intercepts + j]
        if l == 0 and network.sparse:
            continue
        for i in range(layer.fan_in):
            for j in range(n):
                work[layer.weights + i * layer.ld + j] = params[layer.coefs + i * n + j]
        if l > 0:
            for j in range(n):
                for i in range(layer.fan_in):
                    work[layer.transposed + j * layer.ld_in + i] = params[layer.coefs + i * n + j]


@inlined
def _row(index, i):
    return np.int64(index[i]) if len(index) else i


@inlined
def _gather(layer, x, index, first, rows, work):
    """Copy rows of a dense input to the first layer's, converting them."""
    x32, x64 = x[0], x[1]
    for i in range(rows):
        row, start = _row(index, first + i), layer.input + i * layer.ld_in
        if len(x32):
            for j in range(layer.fan_in):
                work[start + j] = x32[row, j]
        else:
            for j in range(layer.fan_in):
                work[start + j] = x64[row, j]


@inlined
def _sparse_forward(layer, params, x, index, first, rows, work):
    indptr, indices, data = x[2], x[3], x[4]
    n = layer.fan_out
    for i in range(rows):
        row, z = _row(index, first + i), layer.z + i * layer.ld
        for k in range(indptr[row], indptr[row + 1]):
            w, value = layer.coefs + indices[k] * n, data[k]
            for j in range(n):
                work[z + j] += value * params[w + j]


@inlined
def _sparse_gradient(layer, x, index, first, rows, work, delta, grad):
    indptr, indices, data = x[2], x[3], x[4]
    n = layer.fan_out
    for i in range(rows):
        row, d = _row(index, first + i), delta + i * layer.ld
        for k in range(indptr[row], indptr[row + 1]):
            w, value = layer.coefs + indices[k] * n, data[k]
            for j in range(n):
                grad[w + j] += value * work[d + j]


@inlined
def _forward(network, layers, constants, params, x, index, first, rows, work):
    """Send a block of rows through the network; z and a of each layer are left in `work`."""
    padded = _round_up(rows, TILE_ROWS)
    if not network.sparse:
        _gather(layers[0], x, index, first, rows, work)
    for l in range(len(layers)):
        layer = layers[l]
        for i in range(padded):
            for j in range(layer.ld):
                work[layer.z + i * layer.ld + j] = work[layer.bias + j]
        if l == 0 and network.sparse:
            _sparse_forward(layer, params, x, index, first, rows, work)
        else:
            _product(
                work, layer.input, layer.ld_in, 1, layer.weights, layer.ld, layer.z, layer.ld, padded, layer.fan_in
            )
        z, a = work[layer.z :], work[layer.a :]
        call(layer.value, (rows, layer.fan_out, layer.ld, z, a, constants[layer.parameters :]))


@inlined
def _fill_targets(network, last, targets, index, first, rows, work):
    codes, y = targets[0], targets[1]
    n = last.fan_out
    for i in range(rows):
        row, start = _row(index, first + i), network.targets + i * last.ld
        if len(codes) == 0:
            for j in range(n):
                work[start + j] = y[row, j]
        elif n == 1:
            work[start] = codes[row]
        else:
            for j in range(n):
                work[start + j] = 0
            work[start + codes[row]] = 1


@inlined
def _backward_activation(layer, constants, rows, work, delta):
    v = work[layer.z :] if layer.needs_z else work[layer.a :]
    call(layer.backward, (rows, layer.fan_out, layer.ld, v, work[delta:], constants[layer.parameters :]))


@inlined
def _loss(network, layers, constants, targets, index, first, rows, work, with_delta):
    """Return the sums of the losses and weights of a block, and leave the delta of the outputs."""
    last, weights = layers[len(layers) - 1], targets[2]
    size, delta = rows * last.ld, network.delta
    _fill_targets(network, last, targets, index, first, rows, work)
    a, y = work[last.a :], work[network.targets :]
    call(network.term, (size, a, y, work[network.terms :]))
    loss, weight = 0.0, 0.0
    for i in range(rows):
        term = 0.0
        for j in range(last.fan_out):
            term += work[network.terms + i * last.ld + j]
        if len(weights):
            share = np.float64(weights[_row(index, first + i)])
            term *= share
            weight += share
        else:
            weight += 1.0
        loss += term
    if not with_delta:
        return loss, weight
    if network.canonical:
        for i in range(size):
            work[delta + i] = a[i] - y[i]
    else:
        call(network.derivative, (size, a, y, work[delta:]))
        _backward_activation(last, constants, rows, work, delta)
    if len(weights):
        for i in range(rows):
            share_of_row = weights[_row(index, first + i)]
            for j in range(last.fan_out):
                work[delta + i * last.ld + j] *= share_of_row
    return loss, weight


@inlined
def _backward(network, layers, constants, x, index, first, rows, work, grad):
    """Add the gradient of a block to that of the blocks before."""
    padded, delta, other = _round_up(rows, TILE_ROWS), network.delta, network.next_delta
    for l in range(len(layers) - 1, -1, -1):
        layer = layers[l]
        for i in range(rows):
            for j in range(layer.fan_out):
                work[layer.bias_grad + j] += work[delta + i * layer.ld + j]
        if l == 0 and network.sparse:
            _sparse_gradient(layer, x, index, first, rows, work, delta, grad)
        else:
            wide = _round_up(layer.fan_in, TILE_ROWS)
            _product(work, layer.input, 1, layer.ld_in, delta, layer.ld, layer.weights_grad, layer.ld, wide, rows)
        if l == 0:
            break
        for i in range(padded * layer.ld_in):
            work[other + i] = 0
        _product(work, delta, layer.ld, 1, layer.transposed, layer.ld_in, other, layer.ld_in, padded, layer.fan_out)
        _backward_activation(layers[l - 1], constants, rows, work, other)
        delta, other = other, delta


@inlined
def _clear_gradient(network, layers, work, grad):
    for l in range(len(layers)):
        layer = layers[l]
        for j in range(layer.ld):
            work[layer.bias_grad + j] = 0
        if l == 0 and network.sparse:
            grad[: layer.fan_in * layer.fan_out] = 0
        else:
            for i in range(_round_up(layer.fan_in, TILE_ROWS) * layer.ld):
                work[layer.weights_grad + i] = 0


@inlined
def _unpack_gradient(network, layers, work, grad):
    """Copy the gradient from its padded rows to the layout of the parameters."""
    for l in range(len(layers)):
        layer = layers[l]
        n = layer.fan_out
        for j in range(n):
            grad[layer.intercepts + j] = work[layer.bias_grad + j]
        if l == 0 and network.sparse:
            continue
        for i in range(layer.fan_in):
            for j in range(n):
                grad[layer.coefs + i * n + j] = work[layer.weights_grad + i * layer.ld + j]


@inlined
def _flops(layers, rows, passes):
    work = 0
    for l in range(len(layers)):
        work += (2 * layers[l].fan_in + 30) * layers[l].fan_out
    return work * rows * passes


@inlined
def _l2(network, params, alpha):
    if alpha == 0:
        return 0.0
    # Sixteen sums, so that they need not wait for one another.
    sums, n = np.zeros(16), network.n_coefs
    whole = n // 16 * 16
    for i in range(0, whole, 16):
        for j in range(16):
            sums[j] += np.float64(params[i + j]) * np.float64(params[i + j])
    for i in range(whole, n):
        sums[0] += np.float64(params[i]) * np.float64(params[i])
    return alpha / 2 * sums.sum()


@inlined
def _rows(network, layers, constants, params, x, targets, index, run, first, rows, work, grad):
    """Run a whole batch, or go on with it, from run.batch_row on; False when the budget ends before it."""
    budget = _BUDGET
    if run.batch_row == 0:
        run.loss, run.weight = 0.0, 0.0
        _pack(network, layers, params, work)
        if run.with_gradient:
            _clear_gradient(network, layers, work, grad)
    while run.batch_row < rows:
        if budget < 0:
            return False
        begin, n = first + run.batch_row, min(BLOCK_ROWS, rows - run.batch_row)
        _forward(network, layers, constants, params, x, index, begin, n, work)
        loss, weight = _loss(network, layers, constants, targets, index, begin, n, work, run.with_gradient)
        if run.with_gradient:
            _backward(network, layers, constants, x, index, begin, n, work, grad)
        run.loss += loss
        run.weight += weight
        run.batch_row += n
        budget -= _flops(layers, n, 3)
    return True


@inlined
def _shuffle(generator, index):
    """Draw what `numpy.random.RandomState.shuffle` draws."""
    for i in range(len(index) - 1, 0, -1):
        mask = np.uint32(i)
        for shift in (1, 2, 4, 8, 16):
            mask |= mask >> np.uint32(shift)
        j = draw_uint32(generator) & mask
        while j > i:
            j = draw_uint32(generator) & mask
        index[i], index[j] = index[j], index[i]


def _forward_entry(networks, layers, constants, params, x32, x64, indptr, indices, data, first, last, work, out):
    network, x, index = networks[0], (x32, x64, indptr, indices, data), np.empty(0, np.int32)
    outputs = layers[len(layers) - 1]
    _pack(network, layers, params, work)
    for begin in range(first, last, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, last - begin)
        _forward(network, layers, constants, params, x, index, begin, rows, work)
        for i in range(rows):
            for j in range(outputs.fan_out):
                out[begin + i, j] = work[outputs.a + i * outputs.ld + j]


def _loss_entry(
    networks, layers, constants, params, x32, x64, indptr, indices, data, codes, y, weights, runs, work, grad
):
    network, run, x, index = networks[0], runs[0], (x32, x64, indptr, indices, data), np.empty(0, np.int32)
    n = max(len(y), len(codes))
    if not _rows(network, layers, constants, params, x, (codes, y, weights), index, run, 0, n, work, grad):
        return PAUSED
    if run.weight == 0:
        return ZERO_WEIGHT
    run.l2 = _l2(network, params, run.alpha)
    if run.with_gradient:
        _unpack_gradient(network, layers, work, grad)
        for i in range(network.n_coefs):
            grad[i] = (grad[i] + run.alpha * params[i]) / run.weight
        for i in range(network.n_coefs, network.n_parameters):
            grad[i] /= run.weight
    return DONE


def _train_entry(
    networks, layers, constants, params, x32, x64, indptr, indices, data, codes, y, weights,
    runs, work, grad, index, hyper, m, v, data_losses, l2_losses,
):  # fmt: skip
    network, run, x = networks[0], runs[0], (x32, x64, indptr, indices, data)
    n, spent = len(index), 0
    while run.epoch < run.n_epochs:
        # Before the shuffle: an epoch that has been shuffled takes its first step before the next pause.
        if spent > _BUDGET:
            return PAUSED
        if run.row == 0 and run.batch_row == 0:
            if run.generator:
                _shuffle(run.generator, index)
            run.epoch_data, run.epoch_l2 = 0.0, 0.0
        while run.row < n:
            if spent > _BUDGET:
                return PAUSED
            rows = min(run.batch_size, n - run.row)
            left = rows - run.batch_row
            if not _rows(
                network, layers, constants, params, x, (codes, y, weights), index, run, run.row, rows, work, grad
            ):
                return PAUSED
            if run.weight == 0:
                return ZERO_WEIGHT
            run.epoch_data += run.loss / run.weight * rows
            run.epoch_l2 += _l2(network, params, run.alpha) / run.weight * rows
            _unpack_gradient(network, layers, work, grad)
            run.t += 1
            sizes = (network.n_coefs, network.n_parameters, run.t)
            call(run.update, (*sizes, hyper, run.alpha, 1 / run.weight, params, grad, m, v))
            run.row += rows
            run.batch_row = 0
            spent += _flops(layers, left, 3) + _STEP + 10 * network.n_parameters
        data_losses[run.epoch] = run.epoch_data / n
        l2_losses[run.epoch] = run.epoch_l2 / n
        run.epoch += 1
        run.row = 0
    return DONE


def compiled(name: str, real: type) -> Any:
    """Return one of the functions above, "forward", "loss" or "train", compiled for float32 or float64."""
    element = from_dtype(np.dtype(real))

    def given(element: Any, ndim: int = 1) -> types.Array:
        return types.Array(element, ndim, "C", readonly=True)

    def written(element: Any, ndim: int = 1) -> types.Array:
        return types.Array(element, ndim, "C")

    integer = types.int64
    common = [given(from_dtype(NETWORK)), given(from_dtype(LAYER)), given(element)]
    rows = [given(types.float32, 2), given(types.float64, 2), given(types.int64), given(types.int32), given(element)]
    targets = [given(types.int32), given(element, 2), given(element)]
    run = written(from_dtype(RUN))
    real_vector = written(element)
    if name == "forward":
        signature = [*common, given(element), *rows, integer, integer, real_vector, written(element, 2)]
        function = _forward_entry
    elif name == "loss":
        signature = [*common, given(element), *rows, *targets, run, real_vector, real_vector]
        function = _loss_entry
    else:
        losses = written(types.float64)
        signature = [*common, real_vector, *rows, *targets, run, real_vector, real_vector, written(types.int32)]
        signature += [given(types.float64), real_vector, real_vector, losses, losses]
        function = _train_entry
    return entry(function, f"{name}_{np.dtype(real).name}", tuple(signature))
