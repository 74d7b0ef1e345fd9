import random

import numpy as np
import pytest
import torch
from torch import nn

from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic


@pytest.fixture
def network():
    made = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    made[1].eval()
    made[0].bias.requires_grad_(False)
    return made


def n_hooks(network):
    return sum(len(one._forward_hooks) + len(one._backward_hooks) for one in network.modules())


@pytest.mark.parametrize("fails", [False, True])
def test_modes_gradients_and_hooks_are_what_they_were_after_an_error_too(network, fails):
    kept = network[0].register_forward_hook(lambda *_: None)

    def use():
        with left_as_found(network):
            assert not any(module.training for module in network.modules())
            assert not any(parameter.requires_grad for parameter in network.parameters())
            network[2].register_forward_hook(lambda *_: None)
            network[2].register_full_backward_hook(lambda *_: None)
            kept.remove()
            if fails:
                raise KeyError("inside")

    if fails:
        with pytest.raises(KeyError, match="inside"):
            use()
    else:
        use()
    assert [one.training for one in network.modules()] == [True, True, False, True]
    assert [one.requires_grad for one in network.parameters()] == [True, False, True, True]
    assert (n_hooks(network), len(network[0]._forward_hooks)) == (1, 1)


def draw():
    return (
        torch.rand(2).tolist(),
        np.random.rand(2).tolist(),  # noqa: NPY002 - the generator that attack packages use
        [random.random() for _ in range(2)],
    )


def test_random_numbers_are_those_of_the_seed_and_go_on_as_before():
    def inside(seed):
        with left_as_found(nn.Identity(), seed=seed):
            return draw()

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    undisturbed = draw()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    first = inside(1)
    assert draw() == undisturbed
    assert inside(1) == first
    assert all(one != other for one, other in zip(inside(2), first, strict=True))


def test_state_is_set_back_where_that_is_asked_for(network):
    def change():
        network[0].weight.data.add_(1)
        network[1].running_mean = torch.ones(2)  # another tensor

    before = {name: one.clone() for name, one in network.state_dict().items()}
    with left_as_found(network, state=True):
        change()
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    with left_as_found(network):
        change()
    assert not torch.equal(network.state_dict()["0.weight"], before["0.weight"])


def test_several_networks_are_let_run_together(network):
    other = nn.Linear(2, 2).train()
    with left_as_found(nn.ModuleList([network, other])):
        assert not network.training
        assert not other.training
    assert network.training
    assert other.training


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_random_numbers_of_a_gpu_are_left_as_found():
    device = torch.device("cuda:0")
    state = torch.cuda.get_rng_state(device)
    with left_as_found(nn.Identity()):
        first = torch.rand(3, device=device)
    with left_as_found(nn.Identity()):
        assert torch.rand(3, device=device).equal(first)
    assert torch.cuda.get_rng_state(device).equal(state)


def test_exact_arithmetic_keeps_the_digits_of_float32_and_then_the_settings_there_were():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark
    with exact_arithmetic():
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, False)
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == before
