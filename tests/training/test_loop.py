import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.models import build_backbone, load_model, load_weights, read_weights
from clbench.models.weights import read_about
from clbench.schema.errors import BadValueError, RecordError, StorageError
from clbench.schema.files import sha256_of_file
from clbench.testing.damage import flips
from clbench.training import images as training_images
from clbench.training import loop
from clbench.training.artifacts import BACKBONE, CARD, LOG, PICTURES, RECORD, WEIGHTS, read_record
from clbench.training.curves import FILE as CURVES
from clbench.training.devices import make_fabric
from clbench.training.loop import train, train_recipe
from clbench.training.training import new_network
from clbench.training.validate import accuracy

SHORT = {
    "backbone": "resnet10_w16",
    "validation.steps": "1",
    "pretraining.epochs": "1",
    "finetuning.epochs": "1",
}
ONE_PHASE = {key: text for key, text in SHORT.items() if not key.startswith("finetuning")}


@pytest.fixture
def run(make_recipe, digits, fabric, tmp_path):
    """Return a function that trains a short recipe into a folder; it returns folder and record."""

    def train_short(name="simclr_at", folder="run", changes=None, *, pretrained=None, **options):
        recipe = make_recipe(name, changes, seed=options.pop("seed", None))
        out = tmp_path / folder
        return out, train_recipe(
            recipe, out, *digits, fabric=fabric, pretrained=pretrained, **options
        )

    return train_short


@pytest.fixture
def _few(digits, monkeypatch):
    """Let ``train`` use a few digits."""
    train_images, validation = digits
    monkeypatch.setattr(
        training_images,
        "training_set",
        lambda _, split, **__: {"train": train_images}.get(split, validation),
    )


def read_log(out):
    with (out / LOG).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_files_and_no_checkpoint(run):
    out, record = run()
    assert {path.name for path in out.iterdir()} == {
        *(WEIGHTS, BACKBONE, PICTURES, LOG, CARD, RECORD, CURVES)
    }
    assert read_record(out) == record
    assert record.model == "simclr_at.digits"
    assert record.selected == {"pretraining": 1, "finetuning": 1}
    assert (record.n_train, record.n_validation) == (48, 20)
    assert (record.processes, record.precision, record.device) == (1, "float32", "cpu")


def test_the_log_has_a_row_for_every_epoch(run):
    out, _ = run("supcon_partial_at", changes={"pretraining.epochs": "2", "finetuning.epochs": "2"})
    rows = read_log(out)
    assert [(row["phase"], row["epoch"], row["n_epochs"]) for row in rows] == [
        ("pretraining", "1", "2"),
        ("pretraining", "2", "2"),
        ("finetuning", "1", "2"),
        ("finetuning", "2", "2"),
    ]
    assert rows[0]["clean_acc"] == ""
    assert 0 <= float(rows[-1]["robust_acc"]) <= 1
    assert all(float(row["images_per_second"]) > 0 for row in rows)


def test_the_same_command_gives_the_same_bytes(run):
    (one, first), (other, second) = run(folder="one"), run(folder="other")
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    assert first.weights_sha256 == second.weights_sha256
    assert (first.clean_acc, first.robust_acc) == (second.clean_acc, second.robust_acc)


def test_another_seed_gives_other_weights(run):
    assert run(folder="one")[1].weights_sha256 != run(folder="other", seed=1)[1].weights_sha256


def test_a_reused_backbone_is_as_good_as_a_new_one(run):
    at, _ = run("supcon_at", "at")
    _, reused = run("supcon_full_at", "reused", pretrained=at)
    _, anew = run("supcon_full_at", "anew")
    assert reused.weights_sha256 == anew.weights_sha256
    assert reused.selected == {"finetuning": 1}
    assert reused.pretrained_from == "at"


@pytest.mark.parametrize("name", ["simclr_at", "simclr_partial_at"])
def test_the_backbone_of_frozen_scenarios_is_the_pretrained_one(run, name):
    out, _ = run(name)
    weights, backbone = read_weights(out / WEIGHTS), read_weights(out / BACKBONE)
    assert weights.keys() - backbone.keys() == {"fc.weight", "fc.bias"}
    rounded = {
        key: value.half() if value.is_floating_point() else value for key, value in backbone.items()
    }
    assert all(torch.equal(weights[key], value) for key, value in rounded.items())


def test_the_accuracies_are_those_of_the_written_weights(run, digits, make_recipe):
    out, record = run("supervised_at", changes={"pretraining.epochs": "3"})
    network = build_backbone("resnet10_w16", in_chans=1, num_classes=10)
    assert load_weights(network, out / WEIGHTS) == record.weights_sha256
    cpu, attack = torch.device("cpu"), make_recipe("supervised_at").validation
    assert accuracy(network, digits[1], None, device=cpu) == record.clean_acc
    assert accuracy(network, digits[1], attack, device=cpu) == record.robust_acc


