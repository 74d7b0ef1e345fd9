"""The recipes of heads are the field's; those of digits differ where they say so."""

from fractions import Fraction

import pytest

from clbench.schema.dataclass_io import to_table
from clbench.schema.head import METHODS
from clbench.schema.protocol import config_dir
from clbench.training.heads.recipe import read_head_recipe

LINEAR = {
    "loss": "cross_entropy",
    "trains": "classifier",
    "epochs": 25,
    "batch_size": 512,
    "optimizer.lr": 0.05,
    "optimizer.milestones": [10, 20],
}
COMMON = {
    "classifier_start": "zero",
    "keep": "best",
    "unit_logits": "never",
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": False,
    "optimizer.weight_decay": 2e-4,
    "optimizer.warmup_epochs": 0,
    "optimizer.schedule": "steps",
    "views.crop_padding": 4,
    "views.flip": True,
}
PGD = {
    "adversary.eps": "8/255",
    "adversary.steps": 10,
    "adversary.step_size": 0.25,
    "adversary.mode": "eval",
    "adversary.norm": "Linf",
}
FIELD = {
    "slf": COMMON | LINEAR,
    "alf": COMMON | LINEAR | PGD | {"adversary.start": "random"},
    "aff": COMMON
    | PGD
    | {
        "loss": "trades",
        "beta": 6,
        "trains": "everything",
        "epochs": 25,
        "batch_size": 128,
        "separate_views": True,
        "optimizer.lr": 0.1,
        "optimizer.milestones": [15, 20],
        "adversary.start": "noise",
        "adversary.start_noise": 0.001,
    },
}
"""RobustSSL_Benchmark at 19dc714, as its settings are published."""

DIGITS = {
    "slf": {"batch_size"},
    "alf": {"batch_size"},
    "aff": {"optimizer.lr"},
}
VIEWS = {f"views.{name}" for name in ("crop_padding", "flip", "rotation", "zoom", "shift")}


def recipe(method, dataset=None, **given):
    return read_head_recipe(method, encoder="", data="x", dataset=dataset, **given)


def flat(table, prefix=""):
    found = {}
    for key, value in table.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


def fields(method, dataset=None):
    return flat(to_table(recipe(method, dataset).finetuning))


@pytest.mark.parametrize("dataset", [None, "cifar100", "cifar10"])
@pytest.mark.parametrize("method", METHODS)
def test_settings_are_those_of_the_field(method, dataset):
    linear = method != "aff"
    expected = FIELD[method] | ({"optimizer.lr": 0.01} if dataset == "cifar10" and linear else {})
    found = fields(method, dataset)
    assert {key: found[key] for key in expected} == expected
    assert recipe(method, dataset).validation.eps == Fraction(8, 255)


@pytest.mark.parametrize("method", METHODS)
def test_those_of_digits_differ_in_what_its_page_says(method):
    own, general = fields(method, "digits"), fields(method)
    other = {key for key in own if own[key] != general[key]}
    eps = {"adversary.eps"} if method != "slf" else set()
    assert other == DIGITS[method] | VIEWS | eps
    assert recipe(method, "digits").validation.eps == Fraction(1, 6)


@pytest.mark.parametrize("method", METHODS)
def test_epochs_are_chosen_by_what_the_protocol_trains_for(method):
    expected = "clean_acc" if method == "slf" else "robust_acc"
    assert {recipe(method, one).criterion for one in (None, "digits", "cifar10")} == {expected}


def test_every_shipped_file_is_read_by_some_method():
    names = {path.stem for path in (config_dir() / "head").glob("*.toml")}
    assert names == {f"{m}{end}" for m in METHODS for end in ("", "-digits")} | {
        f"{m}-cifar10" for m in ("slf", "alf")
    }


def test_seeds_and_nothing_else_have_one_recipe():
    sums = {
        (recipe("slf", seed=seed, changes=changes | {"precision": "float32"}).sha256)
        for seed in (0, 1, 2)
        for changes in ({}, {"finetuning.epochs": "3"})
    }
    assert len(sums) == 2


def test_a_file_of_ones_own_says_all(tmp_path):
    text = (config_dir() / "head" / "slf.toml").read_text().replace("epochs = 25", "epochs = 7")
    text = text.replace("[10, 20]", "[5]")
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "more.toml").write_text('like = "mine"\n[finetuning]\nbatch_size = 32\n')
    found = recipe("slf", file=str(tmp_path / "more.toml")).finetuning
    assert (found.epochs, found.batch_size, found.optimizer.milestones) == (7, 32, (5,))
