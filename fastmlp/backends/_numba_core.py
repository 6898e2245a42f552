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

from fastmlp.backends._numba_jit import TILE_ROWS, at, call, draw_uint32, entry, inlined, pointer, tile

BLOCK_ROWS = 128
"""Rows that go through the network together."""
DONE, PAUSED, ZERO_WEIGHT = range(3)
# Flops between returns to the caller, who lets signals in: 50 ms at 2 GFLOP/s.
_BUDGET = 100_000_000
# What a step costs beyond its arithmetic, in the same unit.
_STEP = 2000


def _record(integers: str, floats: str = "") -> np.dtype:
    return np.dtype([(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()])


# Of a layer: widths and the distances of rows; offsets in the vector of parameters, and in `work`; the addresses of its
# activation's kernels, and where the activation's parameters begin; whether it draws, and where its numbers are.
LAYER = _record(
    "fan_in fan_out ld_in ld coefs intercepts weights bias transposed weights_grad bias_grad input z a"
    " value backward needs_z parameters draws u"
)
# Of a network and its data: sizes, the reals of a vector, whether delta is a - y, the forms of the data; the addresses
# of the loss's kernels; offsets in `work`.
NETWORK = _record(
    "n_coefs n_parameters lanes canonical sparse x_is_float64 has_codes has_weights"
    " term derivative targets terms delta next_delta"
)
# Of a pass or of training: settings, results, and how far it has come. The key's 64 bits are those of an int64.
RUN = _record(
    "row batch_row epoch n_epochs batch_size t update generator with_gradient is_training key",
    "alpha loss weight l2 epoch_data epoch_l2",
)


@inlined
def _round_up(n, multiple):
    return (n + multiple - 1) // multiple * multiple


@inlined
def _product(work, lanes, a, a_row, a_step, b, b_step, c, c_row, rows, n):
    """Add A B to C, whose rows are as long as those of B: b_step = c_row, a whole number of vectors."""
    j = 0
    while j + 3 * lanes <= c_row:
        for i in range(0, rows, TILE_ROWS):
            tile(work, a + i * a_row, a_row, a_step, b + j, b_step, c + i * c_row + j, c_row, n, TILE_ROWS, 3)
        j += 3 * lanes
    while j < c_row:
        for i in range(0, rows, TILE_ROWS):
            tile(work, a + i * a_row, a_row, a_step, b + j, b_step, c + i * c_row + j, c_row, n, TILE_ROWS, 1)
        j += lanes


@inlined
def _pack(network, layers, params, work):
    """Copy the parameters into padded rows, and the weights that a delta is multiplied with transposed."""
    for depth in range(len(layers)):
        layer = layers[depth]
        n = layer.fan_out
        for j in range(n):
            work[layer.bias + j] = params[layer.intercepts + j]
        if depth == 0 and network.sparse:
            continue
        for i in range(layer.fan_in):
            for j in range(n):
                work[layer.weights + i * layer.ld + j] = params[layer.coefs + i * n + j]
        if depth > 0:
            for j in range(n):
                for i in range(layer.fan_in):
                    work[layer.transposed + j * layer.ld_in + i] = params[layer.coefs + i * n + j]


@inlined
def _gather(network, layer, x, index, first, rows, work):
    """Copy rows of a dense input to the first layer's, converting them."""
    x32, x64, n = x[0], x[1], layer.fan_in
    for i in range(rows):
        row, start = np.int64(index[first + i]) * n, layer.input + i * layer.ld_in
        if network.x_is_float64:
            for j in range(n):
                work[start + j] = x64[row + j]
        else:
            for j in range(n):
                work[start + j] = x32[row + j]


@inlined
def _sparse_forward(layer, params, x, index, first, rows, work):
    indptr, indices, data = x[2], x[3], x[4]
    n = layer.fan_out
    for i in range(rows):
        row, z = np.int64(index[first + i]), layer.z + i * layer.ld
        for k in range(indptr[row], indptr[row + 1]):
            w, value = layer.coefs + indices[k] * n, data[k]
            for j in range(n):
                work[z + j] += value * params[w + j]


@inlined
def _sparse_gradient(layer, x, index, first, rows, work, delta, grad):
    indptr, indices, data = x[2], x[3], x[4]
    n = layer.fan_out
    for i in range(rows):
        row, d = np.int64(index[first + i]), delta + i * layer.ld
        for k in range(indptr[row], indptr[row + 1]):
            w, value = layer.coefs + indices[k] * n, data[k]
            for j in range(n):
                grad[w + j] += value * work[d + j]


@inlined
def _fill_means(layer, rows, work):
    for i in range(rows * layer.ld):
        work[layer.u + i] = 0.5


@inlined
def _fill_uniforms(layer, depth, rows, work, key, step, first):
    """Fill in what `fastmlp.philox.uniforms` returns, from row `first` of the batch on."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for i in range(rows):
        for block in range((layer.fan_out + 3) // 4):
            c0, c1, c2, c3 = np.uint64(block), np.uint64(first + i), np.uint64(depth), np.uint64(step) & low
            k0, k1 = key & low, key >> shift
            for _ in range(10):
                p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
                c0, c1 = p1 >> shift ^ c1 ^ k0, p1 & low
                c2, c3 = p0 >> shift ^ c3 ^ k1, p0 & low
                k0, k1 = k0 + np.uint64(0x9E3779B9) & low, k1 + np.uint64(0xBB67AE85) & low
            # A row is padded to whole vectors, and so at least to four units.
            u = layer.u + i * layer.ld + 4 * block
            work[u] = (np.float64(c0) + 0.5) * 2.0**-32
            work[u + 1] = (np.float64(c1) + 0.5) * 2.0**-32
            work[u + 2] = (np.float64(c2) + 0.5) * 2.0**-32
            work[u + 3] = (np.float64(c3) + 0.5) * 2.0**-32


@inlined
def _forward(network, layers, constants, params, x, index, first, rows, work, draw):
    """Send a block of rows through the network; z and a of each layer are left in `work`.

    `draw` tells whether this is a step of training; if so the key of its random numbers, its number, and which row of
    the batch is the block's first.
    """
    padded = _round_up(rows, TILE_ROWS)
    if not network.sparse:
        _gather(network, layers[0], x, index, first, rows, work)
    for depth in range(len(layers)):
        layer = layers[depth]
        for i in range(padded):
            for j in range(layer.ld):
                work[layer.z + i * layer.ld + j] = work[layer.bias + j]
        if depth == 0 and network.sparse:
            _sparse_forward(layer, params, x, index, first, rows, work)
        else:
            _product(
                work,
                network.lanes,
                layer.input,
                layer.ld_in,
                1,
                layer.weights,
                layer.ld,
                layer.z,
                layer.ld,
                padded,
                layer.fan_in,
            )
        if layer.draws:
            is_training, key, step, row = draw
            if is_training:
                _fill_uniforms(layer, depth, rows, work, key, step, row)
            else:
                _fill_means(layer, rows, work)
        z, a, u = at(work, layer.z), at(work, layer.a), at(work, layer.u)
        call(layer.value, (rows, layer.fan_out, layer.ld, z, a, at(constants, layer.parameters), u))


@inlined
def _fill_targets(network, last, targets, index, first, rows, work):
    codes, y = targets[0], targets[1]
    n = last.fan_out
    for i in range(rows):
        row, start = np.int64(index[first + i]), network.targets + i * last.ld
        if not network.has_codes:
            for j in range(n):
                work[start + j] = y[row * n + j]
        elif n == 1:
            work[start] = codes[row]
        else:
            for j in range(n):
                work[start + j] = 0
            work[start + codes[row]] = 1


@inlined
def _backward_activation(layer, constants, rows, work, delta):
    v = at(work, layer.z) if layer.needs_z else at(work, layer.a)
    d, parameters, u = at(work, delta), at(constants, layer.parameters), at(work, layer.u)
    call(layer.backward, (rows, layer.fan_out, layer.ld, v, d, parameters, u))


@inlined
def _loss(network, layers, constants, targets, index, first, rows, work, with_delta):
    """Return the sums of the losses and weights of a block, and leave the delta of the outputs."""
    last, weights = layers[len(layers) - 1], targets[2]
    size, delta = rows * last.ld, network.delta
    _fill_targets(network, last, targets, index, first, rows, work)
    a, y = at(work, last.a), at(work, network.targets)
    call(network.term, (size, a, y, at(work, network.terms)))
    loss, weight = 0.0, 0.0
    for i in range(rows):
        term = 0.0
        for j in range(last.fan_out):
            term += work[network.terms + i * last.ld + j]
        if network.has_weights:
            share = np.float64(weights[np.int64(index[first + i])])
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
        call(network.derivative, (size, a, y, at(work, delta)))
        _backward_activation(last, constants, rows, work, delta)
    if network.has_weights:
        for i in range(rows):
            share_of_row = weights[np.int64(index[first + i])]
            for j in range(last.fan_out):
                work[delta + i * last.ld + j] *= share_of_row
    return loss, weight


@inlined
def _backward(network, layers, constants, x, index, first, rows, work, grad):
    """Add the gradient of a block to that of the blocks before."""
    padded, delta, other = _round_up(rows, TILE_ROWS), network.delta, network.next_delta
    for depth in range(len(layers) - 1, -1, -1):
        layer = layers[depth]
        for i in range(rows):
            for j in range(layer.fan_out):
                work[layer.bias_grad + j] += work[delta + i * layer.ld + j]
        if depth == 0 and network.sparse:
            _sparse_gradient(layer, x, index, first, rows, work, delta, grad)
        else:
            wide = _round_up(layer.fan_in, TILE_ROWS)
            _product(
                work,
                network.lanes,
                layer.input,
                1,
                layer.ld_in,
                delta,
                layer.ld,
                layer.weights_grad,
                layer.ld,
                wide,
                rows,
            )
        if depth == 0:
            break
        for i in range(padded * layer.ld_in):
            work[other + i] = 0
        _product(
            work,
            network.lanes,
            delta,
            layer.ld,
            1,
            layer.transposed,
            layer.ld_in,
            other,
            layer.ld_in,
            padded,
            layer.fan_out,
        )
        _backward_activation(layers[depth - 1], constants, rows, work, other)
        delta, other = other, delta


@inlined
def _clear_gradient(network, layers, work, grad):
    for depth in range(len(layers)):
        layer = layers[depth]
        for j in range(layer.ld):
            work[layer.bias_grad + j] = 0
        if depth == 0 and network.sparse:
            for i in range(layer.fan_in * layer.fan_out):
                grad[i] = 0
        else:
            for i in range(_round_up(layer.fan_in, TILE_ROWS) * layer.ld):
                work[layer.weights_grad + i] = 0


@inlined
def _unpack_gradient(network, layers, work, grad):
    """Copy the gradient from its padded rows to the layout of the parameters."""
    for depth in range(len(layers)):
        layer = layers[depth]
        n = layer.fan_out
        for j in range(n):
            grad[layer.intercepts + j] = work[layer.bias_grad + j]
        if depth == 0 and network.sparse:
            continue
        for i in range(layer.fan_in):
            for j in range(n):
                grad[layer.coefs + i * n + j] = work[layer.weights_grad + i * layer.ld + j]


@inlined
def _flops(layers, rows, passes):
    work = 0
    for depth in range(len(layers)):
        work += (2 * layers[depth].fan_in + 30) * layers[depth].fan_out
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
        draw = run.is_training, np.uint64(run.key), run.t, run.batch_row
        _forward(network, layers, constants, params, x, index, begin, n, work, draw)
        loss, weight = _loss(network, layers, constants, targets, index, begin, n, work, run.with_gradient)
        if run.with_gradient:
            _backward(network, layers, constants, x, index, begin, n, work, grad)
        run.loss += loss
        run.weight += weight
        run.batch_row += n
        budget -= _flops(layers, n, 3)
    return True


@inlined
def _shuffle(generator, index, n):
    """Draw what `numpy.random.RandomState.shuffle` draws."""
    for i in range(n - 1, 0, -1):
        mask = np.uint32(i)
        for shift in (1, 2, 4, 8, 16):
            mask |= mask >> np.uint32(shift)
        j = draw_uint32(generator) & mask
        while j > i:
            j = draw_uint32(generator) & mask
        index[i], index[j] = index[j], index[i]


def _forward_entry(networks, layers, constants, params, x32, x64, indptr, indices, data, index, first, last, work, out):
    network, x = networks[0], (pointer(x32), pointer(x64), pointer(indptr), pointer(indices), pointer(data))
    constants, params, index, work = pointer(constants), pointer(params), pointer(index), pointer(work)
    outputs = layers[len(layers) - 1]
    _pack(network, layers, params, work)
    for begin in range(first, last, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, last - begin)
        _forward(network, layers, constants, params, x, index, begin, rows, work, (0, np.uint64(0), 0, 0))
        for i in range(rows):
            for j in range(outputs.fan_out):
                out[begin + i, j] = work[outputs.a + i * outputs.ld + j]


def _loss_entry(
    networks, layers, constants, params, x32, x64, indptr, indices, data, index, codes, y, weights, runs, work, grad
):
    network, run, n = networks[0], runs[0], len(index)
    x = pointer(x32), pointer(x64), pointer(indptr), pointer(indices), pointer(data)
    targets = pointer(codes), pointer(y), pointer(weights)
    constants, params, work, grad = pointer(constants), pointer(params), pointer(work), pointer(grad)
    if not _rows(network, layers, constants, params, x, targets, pointer(index), run, 0, n, work, grad):
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
    networks, layers, constants, params, x32, x64, indptr, indices, data, index, codes, y, weights, runs, work, grad,
    hyper, m, v, data_losses, l2_losses,
):  # fmt: skip
    network, run, n, spent = networks[0], runs[0], len(index), 0
    x = pointer(x32), pointer(x64), pointer(indptr), pointer(indices), pointer(data)
    targets = pointer(codes), pointer(y), pointer(weights)
    constants, params, work, grad = pointer(constants), pointer(params), pointer(work), pointer(grad)
    order = pointer(index)
    while run.epoch < run.n_epochs:
        # Before the shuffle: an epoch that has been shuffled takes its first step before the next pause.
        if spent > _BUDGET:
            return PAUSED
        if run.row == 0 and run.batch_row == 0:
            if run.generator:
                _shuffle(run.generator, order, n)
            run.epoch_data, run.epoch_l2 = 0.0, 0.0
        while run.row < n:
            if spent > _BUDGET:
                return PAUSED
            rows = min(run.batch_size, n - run.row)
            left = rows - run.batch_row
            if not _rows(network, layers, constants, params, x, targets, order, run, run.row, rows, work, grad):
                return PAUSED
            if run.weight == 0:
                return ZERO_WEIGHT
            run.epoch_data += run.loss / run.weight * rows
            run.epoch_l2 += _l2(network, params, run.alpha) / run.weight * rows
            _unpack_gradient(network, layers, work, grad)
            run.t += 1
            sizes = (network.n_coefs, network.n_parameters, run.t)
            state = (params, grad, pointer(m), pointer(v))
            call(run.update, (*sizes, pointer(hyper), run.alpha, run.weight, *state))
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

    integer, real_vector = types.int64, written(element)
    common = [given(from_dtype(NETWORK)), given(from_dtype(LAYER)), given(element)]
    rows = [given(types.float32, 2), given(types.float64, 2), given(types.int64), given(types.int32), given(element)]
    # The order of rows is shuffled in place.
    rows.append(written(types.int32))
    targets = [given(types.int32), given(element, 2), given(element)]
    passed = [written(from_dtype(RUN)), real_vector, real_vector]
    if name == "forward":
        function = _forward_entry
        signature = [*common, given(element), *rows, integer, integer, real_vector, written(element, 2)]
    elif name == "loss":
        function = _loss_entry
        signature = [*common, given(element), *rows, *targets, *passed]
    else:
        function, losses = _train_entry, written(types.float64)
        state = [given(types.float64), real_vector, real_vector]
        signature = [*common, real_vector, *rows, *targets, *passed, *state, losses, losses]
    return entry(function, f"{name}_{np.dtype(real).name}", tuple(signature))
