"""Recipes cut down to a few steps, on a few digits."""

import runpy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from clbench.data.load import training_set
from clbench.models import build_backbone
from clbench.training.adversary import Adversary
from clbench.training.devices import make_fabric
from clbench.training.phases import Job, PhaseRun
from clbench.training.recipe import Optimizer, Phase, Validation
from clbench.training.recipe_file import read_recipe

EPS = Fraction(1, 6)


@pytest.fixture(scope="session")
def slow():
    """The slow plain definitions of tests/reference."""
    folder = Path(__file__).parents[1] / "reference"
    files = (folder / name for name in ("contrastive.py", "trades.py"))
    return SimpleNamespace(**{k: v for file in files for k, v in runpy.run_path(str(file)).items()})


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
    made = build_backbone("resnet10_w16", in_chans=1, num_classes=10)
    made.train()(torch.rand(32, 1, 8, 8))
    return made.eval()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def make_adversary():
    """Return a factory of adversaries; keyword arguments replace fields."""

    def make(**changes):
        return replace(Adversary(EPS, steps=3, step_size=0.5), **changes)

    return make


@pytest.fixture
def make_phase():
    """Return a factory of phases; keyword arguments replace fields."""

    def make(loss="nt_xent", **changes):
        sgd = Optimizer("sgd", lr=0.1)
        return Phase(
            **{"loss": loss, "trains": "everything", "epochs": 2, "batch_size": 16}
            | {"optimizer": sgd, "projection": 8}
            | changes
        )

    return make


@pytest.fixture
def make_recipe():
    """Return a factory of recipes cut down to a few steps; ``changes`` are fields as text."""

    def make(name="simclr_at", changes=None, *, seed=None, recipe="default", dataset="digits"):
        whole = read_recipe(name, dataset, recipe_name=recipe)
        short = {"backbone": "resnet10_w16", "validation.steps": "1", "validation.examples": "20"}
        for key, phase in whole.phases.items():
            short |= {f"{key}.epochs": "1", f"{key}.batch_size": "16"}
            if phase.adversary:
                short |= {f"{key}.adversary.steps": "1", f"{key}.adversary.warmup_epochs": "0"}
        return read_recipe(name, dataset, seed, recipe_name=recipe, changes=short | (changes or {}))

    return make


@pytest.fixture
def make_job(digits, fabric):
    """Return a factory of jobs; keyword arguments replace fields."""

    def make(**changes):
        job = Job(*digits, Validation(EPS, 1), "robust_acc", 0, fabric)
        return replace(job, **changes)

    return make


@pytest.fixture
def run_phase(make_job):
    """Return a function that trains a network through a phase; it returns rows and epoch kept."""

    def run(network, phase, name="pretraining", *, on_epoch=lambda _: None, **changes):
        under_way, rows = PhaseRun(network, name, phase, make_job(**changes)), []
        while under_way.epoch < phase.epochs:
            rows.append(under_way.run_epoch())
            on_epoch(under_way)
        return rows, under_way.finish()

    return run


@pytest.fixture(scope="session")
def state_of():
    """Return a function that copies the state of a module."""
    return lambda module: {key: value.clone() for key, value in module.state_dict().items()}


@pytest.fixture(scope="session")
def equal():
    """Return a function that says whether two states are bit-equal."""

    def compare(one, other):
        return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

    return compare
