import math
import random
from dataclasses import asdict

import pytest

from clbench.data.image_set import make_image_set
from clbench.schema.errors import BadValueError, ModelError, RecordError
from clbench.testing.damage import flipped
from clbench.training import training, under_way
from clbench.training.artifacts import LOG, WEIGHTS
from clbench.training.checkpoint import FILE as CHECKPOINT
from clbench.training.checkpoint import read_checkpoint
from clbench.training.loop import train_recipe
from clbench.training.phases import PhaseRun

TWO_AND_TWO = {"pretraining.epochs": "2", "finetuning.epochs": "2"}


class Stopped(BaseException):
    """As a kill would end it: nothing catches it."""


@pytest.fixture
def run(make_recipe, digits, fabric, tmp_path):
    """Return a function that trains a short recipe into a folder, and gives its weights."""

    def train_short(folder="run", changes=None, *, name="simclr_full_at", images=digits, **options):
        recipe = make_recipe(name, TWO_AND_TWO | (changes or {}))
        train_recipe(recipe, tmp_path / folder, *images, fabric=fabric, **options)
        return (tmp_path / folder / WEIGHTS).read_bytes()

    return train_short


@pytest.fixture
def stop_after(run):
    """Return a function that stops a training after some epochs, its checkpoint written."""

    def stop(epochs, folder="run", **options):
        seen = []

        def note(row):
            seen.append(row)
            if len(seen) == epochs:
                raise Stopped

        with pytest.raises(Stopped):
            run(folder, on_epoch=note, **options)
        return seen

    return stop


def test_a_stopped_training_goes_on_to_the_same_weights(run, stop_after, tmp_path):
    expected, before = run("whole"), []
    for epochs in (1, 1, 1, 1):  # after every epoch there is
        before += stop_after(epochs)
    rows = []
    assert run(on_start=lambda _, there: rows.extend(there), on_epoch=rows.append) == expected
    assert [(row.phase, row.epoch) for row in rows] == [
        *(("pretraining", 1), ("pretraining", 2), ("finetuning", 1), ("finetuning", 2))
    ]
    assert [asdict(row) for row in rows] == [asdict(row) for row in before]
    assert len((tmp_path / "run" / LOG).read_text(encoding="utf-8").splitlines()) == 5
    assert not (tmp_path / "run" / CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("module", "where"),
    [(under_way, "write_log"), (under_way, "write_checkpoint"), (training, "keep_backbone")],
)
def test_a_training_stopped_between_two_files_goes_on_to_the_same_weights(
    run, stop_after, module, where, monkeypatch
):
    expected, write = run("whole"), getattr(module, where)
    stop_after(1)

    def stop(*arguments, **options):
        write(*arguments, **options)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(module, where, stop)
        with pytest.raises(Stopped):
            run()
    assert run() == expected


def test_a_reused_backbone_goes_on_too(run, stop_after, tmp_path):
    run("at", name="simclr_at")
    options = {"pretrained": tmp_path / "at"}
    expected = run("whole", **options)
    seen = stop_after(1, **options)
    assert seen[0].phase == "finetuning"
    assert run(**options) == expected


def test_a_training_tells_what_it_is_about_to_do(run, stop_after, tmp_path):
    told = []

    def on_start(phases, rows):
        told.append((list(phases), len(rows)))

    stop_after(1)
    run(on_start=on_start)
    run("reused", pretrained=tmp_path / "run", on_start=on_start)
    assert told == [(["pretraining", "finetuning"], 1), (["finetuning"], 0)]


def test_the_time_before_a_stop_counts(stop_after, tmp_path, monkeypatch):
    stop_after(1)
    folder = tmp_path / "run"
    settings = read_checkpoint(folder, {}).settings
    assert read_checkpoint(folder, settings).seconds > 0
    monkeypatch.setattr(
        under_way, "read_checkpoint", lambda *a: _older(read_checkpoint(*a), seconds=1000.0)
    )
    stop_after(1)
    assert read_checkpoint(folder, settings).seconds > 1000


def _older(checkpoint, seconds):
    return type(checkpoint)(**(vars(checkpoint) | {"seconds": seconds}))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"changes": {"pretraining.optimizer.lr": "0.07"}}, "recipe"),
        ({"changes": {"seed": "1"}}, "recipe"),
        ({"name": "simclr_partial_at"}, "model and recipe"),
    ],
)
def test_another_training_does_not_go_on_here(run, stop_after, options, named):
    stop_after(1)
    with pytest.raises(
        BadValueError, match=f"run holds a training under way with another {named}; choose another"
    ):
        run(**options)


