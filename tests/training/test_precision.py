"""In which precision a recipe is trained, what is said of it, and what is kept of it."""

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from clbench.schema.errors import BadValueError
from clbench.training import precision
from clbench.training.artifacts import CARD
from clbench.training.loop import train
from clbench.training.precision import settled
from clbench.training.recipe_file import read_recipe

CPU = torch.device("cpu")
SHORT = {
    "backbone": "resnet10_w16",
    "validation.steps": "1",
    "pretraining.epochs": "2",
    "pretraining.batch_size": "16",
    "pretraining.optimizer.warmup_epochs": "0",
}


@pytest.fixture
def here(monkeypatch):
    """Return a function that says what this machine is quick in, and how slow bfloat16 is."""

    def set_to(quick, slowdown=1.0):
        monkeypatch.setattr(precision, "quicker", lambda _: quick)
        monkeypatch.setattr(precision, "slowdown", lambda *_, **__: slowdown)

    return set_to


@pytest.fixture
def start(tmp_path, digits, caplog):
    """Return a function that trains on a few digits; it returns the record and what was said."""
    images = (digits[0].images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    np.savez(tmp_path / "few.npz", x=images, y=digits[0].labels.numpy())

    def run(out="run", **options):
        options = {"precision": "auto", "changes": SHORT, "data": [tmp_path / "few.npz"]} | options
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="clbench"):
            record = train("supervised_st", out=tmp_path / out, **options).record
        said = [one.getMessage() for one in caplog.records if "float" in one.getMessage()]
        return record, said

    return run


class Stopped(BaseException):
    """As a kill would end it."""


def stop(start, **options):
    def on_epoch(_row):
        raise Stopped

    with pytest.raises(Stopped):
        start(on_epoch=on_epoch, **options)


@pytest.mark.parametrize(
    ("in_recipe", "by_hand", "quick", "expected"),
    [
        ("auto", None, "float32", "float32"),
        ("auto", None, "bfloat16", "bfloat16"),
        ("auto", "float32", "bfloat16", "float32"),
        ("auto", "bfloat16", "float32", "bfloat16"),
        ("float32", None, "bfloat16", "float32"),
        ("float32", "auto", "bfloat16", "bfloat16"),
        ("bfloat16", None, "float32", "bfloat16"),
        ("bfloat16", "auto", "float32", "float32"),
        ("bfloat16", "float32", "bfloat16", "float32"),
    ],
)
def test_what_is_trained_in_is_recorded_and_never_auto(
    here, start, tmp_path, in_recipe, by_hand, quick, expected
):
    here(quick)
    record, _ = start(changes=SHORT | {"precision": in_recipe}, precision=by_hand)
    assert (record.precision, record.recipe["precision"]) == (expected, expected)
    plain = read_recipe("supervised_st", "digits", changes=SHORT)
    assert record.recipe_sha256 == replace(plain, precision=expected).sha256
    card = (tmp_path / "run" / CARD).read_text(encoding="utf-8")
    assert f" on cpu, {expected}, torch threads" in card
    assert f'"precision": "{expected}"' in card
    assert '"auto"' not in card


@pytest.mark.parametrize(("quick", "has"), [("float32", "has no"), ("bfloat16", "has")])
def test_what_was_taken_is_said_once(here, start, quick, has):
    here(quick, slowdown=9.0)
    _, said = start()
    assert said == [f"training in {quick}: this cpu {has} instructions for bfloat16"]
    _, said = start()  # finished
    assert said == []


def test_a_file_that_names_no_precision_leaves_it_to_the_device(tmp_path):
    (tmp_path / "own.toml").write_text(
        'about = "x"\nbackbone = "resnet10_w16"\nseed = 0\nvalidation = {eps = "1/6", steps = 1}\n'
        "[phases.plain]\nloss = 'cross_entropy'\ntrains = 'everything'\nepochs = 1\n"
        "batch_size = 8\noptimizer = { name = 'sgd', lr = 0.1 }\n"
        "[models.supervised_st]\npretraining = 'plain'\n"
    )
    recipe = read_recipe("supervised_st", "digits", recipe_name=str(tmp_path / "own.toml"))
    assert recipe.precision == "auto"
    assert settled(recipe, CPU).precision in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("slowdown", "told"), [(0.5, False), (1.1, False), (1.3, True), (8.0, True)]
)
@pytest.mark.parametrize("quick", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", ["option", "recipe"])
def test_slow_bfloat16_by_hand_gets_one_line_with_the_ratio(
    here, start, slowdown, told, quick, how
):
    here(quick, slowdown)
    by_hand = {"changes": SHORT | {"precision": "bfloat16"}, "precision": None}
    _, said = start(**({"precision": "bfloat16"} if how == "option" else by_hand))
    line = (
        f"training steps take {slowdown:.1f} times as long in bfloat16 as in float32 on this cpu, "
        "measured on this network; --precision float32 is quicker"
    )
    assert said == ([line] if told else [])


def test_float32_by_hand_is_not_measured_and_not_commented(here, start):
    here("bfloat16", slowdown=9.0)
    assert start(precision="float32")[1] == []


def test_the_ratio_is_measured_on_the_network_of_the_recipe(start):
    line = re.compile("training steps take (.*) times as long in bfloat16")
    _, said = start(precision="bfloat16")
    assert all(float(line.match(one)[1]) > 1 for one in said)


@pytest.mark.parametrize(
    ("begun", "quick"), [("bfloat16", "float32"), ("float32", "bfloat16"), ("float32", "float32")]
)
def test_a_training_goes_on_in_the_precision_it_was_begun_in_and_says_so(here, start, begun, quick):
    here(begun)
    whole, _ = start("whole")
    stop(start)
    here(quick, slowdown=8.0)
    record, said = start()
    assert (record.precision, record.weights_sha256) == (begun, whole.weights_sha256)
    other = (
        f"going on in {begun}, in which this training was begun; a new one would be in {quick} here"
    )
    assert said[0] == (
        other
        if begun != quick
        else f"training in {begun}: this cpu has no instructions for bfloat16"
    )
    assert ["8.0 times as long" in one for one in said[1:]] == [True] * (begun == "bfloat16")


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("quick", ["float32", "bfloat16"])
def test_a_restart_takes_what_is_quick_here(here, start, stopped, quick):
    here("float32" if quick == "bfloat16" else "bfloat16")
    stop(start) if stopped else start()
    here(quick)
    assert start(restart=True)[0].precision == quick


@pytest.mark.parametrize("stopped", [False, True])
def test_another_precision_by_hand_is_another_training(here, start, stopped):
    here("bfloat16")
    stop(start) if stopped else start()
    with pytest.raises(BadValueError, match=r"run holds .*; choose another --out, or replace it w"):
        start(precision="float32")


def test_another_precision_is_refused(fork, tmp_path):
    # outside of the tests, where arguments are not checked by their types
    call = f"clbench.train('supervised_st', out={str(tmp_path / 'run')!r}, precision='half')"
    child = fork(f"import clbench; {call}", tmp_path)
    assert child.status() == 1
    said = "BadValueError: precision must be auto, float32 or bfloat16, got 'half'"
    assert said in child.err.read_text()
    assert not (tmp_path / "run").exists()
