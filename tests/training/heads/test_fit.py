"""Heads by each protocol: what moves, what is kept, what records tell, and how a run goes on."""

import json
import time
from fractions import Fraction
from pathlib import Path
from statistics import fmean, stdev

import pytest
import safetensors.torch
import torch

import clbench
from clbench.models import load_model
from clbench.schema.dataclass_io import read_json
from clbench.schema.errors import BadValueError
from clbench.schema.head import HeadModel, HeadSummary
from clbench.schema.record_files import read_record
from clbench.training.artifacts import read_record as read_training

WEIGHTS = "weights.safetensors"


def state(folder):
    return safetensors.torch.load_file(folder / WEIGHTS)


@pytest.mark.parametrize("method", ["slf", "alf", "aff"])
@pytest.mark.parametrize("kind", ["narrow", "preact", "code"])
def test_linear_protocols_leave_the_encoder_as_it_is_and_the_full_one_does_not(
    method, kind, imported, nets, fit, tmp_path
):
    encoder = f"{nets}:features" if kind == "code" else imported(kind)
    fitted = fit(encoder, tmp_path, method)
    found = state(fitted.out / "seed-0")
    if kind == "code":
        network = load_model(str(encoder), n_classes=2, shape=(1, 8, 8)).network
        before = {f"encoder.{key}": value for key, value in network.state_dict().items()}
    else:
        before = safetensors.torch.load_file(Path(encoder) / WEIGHTS)
    same = {key: torch.equal(found[key], value) for key, value in before.items()}
    assert found.keys() - before.keys() == {"fc.weight", "fc.bias"}
    if method == "aff":
        moved = {key for key, equal in same.items() if not equal}
        assert moved == {key for key in same if found[key].numel()}  # batch statistics, too
    else:
        assert all(same.values())


@pytest.mark.parametrize("method", ["slf", "alf", "aff"])
def test_a_head_learns_what_its_encoder_can_tell_apart(method, fit, tmp_path):
    """A control: with few steps of a trained encoder's head, most digits are told apart."""
    changes = {"finetuning.epochs": "6", "finetuning.optimizer.milestones": "[5]"}
    fitted = fit("simclr_at", tmp_path, method, changes=changes, data=[], seeds=1)
    assert fitted.summary.clean_acc.mean > 0.85
    assert fitted.summary.robust_acc.mean > 0.3


def test_the_epoch_kept_is_chosen_by_validation_images(fit, tmp_path):
    fitted = fit("simclr_at", tmp_path, changes={"finetuning.epochs": "4"}, data=[])
    (record,) = fitted.records
    rows = (fitted.out / "seed-0" / "log.csv").read_text().splitlines()
    columns = rows[0].split(",")
    clean = [float(row.split(",")[columns.index("clean_acc")]) for row in rows[1:]]
    best = max(range(4), key=lambda k: (clean[k], k))
    assert record.selected == {"finetuning": best + 1}
    assert record.clean_acc == pytest.approx(clean[best], abs=1e-5)
    assert (record.n_train, record.n_validation) == (1257, 180)
    assert record.test_images.startswith("none of 360")


def test_each_seed_has_a_folder_and_all_have_a_summary(fit, tmp_path):
    fitted = fit("simclr_at", tmp_path, seeds=3)
    weights = [(tmp_path / f"seed-{k}" / WEIGHTS).read_bytes() for k in range(3)]
    assert len({*weights}) == 3
    records = [read_training(tmp_path / f"seed-{k}") for k in range(3)]
    clean, robust = ([getattr(r, f"{k}_acc") for r in records] for k in ("clean", "robust"))
    summary = read_json(tmp_path / "summary.json", HeadSummary, "summary", remedy="")
    assert summary == fitted.summary
    assert summary.seeds == (0, 1, 2)
    for figures, values in ((summary.clean_acc, clean), (summary.robust_acc, robust)):
        assert list(figures.by_seed) == values
        assert figures.mean == pytest.approx(fmean(values))
        assert figures.std == pytest.approx(stdev(values))
    assert summary.attack == "PGD-1, Linf 1/6"
    assert len({record.recipe_sha256 for record in records}) == 1


def test_a_record_names_the_protocol_and_the_seeds(fit, tmp_path):
    for method, seeds in (("slf", 2), ("alf", 1)):
        fit("simclr_at", tmp_path / method, method, seeds=seeds)
        for seed in range(seeds):
            done = clbench.evaluate(
                str(tmp_path / method / f"seed-{seed}"),
                attack="pgd,steps=1",
                n_examples=8,
                probe=False,
                out=tmp_path / "results",
            )
            model = done.record.model
            assert model.name == f"simclr_at.digits-{method}"
            assert (model.head.method, model.head.seeds) == (method, tuple(range(seeds)))
            assert (model.head.encoder, model.training_seed) == ("simclr_at.digits", seed)
            assert model.source.startswith(f"{method} on simclr_at.digits")
    stored = [read_record(path) for path in (tmp_path / "results" / "records").rglob("*.json")]
    assert sorted((one.model.head.method, one.model.training_seed) for one in stored) == [
        *(("alf", 0), ("slf", 0), ("slf", 1))
    ]
    board = (tmp_path / "results" / "leaderboard.csv").read_text().splitlines()
    column = board[0].split(",").index("n_seeds")
    assert sorted(line.split(",")[column] for line in board[1:]) == ["1", "2", "2"]