def test_the_weights_tell_of_their_training(run):
    out, record = run("supervised_st", seed=3)
    assert read_about(out / WEIGHTS) == {
        "backbone": "resnet10_w16",
        "model": "supervised_st.digits",
        "scheme": "supervised",
        "scenario": "st",
        "dataset": "digits",
        "training_seed": "3",
        "recipe_sha256": record.recipe_sha256,
    }
    loaded = load_model("supervised_st", dataset="digits", weights=out / WEIGHTS)
    assert (loaded.training_seed, loaded.recipe_sha256) == (3, record.recipe_sha256)


def test_only_so_many_validation_images_are_used(run):
    _, record = run("supervised_st", changes={"validation.examples": "7"})
    assert record.n_validation == 7
    _, record = run("supervised_st", "more", changes={"validation.examples": "700"})
    assert record.n_validation == 20


def test_global_randomness_is_left_alone(run):
    before = torch.get_rng_state()
    run("supervised_st")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_weights_depend_on_the_seed_alone(make_recipe, digits):
    first, second, other = (new_network(make_recipe(seed=seed), digits[0]) for seed in (4, 4, 5))
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_bfloat16_trains_too(make_recipe, digits, tmp_path):
    recipe = make_recipe("simclr_full_at", {"precision": "bfloat16"})
    record = train_recipe(recipe, tmp_path, *digits, fabric=make_fabric("cpu", "bfloat16"))
    assert record.precision == "bfloat16"
    assert {value.dtype for value in read_weights(tmp_path / BACKBONE).values()} == {
        torch.float32,
        torch.int64,
    }


# the same training again


@pytest.mark.usefixtures("_few")
def test_a_finished_training_is_not_repeated_unless_asked(tmp_path):
    epochs = []
    options = {"changes": SHORT, "on_epoch": epochs.append}
    first = train("simclr_st", out=tmp_path, **options)
    assert first.new
    assert len(epochs) == 2
    second = train("simclr_st", out=tmp_path, **options)
    assert not second.new
    assert second.record == first.record
    assert len(epochs) == 2
    third = train("simclr_st", out=tmp_path, restart=True, **options)
    assert third.new
    assert third.record.weights_sha256 == first.record.weights_sha256


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize(
    ("name", "seed", "change"),
    [
        ("supervised_at", 0, {}),
        ("supervised_st", 9, {}),
        ("supervised_st", 0, {"pretraining.epochs": "2"}),
    ],
)
def test_another_training_in_the_folder_is_not_overwritten(tmp_path, name, seed, change):
    kept = train("supervised_st", out=tmp_path, changes=ONE_PHASE).record
    message = r"holds supervised_st\.digits \(seed 0\) by another recipe; choose another --out, or"
    with pytest.raises(BadValueError, match=message):
        train(name, out=tmp_path, seed=seed, changes=ONE_PHASE | change)
    assert read_record(tmp_path) == kept


@pytest.mark.usefixtures("_few")
def test_an_interrupted_restart_is_no_finished_training(tmp_path):
    def interrupt(row):
        raise KeyboardInterrupt

    options = {"changes": ONE_PHASE}
    train("supervised_st", out=tmp_path, **options)
    with pytest.raises(KeyboardInterrupt):
        train(
            "supervised_st",
            out=tmp_path,
            **(options | {"restart": True, "on_epoch": interrupt}),
        )
    assert read_record(tmp_path) is None
    assert train("supervised_st", out=tmp_path, **options).new


@pytest.mark.parametrize(
    "damage", [lambda text: text[:50], lambda text: "{}", lambda text: "[1]", lambda text: ""]
)
def test_a_damaged_record_is_named(run, damage):
    out, _ = run("supervised_st")
    path = out / RECORD
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(
        RecordError, match=r"run\.json is .*; (move it away, or )?train again with --rest"
    ):
        read_record(out)


def test_a_flipped_bit_of_a_record_is_found(run):
    out, record = run("supervised_st")
    path = out / RECORD
    content = path.read_bytes()
    for _, damaged in flips(content, 60):
        path.write_bytes(damaged)
        with pytest.raises(
            RecordError, match=r"run\.json is .*; (move it away, or )?train again with"
        ):
            read_record(out)
    path.write_bytes(content)
    assert read_record(out) == record


