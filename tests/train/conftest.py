"""Recipes that train for an epoch, on a few digits."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from clbench.data import training_set
from clbench.models import build_backbone
from clbench.train.loop import make_fabric
from clbench.train.recipe import Validation
from clbench.train.recipe_file import read_recipe


@pytest.fixture(scope="session")
def slow():
    """The slow plain definitions of tests/reference/contrastive.py."""
    path = Path(__file__).parents[1] / "reference/contrastive.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="session")
def digits():
    """A few training and validation images."""
    return training_set("digits", "train").head(48), training_set("digits", "validation").head(20)


@pytest.fixture(scope="session")
def fabric():
    return make_fabric("cpu", "float32")


@pytest.fixture
def network():
    """A digits network whose batch-norm statistics are those of no data set."""
    made = build_backbone("resnet18_w16", in_chans=1, num_classes=10)
    made.train()(torch.rand(32, 1, 8, 8))
    return made.eval()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def _short(phase, epochs):
    adversary = phase.adversary and replace(phase.adversary, steps=1, warmup_epochs=0)
    return replace(phase, epochs=epochs, batch_size=16, adversary=adversary)


@pytest.fixture
def make_recipe():
    """Return a factory of zoo recipes cut down to a few steps; keyword arguments replace fields."""

    def make(name="simclr_at", *, epochs=1, **changes):
        recipe = read_recipe(name, "digits")
        return replace(
            recipe,
            validation=Validation(recipe.validation.eps, 1),
            pretraining=_short(recipe.pretraining, epochs),
            finetuning=recipe.finetuning and _short(recipe.finetuning, epochs),
            **changes,
        )

    return make
