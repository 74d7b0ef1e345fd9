"""The same picture on both sides of a split, or among the test images, is found and said."""

import logging
import re

import numpy as np
import pytest
import torch

from clbench.data.load import load_test_set, training_set
from clbench.schema.errors import DataError
from clbench.training.images import NOT_COMPARED, training_images

N = 200


@pytest.fixture
def save(tmp_path):
    """Return a function that writes digits, or changed ones, with repeats of some added."""
    digits = training_set("digits", "train")
    images = (digits.images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()

    def write(repeats=None, *, labels=None, contrast=1.0):
        x, y = images[:N], digits.labels.numpy()[:N]
        if repeats is not None:
            where, change = repeats
            x = np.concatenate([change(x[where]), x])
            y = np.concatenate([(y if labels is None else labels(y))[where], y])
        x = (255 - (255 - x) * contrast).round().astype(np.uint8)
        np.savez(tmp_path / "mine.npz", x=x, y=y)
        return [tmp_path / "mine.npz"]

    return write


def same(x):
    return x


def brighter(x):
    return np.minimum(x.astype(int) + 3, 255).astype(np.uint8)


def noisy(x):
    noise = np.random.default_rng(0).integers(-4, 5, x.shape)
    return np.clip(x + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("where", [slice(None), slice(100, None), slice(150, None, 2)])
@pytest.mark.parametrize("labels", [None, lambda y: (y + 1) % 10])
def test_repeats_of_validation_images_are_left_out_and_said(save, caplog, where, labels):
    found = training_images("digits", save((where, same), labels=labels))
    n_repeats = len(range(N)[where])
    left_out = N + n_repeats - len(found.train) - len(found.validation)
    assert left_out > 0
    known = {one.numpy().tobytes() for one in found.validation.images}
    assert not known & {one.numpy().tobytes() for one in found.train.images}
    note = (
        f"{left_out} of {len(found.train) + left_out} training images are duplicates of validation"
    )
    assert found.notes[0].startswith(note)
    assert note in caplog.text


@pytest.mark.parametrize("change", [brighter, noisy])
@pytest.mark.parametrize("where", [slice(None), slice(100, None)])
def test_near_duplicates_are_said_and_stay(save, caplog, change, where):
    found = training_images("digits", save((where, change)))
    (note,) = found.notes
    assert "training images are near duplicates of validation images: accuracy on these is" in note
    assert note in caplog.text
    assert len(found.train) + len(found.validation) == N + len(range(N)[where])


def test_floats_are_compared_as_bytes_are(save, tmp_path):
    (path,) = save((slice(None), same))
    with np.load(path) as file:
        x, y = file["x"], file["y"]
    np.savez(tmp_path / "floats.npz", x=x.astype(np.float32) / 255, y=y)
    bytes_, floats = (training_images("digits", [one]) for one in (path, tmp_path / "floats.npz"))
    assert bytes_.notes == floats.notes != ()
    assert bytes_.train.sha256 == floats.train.sha256


@pytest.mark.parametrize("contrast", [1, 0.2, 0.05])
def test_ordinary_images_of_any_contrast_are_taken_without_a_word(save, caplog, contrast):
    found = training_images("digits", save(contrast=contrast))
    assert found.notes == ()
    assert len(found.train) + len(found.validation) == N
    assert caplog.records == []


def test_digits_themselves_are_taken_without_a_word(caplog):
    found = training_images("digits", [])
    assert found.notes == ()
    assert found.train.sha256 == training_set("digits", "train").sha256
    assert found.validation.sha256 == training_set("digits", "validation").sha256
    assert found.test_images == "none of 360 is among these images, nor a near duplicate of one"
    assert caplog.records == []


@pytest.mark.parametrize("n", [1, 10, 360])
def test_test_images_that_are_trained_on_are_counted_and_said(tmp_path, caplog, n):
    train, test = training_set("digits", "train"), load_test_set("digits")
    x = torch.cat([train.images[:N], test.images[:n]]).permute(0, 2, 3, 1).numpy()
    y = torch.cat([train.labels[:N], test.labels[:n]]).numpy()
    np.savez(tmp_path / "both.npz", x=x, y=y)
    found = training_images("digits", [tmp_path / "both.npz"])
    assert found.test_images == f"{n} of 360 are among these images, 0 more nearly"
    (note,) = found.notes
    assert note == f"of the test images, {found.test_images}: accuracy on them will be too high"
    assert [one.levelno for one in caplog.records] == [logging.WARNING]


def test_what_was_not_compared_is_called_so(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(60) % 10)
    assert training_images("cifar10", [tmp_path / "mine.npz"]).test_images == NOT_COMPARED


def test_images_that_are_all_on_both_sides_are_refused(tmp_path):
    x = np.zeros((40, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "black.npz", x=x, y=np.arange(40) % 2)
    with pytest.raises(
        DataError, match=r"^0 training images are left, as 38 are duplicates of valid"
    ):
        training_images("digits", [tmp_path / "black.npz"])


@pytest.mark.parametrize(
    ("kept", "absent"), [(9, "1 of 10 cl.*: 9"), (3, "7 of 10 .*: 3, 4, 5, 6, 7, ...")]
)
def test_classes_without_a_training_image_are_said(tmp_path, caplog, kept, absent):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(60) % kept)
    (note,) = training_images("digits", [tmp_path / "mine.npz"]).notes
    assert re.fullmatch(absent.replace("...", r"\.\.\."), note)
    assert note in caplog.text
