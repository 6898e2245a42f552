"""Counter-based random numbers: Philox4x32-10, the same in every backend.

A generator of this kind has no state: its numbers are a function of a key and a counter. Here the key is the seed of a
fit and the counter says which unit of which row of which layer in which step is asking, so that the numbers do not
depend on the order, the batches of rows or the threads in which they are asked for.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
https://doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
_KEY_STEPS = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counter: np.ndarray, key: int) -> np.ndarray:
    """Return the four 32-bit words that belong to each counter.

    Parameters
    ----------
    counter : ndarray of uint32 of shape (..., 4)
    key : int
        64 bits; the low half is the first word of the key.

    Returns
    -------
    ndarray of uint32 of shape (..., 4)

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.philox import philox4x32
    >>> [hex(word) for word in philox4x32(np.zeros(4, dtype=np.uint32), 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = np.moveaxis(counter.astype(np.uint64), -1, 0)
    k0, k1 = np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32 & 0xFFFFFFFF)
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = product1 >> _HALF ^ c1 ^ k0, product1 & _LOW, product0 >> _HALF ^ c3 ^ k1, product0 & _LOW
        k0, k1 = k0 + _KEY_STEPS[0] & _LOW, k1 + _KEY_STEPS[1] & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def uniforms(key: int, step: int, layer: int, rows: int, width: int) -> np.ndarray:
    """Return the uniform random numbers of one layer in one step.

    Parameters
    ----------
    key : int
        64 bits.
    step : int
        Step of the solver; its low 32 bits count.
    layer, rows, width : int
        Weight layer from 0, rows of the batch, units of the layer.

    Returns
    -------
    ndarray of float64 of shape (rows, width)
        Numbers in (0, 1): with the counter (unit // 4, row, layer, step), word number unit % 4, plus 1/2, times 2^-32.

    Examples
    --------
    >>> from fastmlp.philox import uniforms
    >>> bool((uniforms(1, 2, 0, 3, 5)[:2] == uniforms(1, 2, 0, 2, 5)).all())
    True
    """
    blocks = -(-width // 4)
    counter = np.empty((rows, blocks, 4), dtype=np.uint32)
    counter[..., 0] = np.arange(blocks)
    counter[..., 1] = np.arange(rows)[:, np.newaxis]
    counter[..., 2] = layer
    counter[..., 3] = step & 0xFFFFFFFF
    words = philox4x32(counter, key).reshape(rows, 4 * blocks)[:, :width]
    return (words + 0.5) * 2.0**-32