def test_a_training_does_not_go_on_with_other_images(run, stop_after, digits):
    stop_after(1)
    train, validation = digits
    other = make_image_set("digits-train", train.images.flip(3), train.labels, 10)
    with pytest.raises(BadValueError, match="under way with another training images; choose"):
        run(images=(other, validation))


def test_a_damaged_checkpoint_is_named(run, stop_after, tmp_path):
    stop_after(1)
    path = tmp_path / "run" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        RecordError, match=r"run/checkpoint\.pt is damaged: its .*; train again with --restart"
    ):
        run()


def _flip(data, chance):
    return flipped(bytes(data), chance.randrange(8 * len(data)))


def _cut_off(data, chance):
    return data[: chance.randrange(len(data))]


def _zero_a_block(data, chance):
    start = chance.randrange(len(data) - 4096)
    data[start : start + 4096] = bytes(4096)
    return data


@pytest.mark.parametrize(("damage", "times"), [(_flip, 60), (_cut_off, 20), (_zero_a_block, 20)])
def test_whatever_happens_to_a_checkpoint_is_found_and_it_is_kept(
    run, stop_after, tmp_path, damage, times
):
    stop_after(1)
    path, chance = tmp_path / "run" / CHECKPOINT, random.Random(0)
    content = path.read_bytes()
    for _ in range(times):
        damaged = bytes(damage(bytearray(content), chance))
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"^.*run/checkpoint\.pt is damaged: .* --restart or"):
            run()
        assert path.read_bytes() == damaged
    path.write_bytes(content)
    assert run() == run("whole")


def test_a_training_does_not_go_on_with_other_validation_images(run, stop_after, digits):
    stop_after(1)
    train, validation = digits
    other = make_image_set("digits", validation.images, validation.labels.flip(0), 10)
    with pytest.raises(BadValueError, match="under way with another validation images; choose"):
        run(images=(train, other))


# a loss that is no number


def diverging_in(phase, epoch, monkeypatch):
    """Let the loss of an epoch be no number."""
    step = PhaseRun._step

    def diverge(self, *arguments):
        loss = step(self, *arguments)
        return loss * math.nan if (self.name, self.epoch) == (phase, epoch) else loss

    monkeypatch.setattr(PhaseRun, "_step", diverge)


@pytest.mark.parametrize(
    ("phase", "epoch", "kept"),
    [
        ("pretraining", 1, "nothing was kept"),
        ("pretraining", 2, r".*run/checkpoint\.pt has pretraining epoch 1"),
        ("finetuning", 1, r".*run/checkpoint\.pt has pretraining epoch 2"),
        ("finetuning", 2, r".*run/checkpoint\.pt has finetuning epoch 1"),
    ],
)
def test_a_diverged_training_names_the_epoch_what_is_kept_and_what_to_try(
    run, monkeypatch, tmp_path, phase, epoch, kept
):
    lr = {"pretraining": "0.033", "finetuning": "0.0067"}[phase]
    message = (
        rf"^loss of simclr_full_at\.digits became nan in {phase} epoch {epoch}, most likely by "
        rf"optimizer\.lr = 0\.\d+; {kept}; train again "
        rf"with --restart --set {phase}\.optimizer\.lr={lr}$"
    )
    with monkeypatch.context() as patch:
        diverging_in(phase, epoch, patch)
        with pytest.raises(ModelError, match=message) as caught:
            run()
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run" / CHECKPOINT).exists() is (kept != "nothing was kept")


def test_what_was_kept_before_a_divergence_goes_on(run, monkeypatch):
    expected = run("whole")
    with monkeypatch.context() as patch:
        diverging_in("finetuning", 1, patch)
        with pytest.raises(ModelError, match="became nan in finetuning epoch 1"):
            run()
    assert run() == expected


def test_settings_that_diverge_are_named(run):
    wild = {"lr": "100", "weight_decay": "1.0", "momentum": "0.99"}
    changes = {f"pretraining.optimizer.{field}": text for field, text in wild.items()}
    message = (
        r"became (nan|inf) in pretraining epoch \d+, most likely by optimizer\.weight_decay = 1; "
        r".* --restart --set pretraining\.optimizer\.weight_decay=0\.0005$"
    )
    with pytest.raises(ModelError, match=message):
        run(changes=changes | {"pretraining.epochs": "20"})