def test_a_record_without_a_checksum_is_an_older_one_and_read(run):
    out, record = run("supervised_st")
    new = ("artifacts", "pretrained_on", "recipe_sha256", "schema_version", "checksum")
    new += ("validation_sha256", "pretrained_sha256", "notes", "test_images")
    table = json.loads((out / RECORD).read_text(encoding="utf-8"))
    old = {key: value for key, value in table.items() if key not in new}
    (out / RECORD).write_text(json.dumps(old, indent=1), encoding="utf-8")
    assert read_record(out) == replace(
        record, artifacts={}, recipe_sha256="", validation_sha256="", notes=(), test_images=""
    )


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"?", lambda data: data[:99]])
def test_other_weights_are_no_finished_training(tmp_path, damage):
    train("supervised_st", out=tmp_path, changes=ONE_PHASE)
    path = tmp_path / WEIGHTS
    path.write_bytes(damage(path.read_bytes()))
    message = (
        r"weights\.safetensors is not the file that run\.json beside it names; train again with"
    )
    with pytest.raises(RecordError, match=message):
        train("supervised_st", out=tmp_path, changes=ONE_PHASE)


def test_the_record_names_its_other_files(run):
    out, record = run()
    assert record.artifacts == {
        name: sha256_of_file(out / name) for name in (BACKBONE, PICTURES, LOG, CARD)
    }


def test_networks_of_one_recipe_have_one_recipe_sha256_whatever_their_seed(run):
    _, one = run("supervised_st", "one")
    _, other = run("supervised_st", "other", seed=1)
    _, longer = run("supervised_st", "longer", {"pretraining.epochs": "2"})
    assert one.recipe_sha256 == other.recipe_sha256 != longer.recipe_sha256


# a backbone from elsewhere


def test_pretraining_comes_only_from_a_finished_run_of_the_same(run, tmp_path):
    with pytest.raises(BadValueError, match="missing holds no finished training"):
        run("simclr_full_at", pretrained=tmp_path / "missing")
    supcon, _ = run("supcon_at", "supcon")
    message = r"^--from must be the folder of a .*, got the file '.*'; give '.*/supcon'$"
    with pytest.raises(BadValueError, match=message):
        run("simclr_full_at", pretrained=supcon / WEIGHTS)
    message = r"supcon holds supcon_at\.digits, which was pretrained otherwise than simclr_full_at"
    with pytest.raises(BadValueError, match=message):
        run("simclr_full_at", pretrained=supcon)
    with pytest.raises(BadValueError, match=r"^supervised_at\.digits is trained in one phase"):
        run("supervised_at", pretrained=supcon)


def test_another_backbone_is_not_pretrained_from(run):
    at, _ = run("supcon_at", "at")
    content = bytearray((at / BACKBONE).read_bytes())
    content[-1] ^= 1
    (at / BACKBONE).write_bytes(content)
    with pytest.raises(
        RecordError, match=r"at/backbone\.safetensors is not the file that run\.json"
    ):
        run("supcon_full_at", pretrained=at)


def test_a_wrong_source_of_pretraining_costs_no_finished_run(run, tmp_path):
    out, kept = run("simclr_full_at")
    with pytest.raises(BadValueError, match="missing holds no finished training"):
        run("simclr_full_at", pretrained=tmp_path / "missing")
    assert read_record(out) == kept


# what can go wrong before


def test_a_folder_that_cannot_be_written_is_told_of_before_training(
    make_recipe, digits, fabric, tmp_path
):
    taken = tmp_path / "taken"
    taken.write_text("a file", encoding="utf-8")
    epochs = []
    with pytest.raises(StorageError, match=r"^cannot (write|replace) .*taken"):
        train_recipe(make_recipe(), taken / "run", *digits, fabric=fabric, on_epoch=epochs.append)
    assert epochs == []


def test_a_folder_cannot_be_taken_from_a_run_that_cannot_be_removed(run, monkeypatch):
    run("supervised_st")

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(StorageError, match=r"^cannot replace the run in .*: Permission denied; ch"):
        run("supervised_st")


# images of one's own


