"""Warm-ups that outlast their phase, and the settings that make a loss no number."""

import pytest

from clbench.data.datasets import DATASETS
from clbench.schema.threat_model import format_eps
from clbench.training.diverged import likely_setting
from clbench.training.notes import warmup_notes
from clbench.training.recipe_file import model_names, read_recipe, recipe_names


def read(name, **changes):
    fields = {field.replace("__", "."): text for field, text in changes.items()}
    return read_recipe(name, "digits", changes=fields)


@pytest.mark.parametrize(
    ("name", "epochs", "warmup", "reached"),
    [
        ("simclr_at", 1, 14, "1/75 of 1/5"),
        ("simclr_at", 2, 14, "2/75 of 1/5"),
        ("simclr_at", 14, 14, "14/75 of 1/5"),
        ("supervised_at", 1, 9, "17/1000 of 17/100"),
        ("supervised_at", 9, 9, "153/1000 of 17/100"),
        ("supcon_full_at", 5, 14, "17/255 of 1/5"),
    ],
)
def test_an_eps_that_is_never_reached_is_said(name, epochs, warmup, reached):
    recipe = read(name, pretraining__epochs=str(epochs), pretraining__optimizer__warmup_epochs="0")
    (note,) = warmup_notes(recipe)
    had = f"{epochs} epoch{'s' * (epochs > 1)}"
    assert note == (
        f"warm-up of eps is {warmup} epochs, pretraining has {had}: its adversary reaches eps "
        f"{reached}; set pretraining.adversary.warmup_epochs"
    )
    adversary = recipe.pretraining.adversary
    assert f"{format_eps(adversary.eps_in(epochs))} of" in note


@pytest.mark.parametrize(("epochs", "reached"), [(1, "0.017 of 0.05"), (2, "0.033 of 0.05")])
def test_a_learning_rate_that_is_never_reached_is_said(epochs, reached):
    (note,) = warmup_notes(read("supervised_st", pretraining__epochs=str(epochs)))
    assert note.startswith("warm-up of the learning rate is 3 epochs, pretraining has ")
    assert note.endswith(f": it reaches {reached}; set pretraining.optimizer.warmup_epochs")


def test_every_phase_is_looked_at():
    recipe = read(
        "simclr_full_at",
        pretraining__epochs="2",
        finetuning__epochs="2",
        finetuning__adversary__warmup_epochs="3",
    )
    assert [note.partition(", ")[2].split()[0] for note in warmup_notes(recipe)] == [
        *("pretraining", "pretraining", "finetuning", "finetuning")
    ]


def test_shipped_recipes_reach_what_they_say():
    for dataset in DATASETS:
        for recipe in recipe_names(dataset):
            for name in model_names(dataset, recipe):
                assert warmup_notes(read_recipe(name, dataset, recipe_name=recipe)) == []


@pytest.mark.parametrize(
    ("changes", "field", "instead"),
    [
        ({}, "optimizer.lr", "0.033"),
        ({"optimizer.lr": "30.0"}, "optimizer.lr", "10"),
        ({"optimizer.name": "adam", "optimizer.lr": "0.5"}, "optimizer.lr", "0.17"),
        ({"temperature": "0.001"}, "temperature", "0.1"),
        ({"optimizer.weight_decay": "1.0"}, "optimizer.weight_decay", "0.0005"),
        ({"optimizer.momentum": "0.9999"}, "optimizer.momentum", "0.9"),
    ],
)
def test_the_most_unusual_setting_is_named(changes, field, instead):
    fields = {f"pretraining.{one}": text for one, text in changes.items()}
    phase = read_recipe("simclr_at", "digits", changes=fields).pretraining
    found, value, other = likely_setting(phase)
    assert (found, f"{other:.2g}") == (field, instead)
    assert f"{value:g}" == f"{float(changes.get(field, '0.1')):g}"


def test_the_weight_of_a_divergence_is_named():
    phase = read_recipe("trades", "digits", changes={"pretraining.beta": "900"}).pretraining
    assert likely_setting(phase) == ("beta", 900, 6)
