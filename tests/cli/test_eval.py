import json
import re

import numpy as np
import pandas as pd
import pytest

FAST = ("--attack", "pgd,steps=5", "--norm", "Linf")


@pytest.fixture
def evaluate(clbench, net, images, tmp_path):
    """Return a function that evaluates the banded network on its images; options may be added."""

    def run(*options, model=None, data=None, eps="0.2"):
        chosen = [*("--model", model or net(), "--data", data or images()), *options]
        chosen += () if "--eps" in options else ("--eps", eps)
        return clbench("eval", *FAST, "--out", tmp_path / "results", *chosen)

    return run


def share(which, done):
    return re.search(rf"^{which} accuracy +(\S+ %)", done.out, re.MULTILINE)[1]


def test_a_users_network_on_a_users_images_is_evaluated(evaluate, tmp_path):
    done = evaluate()
    assert done.status == 0, done.err
    assert share("robust", done) == "100.00 %"
    assert "CKA of clean and adversarial images" in done.out
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    assert json.loads(path.read_text())["protocol"] == "custom"
    assert path.parent == tmp_path / "results" / "records" / "images.npz" / "Linf"


def test_a_stronger_attacker_breaks_the_network_exactly_where_it_must(evaluate, tmp_path):
    # bands differ by 0.9, so a network that compares their means falls at eps 0.45
    assert share("robust", evaluate(eps="0.44")) == "100.00 %"
    assert share("robust", evaluate(eps="0.46")) == "0.00 %"
    board = pd.read_csv(tmp_path / "results" / "leaderboard.csv")
    assert list(board["robust_acc"]) == [1.0, 0.0]
    assert len(list((tmp_path / "results" / "records").rglob("*.json"))) == 2


def test_evidence_tells_what_broke_each_example(evaluate, tmp_path):
    evaluate("--save-adversarial", eps="0.46")
    (path,) = (tmp_path / "results" / "evidence").glob("*/Linf/*.npz")
    with np.load(path, allow_pickle=False) as evidence:
        assert set(evidence["broken_by"]) == {"pgd"}
        assert (evidence["clean_pred"] == evidence["label"]).all()
        assert (evidence["adv_pred"] != evidence["label"]).all()
        assert list(evidence["index"]) == list(range(12))
        assert evidence["adversarial"].shape == (12, 1, 8, 8)


def test_a_finished_run_is_shown_and_not_run_again(evaluate, tmp_path):
    evaluate()
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    before = path.read_bytes()
    again = evaluate()
    assert "this run was finished on" in again.out
    assert path.read_bytes() == before
    assert "this run was finished on" not in evaluate("--restart").out


def test_what_is_in_a_file_is_told_before_it_is_evaluated(evaluate):
    assert "images.npz: 12 images 8x8 grey, 4 classes, 25 % each\n" in evaluate().err


def test_machines_get_the_record(evaluate):
    done = evaluate("--json")
    assert json.loads(done.out)["model"]["source"].startswith("net.py:make_net")
    assert done.err == ""


def test_a_quiet_run_prints_nothing(evaluate):
    assert evaluate("--quiet") == (0, "", "")


def test_strict_exits_with_3_when_a_flag_is_raised(evaluate, net):
    softmax = net("return torch.nn.Sequential(Bands(), torch.nn.Softmax(dim=1))")
    done = evaluate("--strict", model=softmax)
    assert done.status == 3
    assert "flag softmax_output" in done.out


def test_strict_is_content_without_flags(evaluate):
    assert evaluate("--strict").status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--eps", "8/255px"), "eps must read like '8/255' or '0.5', got '8/255px'"),
        (("--eps", "-0.1"), "eps must not be negative, got '-1/10'"),
        (("--eps", "8"), "Linf eps must be at most 1, the pixel range, got '8'"),
        (("--norm", "L3"), "norm must be one of Linf, L2, L1, got 'L3'"),
        (("--seed", "-1"), "--seed must be a whole number from 0 to 4294967295, got '-1'"),
        (
            ("--seed", 10**22),
            f"from 0 to 4294967295, got '1{22 * '0'}'",
        ),
        (("--n-examples", "0"), "--n-examples must be a whole number from 1 up, got '0'"),
        (("--n-examples", "13"), "from 1 to 12"),
        (("--attack", "pgdd"), "unknown attack 'pgdd'; did you mean 'pgd'?"),
        (
            ("--protocol", "digit-linf"),
            "unknown protocol 'digit-linf'; did you mean 'digits-linf'?",
        ),
        (("--device", "cuda:99"), "--device must be auto or one of cpu"),
        (("--backend", "mine"), "unknown backend 'mine'"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--data", "nowhere.npz"), "nowhere.npz"),
        (
            ("--batch-size", "0"),
            "--batch-size must be 'auto' or a whole number from 1 to",
        ),
    ],
)
def test_bad_options_are_met_with_one_line(evaluate, tmp_path, options, message):
    done = evaluate(*options)
    assert done.status == 2
    assert message in done.err
    assert done.out == ""
    assert not list(tmp_path.rglob("*.json"))


