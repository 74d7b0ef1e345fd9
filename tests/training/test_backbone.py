"""A backbone that is reused: whose it is, what it was trained on, and when it is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from clbench.data.image_set import make_image_set
from clbench.schema.errors import BadValueError, RecordError
from clbench.training.artifacts import (
    BACKBONE,
    CARD,
    PICTURES,
    RECORD,
    WEIGHTS,
    read_record,
    write_record,
)
from clbench.training.images import NOT_COMPARED
from clbench.training.loop import train_recipe

AT_ONCE = {
    "pretraining.optimizer.warmup_epochs": "0",
    "finetuning.optimizer.warmup_epochs": "0",
}
"""So that one epoch is no warm-up."""


def part(images, *where):
    """Some examples of a set, as a set of its own."""
    kept = torch.cat([torch.arange(start, stop) for start, stop in where])
    return make_image_set(images.name, images.images[kept], images.labels[kept], images.n_classes)


def blurred(images, levels):
    """The same pictures, a few grey levels brighter."""
    return make_image_set(
        images.name, (images.images + levels / 255).clamp(0, 1), images.labels, images.n_classes
    )


@pytest.fixture
def run(make_recipe, digits, fabric, tmp_path):
    """Return a function that trains a short recipe on images of its own; it returns the record."""

    def train_short(name, folder, images=digits, *, source=None, changes=None, **options):
        options = {"pretrained": tmp_path / source if source else None} | options
        return train_recipe(
            make_recipe(name, AT_ONCE | (changes or {}), seed=options.pop("seed", None)),
            *(tmp_path / folder, *images),
            fabric=fabric,
            **options,
        )

    return train_short


@pytest.fixture
def content(tmp_path):
    """Return a function that gives all files of a folder, for comparison."""
    return lambda folder: {p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()}


def test_a_run_tells_the_seed_and_the_images_of_its_backbone(run, digits, tmp_path):
    train, validation = digits
    first = run("supcon_at", "at", (part(train, (0, 30)), validation), seed=5)
    found = run("supcon_full_at", "full", (part(train, (20, 48)), validation), source="at")
    assert (found.pretrained_from, found.pretrained_seed) == ("at", 5)
    assert found.pretrained_sha256 == first.data_sha256 != found.data_sha256
    assert found.test_images == f"{NOT_COMPARED}; with those of the backbone: {NOT_COMPARED}"
    text = (tmp_path / "full" / CARD).read_text(encoding="utf-8")
    assert f"sha256 {first.data_sha256}, seed 5 |" in text


def test_a_backbone_that_was_reused_is_still_of_its_first_images(run, digits, tmp_path):
    train, validation = digits
    first = run("supcon_at", "at", (part(train, (0, 30)), validation), seed=5)
    run("supcon_full_at", "full", (part(train, (20, 48)), validation), source="at")
    last = run("supcon_partial_at", "partial", (part(train, (20, 48)), validation), source="full")
    assert (last.pretrained_seed, last.pretrained_sha256) == (5, first.data_sha256)
    files = [(tmp_path / name / PICTURES).read_bytes() for name in ("at", "full", "partial")]
    assert files[0] == files[1] == files[2]
    backbones = {(tmp_path / name / BACKBONE).read_bytes() for name in ("at", "full", "partial")}
    assert len(backbones) == 1


def relabelled(images):
    return make_image_set("digits", images.images, (images.labels + 1) % 10, 10)


@pytest.mark.parametrize(
    ("seen", "change"),
    [
        ("all", lambda images: images),
        ("one", lambda images: images),
        ("all", lambda images: blurred(images, 2)),
        ("one", lambda images: blurred(images, 2)),
        ("half", lambda images: blurred(images, -3)),
        ("one", relabelled),
    ],
)
def test_a_backbone_that_saw_validation_images_is_refused(run, digits, content, seen, change):
    train, validation = digits
    n = {"all": 20, "half": 10, "one": 1}[seen]
    shown = change(part(validation, (0, n)))
    both = make_image_set(
        "digits",
        torch.cat([train.images[:20], shown.images]),
        torch.cat([train.labels[:20], shown.labels]),
        10,
    )
    run("simclr_at", "at", (both, part(train, (20, 40))))
    run("simclr_full_at", "kept", digits)
    before = content("kept")
    message = rf"at was trained on {n} of the 20 validation images, or near duplicates; give it the"
    with pytest.raises(BadValueError, match=message):
        run("simclr_full_at", "kept", digits, source="at", restart=True)
    assert content("kept") == before


def test_a_backbone_of_other_images_is_reused_without_a_word(run, digits, caplog):
    train, validation = digits
    run("simclr_at", "at", (part(train, (0, 24)), validation))
    caplog.clear()
    found = run("simclr_partial_at", "full", (part(train, (24, 48)), validation), source="at")
    assert found.notes == ()
    assert caplog.records == []


def test_a_backbone_of_an_older_clbench_is_reused_with_a_word(run, digits, tmp_path, caplog):
    train, validation = digits
    older = run("simclr_at", "at", (part(train, (0, 24)), validation))
    (tmp_path / "at" / PICTURES).unlink()
    kept = {name: one for name, one in older.artifacts.items() if name != PICTURES}
    write_record(tmp_path / "at", replace(older, artifacts=kept))
    found = run("simclr_partial_at", "full", (part(train, (24, 48)), validation), source="at")
    note = (
        "the backbone of 'at' was trained on other images, by an older clbench: whether validation"
    )
    assert [one.startswith(note) for one in found.notes] == [True]
    assert note in caplog.text
    assert note in (tmp_path / "full" / CARD).read_text(encoding="utf-8")
    assert not (tmp_path / "full" / PICTURES).exists()


def test_what_was_wrong_with_the_images_of_a_backbone_is_said_of_the_network_too(run, digits):
    train, validation = digits
    first = (part(train, (0, 24)), validation)
    run("simclr_at", "at", first, about={"notes": ("3 of 24 training images are such",)})
    found = run("simclr_full_at", "full", (part(train, (24, 48)), validation), source="at")
    assert found.notes == ("backbone of 'at': 3 of 24 training images are such",)


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_damaged_pictures_are_named(run, digits, tmp_path, damage):
    train, validation = digits
    record = run("simclr_at", "at", (part(train, (0, 24)), validation))
    path = tmp_path / "at" / PICTURES
    other = safetensors.torch.save({"others": torch.zeros(1)}) if damage is None else damage
    path.write_bytes(other)
    with pytest.raises(RecordError, match=r"pictures\.safetensors is not the file that run\.json"):
        run("simclr_full_at", "full", source="at")
    kept = {name: one for name, one in record.artifacts.items() if name != PICTURES}
    write_record(tmp_path / "at", replace(record, artifacts=kept))
    with pytest.raises(RecordError, match=r"pictures\.safetensors cannot be read; train again"):
        run("simclr_full_at", "full", source="at")


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("spelling", ["at", "./at", "other/../at", "link"])
def test_a_run_does_not_overwrite_the_backbone_that_it_reuses(
    run, tmp_path, content, spelling, restart
):
    run("simclr_at", "at")
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "at")
    before = content("at")
    with pytest.raises(
        BadValueError, match=r"^--from and --out are both '.*'; choose another --ou"
    ):
        run("simclr_full_at", spelling, source="at", restart=restart)
    assert content("at") == before


def test_a_backbone_of_another_width_is_refused_before_anything_is_lost(run, content):
    run("simclr_at", "at")
    run("simclr_full_at", "kept")
    before = content("kept")
    with pytest.raises(
        BadValueError, match=r"at holds a resnet10_w16 for digits, simclr_full_at\.d"
    ):
        run(
            *("simclr_full_at", "kept"),
            source="at",
            changes={"backbone": "resnet18_w16"},
            restart=True,
        )
    assert content("kept") == before


def test_an_unfinished_run_is_no_backbone(run, tmp_path):
    run("simclr_at", "at")
    (tmp_path / "at" / RECORD).unlink()
    assert read_record(tmp_path / "at") is None
    with pytest.raises(BadValueError, match="at holds no finished training, nothing to pretrain"):
        run("simclr_full_at", "full", source="at")
    assert not (tmp_path / "full" / WEIGHTS).exists()


def test_a_backbone_in_the_folder_where_one_is_has_a_name(run, tmp_path, monkeypatch):
    run("simclr_at", "at")
    monkeypatch.chdir(tmp_path / "at")
    found = run("simclr_partial_at", "partial", pretrained=Path())
    assert found.pretrained_from == "at"
    assert "(reused from at)" in (tmp_path / "partial" / CARD).read_text(encoding="utf-8")
