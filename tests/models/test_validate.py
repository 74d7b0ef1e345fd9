import itertools
import re

import pytest
import torch
from torch import nn

from clbench.models import validate_network
from clbench.schema.errors import ModelError, WeightsError

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Answers(nn.Module):
    """A network that answers with what a function makes of its images."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        blind = 0 * images.flatten(1).sum(dim=1)  # a gradient of zeros, where one is wanted
        answer = self.answer(images)
        depends = isinstance(answer, torch.Tensor) and len(answer) == len(images)
        depends = depends and answer.is_floating_point() and answer.ndim == 2
        return answer + blind[:, None] if depends else answer


def zeros(*shape):
    return Answers(lambda images: torch.zeros(*shape))


def classes(number):
    return Answers(lambda images: torch.zeros(len(images), number))


def test_good_network_raises_no_flag(make_network):
    assert validate_network(make_network(), IMAGES, 10).flag_names == ()


def test_network_that_answers_differently_is_flagged():
    random = Answers(lambda x: torch.rand(len(x), 10))
    assert validate_network(random, IMAGES, 10).flag_names == ("randomized",)


def test_dropout_is_off_so_raises_no_flag():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)).train()
    assert validate_network(network, IMAGES, 10).flag_names == ()


def test_rounding_raises_no_flag():
    logits, calls = torch.arange(10.0), itertools.cycle([0, 1e-6])
    rounded = Answers(lambda x: logits.expand(len(x), 10) + next(calls))
    assert validate_network(rounded, IMAGES, 10).flag_names == ()


def test_network_for_other_channels_is_refused(make_network):
    message = (
        r"^the model fails on images \[4, 1, 8, 8\]: RuntimeError: .*expected input.*to have 3 "
        r"channels, but got 1 channels instead.*; it must take such images, in \[0, 1\]$"
    )
    with pytest.raises(ModelError, match=message) as caught:
        validate_network(make_network(in_chans=3), IMAGES, 10)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_long_message_of_the_network_becomes_one_bearable_line():
    def fail(images):
        raise ValueError("first line\nsecond line " + "x" * 1000)

    with pytest.raises(ModelError, match=r"ValueError: first line second line x+ \.\.\.; it must"):
        validate_network(Answers(fail), IMAGES, 10)


def test_tuple_of_outputs_is_refused():
    message = (
        r"^the model must return one tensor of logits, got a tuple with 0 \[4, 1, 8, 8\], "
        r"1 \[4, 1, 8, 8\]; none of these is \[n, 10\]$"
    )
    with pytest.raises(ModelError, match=message):
        validate_network(Answers(lambda images: (images, images)), IMAGES, 10)


@pytest.mark.parametrize("shape", [(4, 1000), (4,), (1, 10), (4, 10, 1)])
def test_other_shape_of_logits_is_refused(shape):
    message = rf"^the model must return logits \[4, 10\], got {re.escape(str(list(shape)))}"
    message += "; where these are features, clbench head makes" if shape == (4, 1000) else "$"
    with pytest.raises(ModelError, match=message):
        validate_network(zeros(*shape), IMAGES, 10)


def test_further_classes_are_allowed_where_labels_need_not_show_them_all():
    assert validate_network(classes(12), IMAGES, 10, or_more=True).flag_names == ()
    with pytest.raises(ModelError, match=r"logits \[4, 10\] or more, got \[4, 9\]; where"):
        validate_network(classes(9), IMAGES, 10, or_more=True)


def test_class_numbers_instead_of_logits_are_refused():
    network = Answers(lambda images: torch.zeros(4, 10, dtype=torch.int64))
    with pytest.raises(ModelError, match=r"floating-point logits, got torch.int64$"):
        validate_network(network, IMAGES, 10)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused(value):
    logits = torch.zeros(4, 10)
    logits[1:3, 0] = value
    message = "^the model returns NaN or infinite logits for 2 of 4 images; check its weights and "
    with pytest.raises(ModelError, match=message):
        validate_network(Answers(lambda images: logits), IMAGES, 10)


def test_network_is_left_as_found(make_network):
    network = make_network().train()
    network.bn1.eval()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    validate_network(network, IMAGES, 10)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_network_that_counts_its_calls_is_set_back():
    network = nn.BatchNorm2d(1)
    network.answered = nn.Buffer(torch.tensor(0))

    def answer(images):
        network.answered += 1
        return torch.zeros(len(images), 10)

    network.forward = answer
    validate_network(network, IMAGES, 10)
    assert network.answered == 0


def test_network_is_left_as_found_after_a_failure(make_network):
    network = make_network(in_chans=3).train()
    with pytest.raises(ModelError, match=r"^the model fails"):
        validate_network(network, IMAGES, 10)
    assert all(module.training for module in network.modules())


def test_images_and_random_numbers_are_left_as_found():
    images, state = IMAGES.clone(), torch.random.get_rng_state()
    validate_network(Answers(lambda x: x.mul_(0).flatten(1)[:, :10] + torch.rand(1)), images, 10)
    assert torch.equal(images, IMAGES)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_error_of_clbench_comes_through_as_it_is():
    def refuse(images):
        raise WeightsError("no weights yet")

    with pytest.raises(WeightsError, match=r"^no weights yet$"):
        validate_network(Answers(refuse), IMAGES, 10)