def test_a_mistyped_model_is_met_with_the_right_name(evaluate):
    done = evaluate(model="simclr_att")
    assert done == (2, "", "clbench: unknown model 'simclr_att'; did you mean 'simclr_at'?\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("return 3", "int"),
        ("import sys; sys.exit(0)", "SystemExit"),
        (
            "net = Bands()\n    net.forward = lambda images: exit(0)\n    return net",
            "called sys.exit(0); let it raise an error",
        ),
        ("return torch.nn.Conv2d(3, 4, 3)", "the model fails on images [12, 1, 8, 8]"),
        (
            "return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))",
            "must be from 0 to 2, as the network has 3 outputs, got 3 at example 3; these labels",
        ),
        ("return torch.nn.Sequential(Bands(), torch.nn.Threshold(9, float('nan')))", "NaN"),
    ],
)
def test_a_network_that_is_no_classifier_is_met_with_one_line(evaluate, net, body, message):
    done = evaluate(model=net(body))
    assert done.status == 2
    assert done.err.startswith("clbench: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_a_network_that_answers_differently_is_flagged(evaluate, net):
    done = evaluate(model=net("return torch.nn.Sequential(Bands(), Noise())"))
    assert "flag randomized" in done.out
    assert "the robust accuracy is unreliable" in done.out


def test_labels_need_not_show_every_class(evaluate, images):
    y = np.arange(12) % 4
    seen = np.load(images())["x"][y < 3]
    assert evaluate(data=images("three.npz", x=seen, y=y[y < 3])).status == 0


def test_images_without_a_threat_model_are_refused(clbench, images, net):
    done = clbench("eval", "--model", net(), "--data", images())
    assert done.status == 2
    assert "data of your own has no threat model; give an eps" in done.err


def test_another_norm_needs_its_own_eps(clbench):
    done = clbench("eval", "--model", "simclr_at", "--norm", "L2")
    assert done.status == 2
    assert "norm L2 needs an eps of its own" in done.err


def test_a_place_that_is_no_folder_is_named(evaluate, tmp_path):
    (tmp_path / "file").write_text("")
    done = evaluate("--out", tmp_path / "file")
    assert done.status == 2
    assert "choose another folder with --out" in done.err


def test_a_damaged_record_is_named_and_the_leaderboard_stays(evaluate, tmp_path):
    evaluate()
    csv = tmp_path / "results" / "leaderboard.csv"
    before = csv.read_bytes()
    other = tmp_path / "results" / "records" / "digits" / "Linf" / "cut.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"schema_version": 1,')
    done = evaluate(eps="0.1")
    assert done.status == 2
    assert "cut.json is cut off or no JSON" in done.err
    assert csv.read_bytes() == before
    assert len(list((tmp_path / "results" / "records" / "images.npz").rglob("*.json"))) == 2


def test_a_damaged_record_of_the_same_run_is_set_aside_and_named(evaluate, tmp_path):
    evaluate()
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    whole = json.loads(path.read_text())
    path.write_text(path.read_text()[:99])
    done = evaluate()
    assert done.status == 0
    assert "is cut off or no JSON" in done.err
    assert f"kept as {path}.aside-1" in done.err
    assert json.loads(path.read_text())["measures"] == whole["measures"]


def test_events_are_a_line_of_json_each(evaluate, tmp_path):
    evaluate("--events", tmp_path / "events.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines[:2]] == ["progress", "progress"]
    assert lines[1]["accuracy_left"] == lines[-1]["measures"][1]["value"]
    assert lines[-1]["event"] == "record"


def test_what_no_finished_run_needs_is_listed_and_removed_when_asked(clbench, evaluate, tmp_path):
    evaluate()
    out = tmp_path / "results"
    assert f"{out} holds nothing that could go" in clbench("clean", out).out
    (out / "progress" / "net~0.npz").write_bytes(b"12345")
    (out / "records" / "a.json.aside-1").write_bytes(b"")
    done = clbench("clean", out, "--json")
    assert [(row["what"], row["bytes"]) for row in json.loads(done.out)] == [
        ("progress", 5),
        ("set aside", 0),
    ]
    assert "--remove removes these 2" in clbench("clean", out).out
    clbench("clean", out, "--remove")
    assert f"{out} holds nothing that could go" in clbench("clean", out).out
    assert clbench("leaderboard", "check", "--out", out).status == 0


def test_records_are_checked_against_their_evidence(clbench, evaluate, tmp_path):
    evaluate()
    out = tmp_path / "results"
    next((out / "evidence").rglob("*~*.npz")).write_bytes(b"")
    done = clbench("leaderboard", "check", "--out", out)
    assert done.status == 2
    assert done.err.startswith("clbench: evidence ")
    assert "is not the one that its record names" in done.err
