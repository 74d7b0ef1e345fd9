"""Images that name their classes otherwise than a network are refused, or it is told."""

from dataclasses import replace

import pytest
import torch

from clbench.data.datasets import DATASETS
from clbench.data.image_set import make_image_set
from clbench.models.load import load_for
from clbench.schema.errors import DataError

NAMES = DATASETS["cifar10"].class_names


@pytest.fixture
def load():
    """Return a function that loads a network of CIFAR-10 for images whose classes bear names."""
    made = make_image_set("mine", torch.rand(20, 3, 32, 32), torch.arange(20) % 10, 10)

    def loaded(names):
        images = replace(made, class_names=tuple(names))
        return load_for(
            "supervised_at.cifar10", images, dataset=None, norm="Linf", device=torch.device("cpu")
        )

    return loaded


@pytest.mark.parametrize("names", [(), NAMES, map(str.upper, NAMES)])
def test_the_same_names_are_welcome(load, caplog, names):
    load(names)
    assert not caplog.messages


def test_the_same_names_in_another_order_are_refused(load):
    with pytest.raises(DataError, match="class 0 of mine is 'truck', of supervised_at 'airplane'"):
        load(reversed(NAMES))


def test_other_names_are_told(load, caplog):
    load(["plane", *NAMES[1:]])
    assert "class 0 of mine is 'plane', of supervised_at 'airplane'" in caplog.text


def test_another_number_of_names_is_refused(load):
    with pytest.raises(DataError, match="has 10 outputs, and mine names 9 classes"):
        load(NAMES[:9])
