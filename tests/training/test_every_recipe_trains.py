"""Every model of the default recipes, and each of the paper's ways, from recipes alone."""

import math

import pytest
import torch

from clbench.data.image_set import make_image_set
from clbench.runtime.precision import quicker
from clbench.training.devices import make_fabric
from clbench.training.loop import train_recipe
from clbench.training.precision import settled
from clbench.training.recipe_file import model_names


@pytest.fixture
def reach(tmp_path):
    """Return a function that trains a recipe on a few images; it returns its summary."""

    def train(recipe, images):
        recipe = settled(recipe, torch.device("cpu"))
        fabric = make_fabric("cpu", recipe.precision)
        summary = train_recipe(recipe, tmp_path, *images, fabric=fabric)
        assert 0 <= summary.robust_acc <= summary.clean_acc <= 1 or recipe.validation.eps == 0
        assert summary.selected.keys() == recipe.phases.keys()
        return summary

    return train


@pytest.fixture(scope="module")
def few(digits):
    train, validation = digits
    return train.head(32), validation.head(8)


@pytest.fixture(scope="module")
def colours():
    """Random colour images of ten classes: to train on, and to validate with."""
    numbers = torch.Generator().manual_seed(1)
    images = torch.rand(24, 3, 32, 32, generator=numbers)
    labels = torch.arange(24) % 10
    return (
        make_image_set("cifar10-train", images[:16], labels[:16], 10),
        make_image_set("cifar10-validation", images[16:], labels[16:], 10),
    )


@pytest.mark.parametrize("name", model_names("digits"))
def test_every_model_of_digits_trains_from_its_recipe(reach, make_recipe, few, name):
    summary = reach(make_recipe(name), few)
    assert summary.model == f"{name}.digits"


@pytest.mark.parametrize("name", ["simclr_at", "supcon_full_at", "supervised_at"])
def test_every_scheme_trains_on_colour_images(reach, make_recipe, colours, name):
    summary = reach(make_recipe(name, recipe="narrow", dataset="cifar10"), colours)
    assert summary.precision == quicker(torch.device("cpu"))


@pytest.mark.parametrize("name", ["simclr_one_view_at", "supcon_one_view_at", "trades"])
def test_what_goes_beyond_the_paper_trains_on_colour_images(reach, make_recipe, colours, name):
    summary = reach(make_recipe(name, dataset="cifar10"), colours)
    assert math.isfinite(summary.robust_acc)


@pytest.mark.parametrize(
    "name",
    ["simclr_partial_at", "supcon_full_at", "supervised_at", "semi_supcon_supervised"],
)
def test_the_papers_ways_train(reach, make_recipe, colours, name):
    changes = {"validation.steps": "1"}
    summary = reach(make_recipe(name, changes, recipe="paper", dataset="cifar10"), colours)
    assert math.isfinite(summary.clean_acc)
