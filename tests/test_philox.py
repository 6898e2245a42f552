import numpy as np
import pytest

from fastmlp.philox import philox4x32, uniforms

# The known answers published with Random123 (philox4x32, 10 rounds): counter, key, words.
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    got = philox4x32(np.array(counter, dtype=np.uint32), key[0] | key[1] << 32)
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, words)


def test_counters_are_taken_one_by_one():
    counters = np.arange(24, dtype=np.uint32).reshape(2, 3, 4)
    words = philox4x32(counters, 12345)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(words[i, j], philox4x32(counters[i, j], 12345))


def test_a_uniform_number_is_a_word_of_its_counter():
    key, step, layer = 0x0123456789ABCDEF, 0x1_0000_0007, 2
    numbers = uniforms(key, step, layer, 3, 6)
    for row, unit in np.ndindex(3, 6):
        word = philox4x32(np.array([unit // 4, row, layer, 7], dtype=np.uint32), key)[unit % 4]
        assert numbers[row, unit] == (int(word) + 0.5) / 2**32


def test_uniform_numbers_are_uniform_and_depend_on_everything():
    numbers = uniforms(1, 2, 3, 200, 50)
    assert 0 < numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(numbers.var() - 1 / 12) < 0.005
    assert len(np.unique(numbers)) == numbers.size
    for other in (uniforms(4, 2, 3, 200, 50), uniforms(1, 4, 3, 200, 50), uniforms(1, 2, 4, 200, 50)):
        assert not np.isin(other, numbers).any()
