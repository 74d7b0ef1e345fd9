"""A finished or stopped training is taken up by what it is of, or refused with nothing lost."""

import numpy as np
import pytest
import torch

from clbench.schema.errors import BadValueError, DataError
from clbench.training.loop import train

SHORT = {
    "backbone": "resnet10_w16",
    "validation.steps": "1",
    "pretraining.epochs": "1",
    "finetuning.epochs": "2",
    "pretraining.optimizer.warmup_epochs": "0",
    "pretraining.batch_size": "16",
    "finetuning.batch_size": "16",
}


class Stopped(BaseException):
    """As a kill would end it."""


@pytest.fixture
def save(digits, tmp_path):
    """Return a function that writes the same few digits, with a change, to a file."""
    images = (digits[0].images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    labels = digits[0].labels.numpy()

    def write(name="mine.npz", change=lambda x, y: (x, y)):
        x, y = change(images.copy(), labels.copy())
        np.savez(tmp_path / name, x=x, y=y)
        return [tmp_path / name]

    return write


@pytest.fixture
def start(tmp_path, save):
    """Return a function that trains on such a file; keyword arguments are those of ``train``."""

    def run(out="run", *, files=None, **options):
        options = {"name": "simclr_st", "changes": SHORT, "data": files or save()} | options
        return train(options.pop("name"), out=tmp_path / out, **options)

    return run


@pytest.fixture
def content(tmp_path):
    return lambda: {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def stop(start, **options):
    """Stop a training after its first epoch of finetuning."""

    def on_epoch(row):
        if row.phase == "finetuning":
            raise Stopped

    with pytest.raises(Stopped):
        start(on_epoch=on_epoch, **options)


def _first_pixel(x, y):
    x[0, 3, 3] ^= 1
    return x, y


def _last_pixel(x, y):
    x[-1, 3, 3] ^= 1
    return x, y


def _first_label(x, y):
    return x, np.append((y[0] + 1) % 10, y[1:])


def _last_label(x, y):
    return x, np.append(y[:-1], (y[-1] + 1) % 10)


def _order(x, y):
    return x[::-1], y[::-1]


def _one_fewer(x, y):
    return x[1:], y[1:]


def _swapped(x, y):
    x[[0, 1]] = x[[1, 0]]
    return x, y


CHANGES = [_first_pixel, _last_pixel, _first_label, _last_label, _order, _one_fewer, _swapped]


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_other_images_of_the_same_name_are_refused(start, save, content, change, stopped):
    stop(start) if stopped else start()
    before = content()
    message = (
        r"run holds (simclr_st\.digits \(seed 0\)|a training under way with another) .*--restart"
    )
    with pytest.raises(BadValueError, match=message):
        start(files=save(change=change))
    assert content() == before


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"changes": SHORT | {"finetuning.optimizer.lr": "0.2"}},
        {"precision": "bfloat16"},
        {"name": "supcon_st"},
        {"dataset": "digits", "data": ()},
    ],
)
def test_another_training_is_refused(start, content, change, stopped):
    stop(start) if stopped else start()
    before = content()
    with pytest.raises(BadValueError, match=r"run holds .*; choose another --out, or replace it w"):
        start(**change)
    assert content() == before


@pytest.mark.parametrize("stopped", [False, True])
def test_another_backbone_is_refused_and_the_same_one_is_known_anywhere(
    start, content, tmp_path, stopped
):
    for name, seed in (("one", 3), ("other", 4)):
        start(name, seed=seed)
    own = {"pretrained": tmp_path / "one"}
    stop(start, **own) if stopped else start(**own)
    before = content()
    for wrong in ({"pretrained": tmp_path / "other"}, {}):
        with pytest.raises(
            BadValueError, match=r"run holds .* another (--from|pretrained backbone)"
        ):
            start(**wrong)
        assert content() == before
    (tmp_path / "one").rename(tmp_path / "moved")
    found = start(pretrained=tmp_path / "moved")
    assert found.new is stopped
    assert found.record.pretrained_seed == 3


@pytest.mark.parametrize("stopped", [False, True])
def test_the_same_images_in_another_file_are_the_same(start, save, stopped):
    whole = start("whole").record
    stop(start) if stopped else start()
    found = start(files=save("renamed.npz"))
    assert found.new is stopped
    assert found.record.weights_sha256 == whole.weights_sha256
    assert found.record.validation_sha256 == whole.validation_sha256 != ""


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        {"pretraining.views.jitter": "0.4"},
        {"pretraining.batch_size": "1"},
        {"pretraining.adversary.eps": "1/6"},
        {"validation.norm": "L2", "validation.eps": "100"},
    ],
)
def test_a_restart_that_is_refused_loses_nothing(start, content, wrong, stopped):
    stop(start) if stopped else start()
    before = content()
    with pytest.raises(BadValueError):
        start(changes=SHORT | wrong, restart=True)
    assert content() == before


def test_a_restart_of_images_that_are_refused_loses_nothing(start, content, tmp_path):
    start()
    before = content()
    np.savez(tmp_path / "bad.npz", x=np.zeros((9, 8, 8, 1), np.uint8), y=np.full(9, 3))
    with pytest.raises(DataError, match="needs images of two classes, got 9 of class 3 only"):
        start(files=[tmp_path / "bad.npz"], restart=True)
    assert content() == before
