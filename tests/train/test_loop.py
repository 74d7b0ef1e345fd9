import csv

import pytest
import torch

from clbench.errors import BadValueError, RecordError, StorageError
from clbench.models import build_backbone, load_weights, read_weights
from clbench.train import loop
from clbench.train.loop import make_fabric, new_network, train, train_recipe
from clbench.train.phases import accuracy
from clbench.train.run_folder import BACKBONE, CARD, LOG, SUMMARY, WEIGHTS, read_summary


@pytest.fixture
def run(make_recipe, digits, fabric, tmp_path):
    """Return a function that trains a short recipe into a folder; it returns folder and summary."""

    def train_short(name="simclr_at", folder="run", *, pretrained=None, **changes):
        recipe = make_recipe(name, **changes)
        out = tmp_path / folder
        return out, train_recipe(recipe, out, *digits, fabric=fabric, pretrained=pretrained)

    return train_short


@pytest.fixture
def small(make_recipe, digits, monkeypatch):
    """Let ``train`` use short recipes and a few digits."""
    train_images, validation_images = digits
    monkeypatch.setattr(
        loop, "read_recipe", lambda name, _, seed: make_recipe(name, seed=seed or 0)
    )
    monkeypatch.setattr(
        loop,
        "training_set",
        lambda _, split, **__: train_images if split == "train" else validation_images,
    )


def test_a_run_leaves_its_files(run):
    out, summary = run()
    assert {path.name for path in out.iterdir()} == {WEIGHTS, BACKBONE, LOG, CARD, SUMMARY}
    assert read_summary(out) == summary
    assert summary.model == "simclr_at.digits"
    assert summary.selected == {"pretraining": 1, "finetuning": 1}
    assert (summary.n_train, summary.n_validation) == (48, 20)


def test_the_log_has_a_row_for_every_epoch(run):
    out, _ = run("supcon_partial_at", epochs=2)
    with (out / LOG).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("pretraining", "1"),
        ("pretraining", "2"),
        ("finetuning", "1"),
        ("finetuning", "2"),
    ]
    assert rows[0]["clean_acc"] == ""
    assert 0 <= float(rows[-1]["robust_acc"]) <= 1


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
    out, summary = run("supervised_at", epochs=3)
    network = build_backbone("resnet18_w16", in_chans=1, num_classes=10)
    assert load_weights(network, out / WEIGHTS) == summary.weights_sha256
    cpu, attack = torch.device("cpu"), make_recipe().validation
    assert accuracy(network, digits[1], None, device=cpu) == summary.clean_acc
    assert accuracy(network, digits[1], attack, device=cpu) == summary.robust_acc


def test_the_card_says_how_it_was_made(run):
    out, summary = run("simclr_partial_at")
    text = (out / CARD).read_text(encoding="utf-8")
    assert text.startswith("# simclr_partial_at.digits\n")
    assert summary.weights_sha256 in text
    assert "clbench train simclr_partial_at --dataset digits --seed 0 --out DIR" in text
    assert "| Labels used in pretraining | none |" in text
    assert "pretraining 1 epochs (kept: 1), finetuning 1 epochs (kept: 1)" in text
    assert '"loss": "nt_xent"' in text


def test_the_card_names_the_run_whose_backbone_was_reused(run):
    at, _ = run("supcon_at", "at")
    out, _ = run("supcon_full_at", "full", pretrained=at)
    text = (out / CARD).read_text(encoding="utf-8")
    assert "pretraining 1 epochs (reused from at)" in text
    assert "| Labels used in pretraining | all |" in text


def test_global_randomness_is_left_alone(run):
    before = torch.get_rng_state()
    run("supervised_st")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_weights_depend_on_the_seed_alone(make_recipe, digits):
    first, second, other = (new_network(make_recipe(seed=seed), digits[0]) for seed in (4, 4, 5))
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


