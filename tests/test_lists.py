"""The lists in C are the registries in Python: the same names, and the same facts about each."""

from pathlib import Path

import numpy as np
import pytest

from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS

try:
    from instruction_sets import ISAS, kept

    from fastmlp.backends import _c_interface, c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = pytest.mark.c

ffi, lib = c.ffi, c.lib
CSRC = Path(__file__).resolve().parent.parent / "csrc"
LISTS = {
    "activation": (lib.fm_activation_name, _c_interface.ACTIVATION_CODES, ACTIVATIONS),
    "loss": (lib.fm_loss_name, _c_interface.LOSS_CODES, LOSSES),
    "solver": (lib.fm_solver_name, _c_interface.SOLVER_CODES, SOLVERS),
}
NEEDS = {
    "output": lib.FM_NEEDS_OUTPUT,
    "preactivation": lib.FM_NEEDS_PREACTIVATION,
    None: lib.FM_NEEDS_NOTHING,
}

every_list = pytest.mark.parametrize("kind", list(LISTS))


@every_list
def test_names(kind):
    name_of, codes, registry = LISTS[kind]
    assert set(codes) == set(registry)
    assert list(codes.values()) == list(range(len(registry)))
    assert [ffi.string(name_of(i)).decode() for i in range(len(registry))] == list(codes)
    for entry_name, entry in registry.items():
        assert entry.name == entry_name


def outside(codes):
    return (-(2**31), -1, len(codes), len(codes) + 1, 2**31 - 1)


@every_list
def test_there_is_no_name_beyond_the_ends(kind):
    name_of, codes, _ = LISTS[kind]
    for index in outside(codes):
        assert name_of(index) == ffi.NULL


def test_there_are_no_facts_beyond_the_ends():
    for index in outside(ACTIVATIONS):
        assert lib.fm_activation_needs(index) == lib.FM_NEEDS_NOTHING
        assert lib.fm_activation_n_params(index) == -1
        assert not lib.fm_activation_draws(index)
    for index in outside(SOLVERS):
        assert lib.fm_solver_n_moments(index) == -1


def test_products_end_with_what_needs_nothing_but_the_output():
    ends = {
        (name, derivative)
        for name, code in _c_interface.ACTIVATION_CODES.items()
        for derivative in (0, 1)
        if lib.fm_ending(code, derivative)
    }
    assert (
        len({lib.fm_ending(_c_interface.ACTIVATION_CODES[name], derivative) for name, derivative in ends})
        == len(ends)
        > 0
    )
    for name, _ in ends:
        entry = ACTIVATIONS[name]
        assert (entry.parameters, entry.draws, entry.needs, entry.jacobian_product) == ({}, False, "output", None), name
    assert not any(lib.fm_ending(index, derivative) for index in outside(ACTIVATIONS) for derivative in (0, 1))


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations(name):
    entry, code = ACTIVATIONS[name], _c_interface.ACTIVATION_CODES[name]
    assert lib.fm_activation_needs(code) == NEEDS[entry.needs]
    assert lib.fm_activation_n_params(code) == len(entry.parameters)
    assert bool(lib.fm_activation_draws(code)) == entry.draws
    assert len(entry.parameters) <= lib.FM_MAX_ACTIVATION_PARAMS
    # Element-wise activations have kernels, and a derivative where the registry says that there is one. The coupled
    # one comes after the last of them and has kernels of its own.
    if entry.jacobian_product is not None:
        assert code == len(ACTIVATIONS) - 1
        return
    for isa in range(lib.FM_N_ISAS):
        for dtype in _c_interface.DTYPE_CODES.values():
            table = lib.fm_kernel_table(isa, dtype)
            if table != ffi.NULL:
                assert table.activations[code].value != ffi.NULL
                assert (table.activations[code].derivative != ffi.NULL) == (entry.derivative is not None)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_solvers(name):
    entry, code = SOLVERS[name], _c_interface.SOLVER_CODES[name]
    assert lib.fm_solver_n_moments(code) == entry.n_moments
    assert entry.n_moments <= dict(ffi.typeof("fm_training").fields)["moments"].type.length
    assert len(entry.hyperparameters) <= lib.FM_MAX_HYPER


def test_real_types():
    assert {np.dtype(np.float32): lib.FM_FLOAT32, np.dtype(np.float64): lib.FM_FLOAT64} == _c_interface.DTYPE_CODES


def test_every_status_has_a_message():
    statuses = ffi.typeof("fm_status").relements
    messages = {ffi.string(lib.fm_status_message(status)).decode() for status in statuses.values()}
    assert len(messages) == len(statuses)
    assert "unknown status" not in messages
    assert ffi.string(lib.fm_status_message(99)) == b"unknown status"


def test_instruction_sets():
    assert len(set(ISAS)) == len(ISAS)
    assert ISAS[lib.FM_SCALAR] == "scalar"
    assert lib.fm_isa_supported(lib.FM_SCALAR)
    for isa in outside(ISAS):
        assert lib.fm_isa_name(isa) == ffi.NULL
        assert not lib.fm_isa_supported(isa)
        assert lib.fm_kernel_table(isa, lib.FM_FLOAT64) == ffi.NULL
    for isa in range(lib.FM_N_ISAS):
        for dtype in _c_interface.DTYPE_CODES.values():
            assert (lib.fm_kernel_table(isa, dtype) != ffi.NULL) == bool(lib.fm_isa_supported(isa))


def test_a_cap_chooses_the_best_supported_set_below_it():
    with kept():
        for cap in (*range(lib.FM_N_ISAS), None):
            best = max(i for i in range(lib.FM_N_ISAS) if lib.fm_isa_supported(i) and (cap is None or i <= cap))
            assert c.choose_isa(None if cap is None else ISAS[cap]) == ISAS[best] == ISAS[lib.fm_isa()]
        with pytest.raises(ValueError, match=r"FASTMLP_ISA must be one of .*'scalar'.* got 'mmx'"):
            c.choose_isa("mmx")
