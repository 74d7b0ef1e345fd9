"""The whole sentence, from a request to the leaderboard, on a real network and real digits."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clbench.leaderboard import table
from clbench.pipeline import Request, run, settle
from clbench.schema import records
from clbench.schema.errors import BadValueError, StorageError
from clbench.schema.records import read

ATTACK = "pgd,steps=3"


@pytest.fixture
def request_for(tmp_path):
    """Return a factory of quick requests: a shipped network, 24 digits in batches of 8."""

    def make(**changes):
        defaults = Request("simclr_at", attack=ATTACK, n_examples=24, batch_size=8, out=tmp_path)
        return replace(defaults, **changes)

    return make


def arrays(places):
    with np.load(places.evidence, allow_pickle=False) as evidence:
        return {name: evidence[name].tolist() for name in evidence.files}


def test_the_same_request_ends_the_same_but_for_time(request_for):
    first = run(request_for())
    again = run(request_for(restart=True))
    assert not again.reused
    same = {"wall_s": 0.0, "created": ""}
    assert replace(first.record, **same) == replace(again.record, **same)


def test_records_hold_what_they_promise(request_for):
    record = read(run(request_for()).places.record)
    assert record.protocol == "custom"
    assert (record.model.scheme, record.model.scenario) == ("simclr", "at")
    assert len(record.model.weights_sha256) == 64
    assert record.attack.parameters["pgd"]["steps"] == 3
    assert record.measure("robust_acc").n == 24
    assert record.measure("cka_stage4").low < record.measure("cka_stage4").value
    assert record.counts.backward >= 3 * record.measure("robust_acc").value * 24
    assert record.versions["torch"]
    assert record.batch_size == 8


def test_measures_agree_with_the_evidence(request_for):
    done = run(request_for())
    seen = arrays(done.places)
    right = [p == y for p, y in zip(seen["clean_pred"], seen["label"], strict=True)]
    robust = [not attack for attack in seen["broken_by"]]
    assert done.record.measure("clean_acc").value == sum(right) / 24
    assert done.record.measure("robust_acc").value == sum(robust) / 24
    for ok, attack, p, y in zip(
        right, seen["broken_by"], seen["adv_pred"], seen["label"], strict=True
    ):
        assert (attack == "clean") == (not ok)
        assert (attack == "") == (p == y)


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_an_interrupted_run_goes_on_to_the_same_verdicts(request_for, tmp_path, stop_at):
    whole = run(request_for(out=tmp_path / "whole"))
    calls = 0

    def interrupt(progress):
        nonlocal calls
        calls += 1
        if calls > stop_at:
            raise KeyboardInterrupt

    cut = request_for(out=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        run(cut, interrupt)
    assert list((tmp_path / "cut" / "progress").glob("*.npz"))
    done = run(cut)
    assert arrays(done.places) == arrays(whole.places)
    assert done.record.counts == whole.record.counts
    assert not list((tmp_path / "cut" / "progress").iterdir())


def test_an_identical_finished_run_is_reused(request_for):
    first = run(request_for())
    again = run(request_for())
    assert again.reused
    assert again.record == first.record


def test_probes_that_are_missing_are_a_reason_to_run_again(request_for):
    assert run(request_for(probe=False)).record.measure("cka_mean") is None
    again = run(request_for())
    assert not again.reused
    assert again.record.measure("cka_mean").n == 24


def test_layer_probes_are_columns_on_request(request_for, tmp_path):
    assert run(request_for()).record.measure("probe_stage1_clean") is None
    again = run(request_for(layer_probes=True))
    assert not again.reused
    assert again.record.measure("cka_mean").n == 24
    clean, adv, adaptive = (
        again.record.measure(f"probe_stage4_{kind}").value for kind in ("clean", "adv", "adaptive")
    )
    assert clean >= adv >= adaptive > 0
    assert run(request_for(layer_probes=True)).reused
    assert run(request_for()).reused
    header = (tmp_path / "leaderboard.csv").read_text().partition("\n")[0]
    assert "cka_mean,probe_stage1_clean,probe_stage1_adv,probe_stage1_adaptive," in header


def test_adversarial_images_that_are_missing_are_a_reason_to_run_again(request_for):
    run(request_for())
    again = run(request_for(save_adversarial=True))
    assert not again.reused
    assert np.shape(arrays(again.places)["adversarial"]) == (24, 1, 8, 8)


def test_runs_of_one_model_with_other_settings_stand_side_by_side(request_for, tmp_path):
    for eps in ("1/10", "1/5"):
        run(request_for(eps=eps))
    assert len(records.read_records(tmp_path)) == 2
    assert table.check(tmp_path) == 2


def test_a_full_disk_is_one_line_and_loses_nothing(request_for, monkeypatch):
    done = run(request_for())
    before = {p: p.read_bytes() for p in done.places[:2]}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        run(request_for(restart=True))
    assert {p: p.read_bytes() for p in before} == before


def test_a_place_that_cannot_be_made_is_found_before_the_attacks(request_for, tmp_path):
    (tmp_path / "file").write_text("")

    def unreached(progress):
        raise AssertionError("attacks began")

    with pytest.raises(StorageError, match=r"^cannot make .*; choose another folder with --out$"):
        run(request_for(out=tmp_path / "file"), unreached)


def test_a_value_given_by_hand_makes_the_protocol_custom(request_for):
    assert settle(Request("simclr_at")).name == "digits-linf"
    assert settle(Request("simclr_at", seed=1)).name == "custom"
    assert settle(Request("simclr_at", n_examples=360)).name == "digits-linf"
    assert settle(Request("simclr_at", data=Path("images.npz"), eps="1/10")).name == "custom"


def test_data_without_a_threat_model_is_refused():
    with pytest.raises(BadValueError, match=r"^--data has no threat model of its own; give --norm"):
        settle(Request("simclr_at", data=Path("images.npz")))