@pytest.mark.usefixtures("small")
def test_a_finished_training_is_not_repeated_unless_asked(tmp_path):
    epochs = []
    first = train("simclr_st", "digits", tmp_path, on_epoch=epochs.append)
    assert first.new
    assert len(epochs) == 2
    second = train("simclr_st", "digits", tmp_path, on_epoch=epochs.append)
    assert not second.new
    assert second.summary == first.summary
    assert len(epochs) == 2
    third = train("simclr_st", "digits", tmp_path, restart=True, on_epoch=epochs.append)
    assert third.new
    assert third.summary.weights_sha256 == first.summary.weights_sha256


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "seed"), [("supcon_st", 0), ("simclr_st", 9)])
def test_another_training_in_the_folder_is_not_overwritten(tmp_path, name, seed):
    kept = train("simclr_st", "digits", tmp_path).summary
    message = r"holds simclr_st\.digits \(seed 0\) by another recipe; choose another --out"
    with pytest.raises(BadValueError, match=message):
        train(name, "digits", tmp_path, seed=seed)
    assert read_summary(tmp_path) == kept


@pytest.mark.usefixtures("small")
def test_an_interrupted_restart_is_no_finished_training(tmp_path):
    def interrupt(row):
        raise KeyboardInterrupt

    train("supervised_st", "digits", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train("supervised_st", "digits", tmp_path, restart=True, on_epoch=interrupt)
    assert read_summary(tmp_path) is None
    assert train("supervised_st", "digits", tmp_path).new


def test_pretraining_comes_only_from_a_finished_run_of_the_same(run, tmp_path):
    with pytest.raises(BadValueError, match="missing holds no finished training"):
        run("simclr_full_at", pretrained=tmp_path / "missing")
    supcon, _ = run("supcon_at", "supcon")
    message = r"supcon holds supcon_at\.digits, which was pretrained otherwise than simclr_full_at"
    with pytest.raises(BadValueError, match=message):
        run("simclr_full_at", pretrained=supcon)
    with pytest.raises(BadValueError, match=r"^supervised_at\.digits is trained in one phase"):
        run("supervised_at", pretrained=supcon)


def test_a_wrong_source_of_pretraining_costs_no_finished_run(run, tmp_path):
    out, kept = run("simclr_full_at")
    with pytest.raises(BadValueError, match="missing holds no finished training"):
        run("simclr_full_at", pretrained=tmp_path / "missing")
    assert read_summary(out) == kept


@pytest.mark.parametrize(
    "damage", [lambda text: text[:50], lambda text: "{}", lambda text: "[1]", lambda text: ""]
)
def test_a_damaged_summary_is_named(run, damage):
    out, _ = run("supervised_st")
    path = out / SUMMARY
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(RecordError, match=r"run\.json is damaged \(.*; train again with --restart"):
        read_summary(out)


def test_a_folder_that_cannot_be_written_is_told_of_before_training(
    make_recipe, digits, fabric, tmp_path
):
    taken = tmp_path / "taken"
    taken.write_text("a file", encoding="utf-8")
    epochs = []
    with pytest.raises(StorageError, match=r"^cannot (write|replace) .*taken"):
        train_recipe(make_recipe(), taken / "run", *digits, fabric=fabric, on_epoch=epochs.append)
    assert epochs == []


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda", "cuda:1", ""])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = rf"^--device must be auto or one of cpu here, got '{device}'$"
    with pytest.raises(BadValueError, match=message):
        make_fabric(device, "float32")
    assert make_fabric("auto", "float32").device.type == "cpu"


def test_bfloat16_trains_too(make_recipe, digits, tmp_path):
    recipe = make_recipe("simclr_full_at")
    summary = train_recipe(
        recipe,
        tmp_path,
        *digits,
        fabric=make_fabric("cpu", "bfloat16"),
        precision="bfloat16",
    )
    assert summary.precision == "bfloat16"
    assert all(
        value.dtype in (torch.float32, torch.int64)
        for value in read_weights(tmp_path / BACKBONE).values()
    )