def test_other_records_stay_what_they_were():
    done = clbench.evaluate("simclr_at", attack="pgd,steps=1", n_examples=4, probe=False, out=None)
    assert done.record.model.head is None


class StopError(Exception):
    pass


def stop_after(n):
    rows = []

    def on_epoch(row):
        rows.append(row)
        if len(rows) == n:
            raise StopError

    return on_epoch


@pytest.mark.parametrize("method", ["slf", "alf", "aff"])
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_a_stopped_run_goes_on_to_the_same_bytes(method, rows, fit, imported, tmp_path):
    encoder, changes = imported("narrow"), {"finetuning.epochs": "3"}
    whole = fit(encoder, tmp_path / "whole", method, changes=changes, seeds=2)
    out = tmp_path / "stopped"
    with pytest.raises(StopError):
        fit(encoder, out, method, changes=changes, seeds=2, on_epoch=stop_after(rows))
    told = []
    done = fit(encoder, out, method, changes=changes, seeds=2, on_epoch=told.append)
    assert len(told) == 6 - rows
    for seed in range(2):
        files = [one.out / f"seed-{seed}" / WEIGHTS for one in (whole, done)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert done.summary == whole.summary
    assert not list(out.rglob("checkpoint*"))


def test_a_finished_run_is_shown_and_not_repeated(fit, tmp_path):
    first = fit("simclr_at", tmp_path, seeds=2)
    again = fit("simclr_at", tmp_path, seeds=2, on_epoch=stop_after(1))
    assert (first.new, again.new) == (True, False)
    assert again.summary == first.summary
    assert again.records == first.records


def test_more_seeds_go_on_from_those_that_are_there(fit, tmp_path):
    fit("simclr_at", tmp_path, seeds=1)
    before, told = (tmp_path / "seed-0" / WEIGHTS).read_bytes(), []
    more = fit("simclr_at", tmp_path, seeds=3, on_epoch=told.append)
    assert {row.phase for row in told} == {"slf of seed 1", "slf of seed 2"}
    assert (tmp_path / "seed-0" / WEIGHTS).read_bytes() == before
    assert more.summary.seeds == (0, 1, 2)
    for seed in range(3):
        entry = read_json(tmp_path / f"seed-{seed}" / "head.json", HeadModel, "head", remedy="")
        assert entry.head.seeds == (0, 1, 2)


def test_fewer_seeds_than_there_are_would_be_a_choice_and_are_refused(fit, tmp_path):
    fit("simclr_at", tmp_path, seeds=2)
    for restart in (False, True):
        with pytest.raises(BadValueError, match="holds 2 seeds, got --seeds 1; give --seeds 2"):
            fit("simclr_at", tmp_path, seeds=1, restart=restart)


def test_the_time_of_a_seed_is_its_own(fit, tmp_path):
    def wait(row):
        if row.phase == "slf of seed 0":
            time.sleep(2)

    first, second = fit("simclr_at", tmp_path, seeds=2, on_epoch=wait).records
    assert second.seconds < first.seconds


def test_restart_fits_again(fit, tmp_path):
    fit("simclr_at", tmp_path, seeds=2)
    told = []
    again = fit("simclr_at", tmp_path, "alf", seeds=2, restart=True, on_epoch=told.append)
    assert len(told) == 4
    assert again.summary.method == "alf"


@pytest.mark.parametrize("method", ["slf", "alf", "aff"])
def test_a_head_is_decided_by_its_seed_alone(method, fit, nets, tmp_path):
    files = []
    for k, seeds in enumerate((1, 2)):
        torch.manual_seed(k)
        torch.rand(k + 1)
        fitted = fit(f"{nets}:features", tmp_path / str(k), method, seeds=seeds)
        files.append((fitted.out / "seed-0" / WEIGHTS).read_bytes())
    assert files[0] == files[1]


def test_the_card_tells_what_a_reader_must_know(fit, tmp_path):
    fitted = fit("simclr_at", tmp_path, "aff")
    card = (tmp_path / "seed-0" / "card.md").read_text()
    assert "| Protocol | aff: adversarial full finetuning |" in card
    assert fitted.summary.encoder_sha256 in card
    assert "clbench head simclr_at --method aff --dataset digits --data few.npz" in card
    recipe = json.loads(card.partition("```json")[2].partition("```")[0])
    assert recipe["finetuning"]["beta"] == 6
    assert Fraction(recipe["validation"]["eps"]) == Fraction(1, 6)


def test_images_without_a_data_set_say_their_own_classes(fit, tmp_path, pictures, nets):
    fitted = fit(f"{nets}:features", tmp_path, dataset=None)
    loaded = load_model(str(tmp_path / "seed-0"), n_classes=10, shape=(1, 8, 8))
    assert fitted.summary.data == "few.npz"
    assert loaded.network.fc.out_features == 10
    assert fitted.summary.attack == "PGD-1, Linf 8/255"