@pytest.fixture
def pictures(digits, tmp_path):
    """Return a function that writes a file of a few digits."""
    images = (digits[0].images.permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()

    def write(name="mine.npz", first=0):
        np.savez(tmp_path / name, x=images[first:], y=digits[0].labels.numpy()[first:])
        return tmp_path / name

    return write


def test_images_of_ones_own_are_trained_on_and_named(pictures, tmp_path):
    out = tmp_path / "run"
    trained = train("supervised_st", out=out, changes=ONE_PHASE, data=[pictures()])
    assert (trained.record.n_train, trained.record.n_validation) == (38, 10)
    assert trained.record.files == ("mine.npz",)
    card = (out / CARD).read_text(encoding="utf-8")
    assert "| Data | digits, mine.npz: 38 training images, sha256 " in card
    assert (
        "| Test images | none of 360 is among these images, nor a near duplicate of one |" in card
    )
    assert "--data mine.npz" in card
    assert str(tmp_path) not in card


def test_places_may_be_text(pictures, tmp_path):
    options = {"changes": ONE_PHASE, "out": str(tmp_path / "run")}
    trained = train("supervised_st", data=str(pictures()), **options)
    assert trained.record.files == ("mine.npz",)
    assert not train("supervised_st", data=[str(pictures())], **options).new
    with pytest.raises(BadValueError, match="is trained in one phase, so --from has no use"):
        train("supervised_st", pretrained=str(tmp_path / "run"), **options)


def test_a_finished_training_is_known_by_its_images_not_by_their_file(pictures, tmp_path):
    out, options = tmp_path / "run", {"changes": ONE_PHASE}
    train("supervised_st", out=out, data=[pictures()], **options)
    assert not train("supervised_st", out=out, data=[pictures()], **options).new
    assert not train("supervised_st", out=out, data=[pictures("theirs.npz")], **options).new
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    message = r"^.*run holds supervised_st\.digits \(seed 0\) of other images; choose another --out"
    for files in ([], [pictures("mine.npz", first=1)]):
        with pytest.raises(BadValueError, match=message):
            train("supervised_st", out=out, data=files, **options)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


# what a card says


@pytest.mark.usefixtures("_few")
def test_the_card_says_how_it_was_made(tmp_path):
    record = train("simclr_partial_at", out=tmp_path, changes=SHORT).record
    text = (tmp_path / CARD).read_text(encoding="utf-8")
    assert text.startswith("# simclr_partial_at.digits\n")
    assert record.weights_sha256 in text
    assert "clbench train simclr_partial_at --dataset digits --set backbone=resnet10_w16" in text
    assert "--set finetuning.epochs=1 --seed 0 --out DIR" in text
    assert "| validation, PGD-1, Linf 1/6 |" in text
    table = text.split("```json")[1].split("```")[0]
    assert json.loads(table) == record.recipe


def test_the_card_has_a_table_of_the_budget(run):
    out, _ = run("simclr_partial_at", changes={"finetuning.epochs": "2"})
    text = (out / CARD).read_text(encoding="utf-8")
    assert "| phase | loss | labels used | epochs | passes per image and epoch |" in text
    assert "| pretraining | nt_xent | none | 1 (kept: 1) | 4 |" in text
    assert "| finetuning | cross_entropy | all | 2 (kept: " in text


def test_the_card_names_the_run_whose_backbone_was_reused(run):
    at, _ = run("supcon_at", "at")
    out, _ = run("supcon_full_at", "full", pretrained=at)
    text = (out / CARD).read_text(encoding="utf-8")
    assert "| pretraining | supcon | all | 1 (reused from at) |" in text
    assert "reused pretraining not counted" in text
    of = read_record(at)
    assert f"| digits, the public archive, sha256 {of.data_sha256}, seed {of.seed} |" in text


def test_the_card_says_which_share_of_labels_was_used(run):
    out, _ = run("semi_simclr_supervised")
    text = (out / CARD).read_text(encoding="utf-8")
    assert "| pretraining | nt_xent and cross_entropy | 20% | 1 (kept: 1) | 2 |" in text
    assert "| finetuning | cross_entropy | 20% | 1 (kept: 1) | 1 |" in text


@pytest.mark.parametrize("as_read", ["auto", "float32", "bfloat16"])
def test_the_command_of_the_card_trains_the_same_again(run, make_recipe, as_read):
    changes = {"pretraining.optimizer.lr": "0.05", "validation.eps": "1/5"}
    precision = "" if as_read == "bfloat16" else "--precision bfloat16 "
    command = loop._command(
        replace(make_recipe(), precision="bfloat16"),
        recipe_name="own.toml",
        changes=changes,
        as_read=as_read,
        files=[Path("/data/mine.npz")],
        pretrained=Path("/runs/first run"),
    )
    assert command == (
        "clbench train simclr_at --dataset digits --recipe own.toml "
        "--set pretraining.optimizer.lr=0.05 --set validation.eps=1/5 "
        f"{precision}--data mine.npz --from 'first run' --seed 0 --out DIR"
    )


def test_names_of_files_are_text_in_a_card(pictures, tmp_path):
    path = pictures().rename(tmp_path / "a | b\nc `d`.npz")
    train("supervised_st", out=tmp_path / "run", changes=ONE_PHASE, data=[path])
    card = (tmp_path / "run" / CARD).read_text(encoding="utf-8")
    assert "| Data | digits, a \\| b c `d`.npz: 38 training images" in card
