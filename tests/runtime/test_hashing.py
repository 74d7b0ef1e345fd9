"""Networks are told apart by their state, of whatever kind its tensors are."""

import warnings

import pytest
import torch
from torch import nn

from clbench.runtime.hashing import state_sha256


def quantised(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch gives these up
        return torch.quantize_per_tensor(values, 0.1, 0, torch.qint8)


KINDS = {
    "float32": lambda v: v,
    "float64": lambda v: v.double(),
    "bfloat16": lambda v: v.bfloat16(),
    "float8": lambda v: v.to(torch.float8_e4m3fn),
    "complex": lambda v: torch.complex(v, v),
    "conjugate": lambda v: torch.complex(v, v).conj(),
    "int64": lambda v: (v * 100).long(),
    "bool": lambda v: v > 0.5,
    "strided": lambda v: torch.stack([v, v])[:, ::2].T,
    "scalar": lambda v: v[0],
    "empty": lambda v: v[:0],
    "sparse": lambda v: v.to_sparse(),
    "quantised": quantised,
}


def holding(value):
    module = nn.Linear(2, 2)
    nn.init.ones_(module.weight)
    nn.init.ones_(module.bias)
    module.register_buffer("value", value)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_equal_states_have_equal_hashes_and_others_have_not(kind):
    one, other = torch.linspace(0, 1, 8), torch.linspace(1, 0.2, 8)
    found = state_sha256(holding(KINDS[kind](one)))
    assert found == state_sha256(holding(KINDS[kind](one.clone())))
    if kind != "empty":
        assert found != state_sha256(holding(KINDS[kind](other)))


def test_hashes_of_plain_networks_are_those_of_before():
    network = nn.Linear(2, 2)
    nn.init.ones_(network.weight)
    nn.init.zeros_(network.bias)
    known = "7feebdbf11f31be3d85648562f0f2b5e01b0297b"
    assert state_sha256(network)[: len(known)] == known


def test_lazy_and_meta_networks_have_a_hash():
    assert len(state_sha256(nn.LazyLinear(3))) == 64
    assert len(state_sha256(nn.Linear(2, 2, device="meta"))) == 64
