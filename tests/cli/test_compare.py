"""``clbench compare`` as people and machines see it."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEADERBOARD = Path(__file__).parents[2] / "leaderboard"
DIGITS = LEADERBOARD / "records" / "digits"
PAIR = ("compare", "simclr_at", "supcon_at", "--out", LEADERBOARD)


def test_a_pair_is_told_in_points_with_what_is_said_of_it(clbench):
    done = clbench(*PAIR)
    assert done.status == 0
    assert "360 images of digits, autoattack in Linf 1/6" in done.out
    assert "512 images of cifar10, autoattack in Linf 8/255" in done.out
    (row,) = [line for line in done.out.splitlines() if "15:18" in line]
    assert row.split()[:3] == ["simclr_at", "supcon_at", "-0.8"]
    assert row.rstrip().endswith("0.73  0.73  not told apart")


def test_machines_get_what_people_get(clbench):
    cifar10, digits = json.loads(clbench(*PAIR, "--json").out)
    assert (cifar10["data"]["name"], digits["data"]["name"]) == ("cifar10", "digits")
    assert digits["threat_model"] == {"norm": "Linf", "eps": "1/6"}
    assert digits["attack"]["name"] == "autoattack"
    assert [one["name"] for one in digits["competitors"]] == ["simclr_at", "supcon_at"]
    assert digits["competitors"][0]["seed_sd"] is None
    (pair,) = digits["pairs"]
    assert (pair["only_one"], pair["only_other"]) == (15, 18)
    assert pair["difference"]["low"] < pair["difference"]["value"] < pair["difference"]["high"]


def test_a_spreadsheet_gets_a_row_for_each_pair(clbench):
    rows = list(csv.DictReader(io.StringIO(clbench("compare", DIGITS, "--format", "csv").out)))
    assert len(rows) == 10 * 9 / 2
    for row in rows:
        difference = float(row["robust_acc"]) - float(row["other_robust_acc"])
        assert float(row["difference"]) == pytest.approx(difference, abs=2e-6)
        alone = int(row["only_model"]) - int(row["only_other"])
        assert float(row["difference"]) * int(row["n_examples"]) == pytest.approx(alone, abs=1e-3)
        assert float(row["p_value"]) <= float(row["p_holm"])
        apart = row["verdict"] != "not told apart"
        assert apart == (float(row["p_holm"]) <= 0.05)


@pytest.mark.parametrize(
    ("form", "mark"), [("md", "| simclr\\_full\\_at |"), ("latex", "simclr\\_full\\_at & ")]
)
def test_papers_get_a_table(clbench, form, mark):
    out = clbench("compare", DIGITS, "--format", form).out
    assert out.count(mark) == 9
    assert clbench(*PAIR, "--format", form).out.count(" images of ") == 2


REFUSED = {
    "": "missing argument 'records'; see clbench compare --help",
    "nope": "unknown record or model 'nope'",
    "'' x": "records must not be empty, got ''",
    "x --out ''": "--out must not be empty",
    "x --format pdf": "'pdf' is not one of",
    "simclr_at": "nothing to compare in simclr_at: there must be two records of the same data",
    "pyproject.toml": "is a protocol or a recipe, no evaluation record",
    "leaderboard --recipes": "there must be several seeds of one recipe",
    "leaderboard/records/digits leaderboard/records/cifar10": "data is 'digits (sha256 ",
    "leaderboard/leaderboard.csv leaderboard": "is a table, no evaluation record",
    "nowhere.json leaderboard": "record nowhere.json cannot be read",
    "docs": "no records under docs; run clbench eval --out docs first",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_compared_is_one_line_and_status_2(clbench, monkeypatch, line):
    import shlex

    monkeypatch.chdir(LEADERBOARD.parent)
    out = () if "--out" in line else ("--out", LEADERBOARD)
    done = clbench("compare", *shlex.split(line), *out)
    assert (done.status, done.out) == (2, "")
    told = [one for one in done.err.splitlines() if "left out" not in one]
    assert len(told) == 1
    assert REFUSED[line] in told[0]


def test_names_of_others_are_text(clbench, with_evidence, firsts, tmp_path):
    for name, count in {"=1+1": 60, "[bold]a_b[/x]\x1b[31m&": 10}.items():
        with_evidence(name, firsts(count))
    shown = {
        form: clbench("compare", tmp_path, "--format", form).out
        for form in ("table", "csv", "md", "latex")
    }
    assert not any("\x1b" in out for out in shown.values())
    assert "[bold]a_b[/x]" in shown["table"]
    assert "a\\_b" in shown["md"]
    assert "\\&" in shown["latex"]
    (row,) = csv.DictReader(io.StringIO(shown["csv"]))
    assert (row["model"], row["other"]) == ("'=1+1", "[bold]a_b[/x]\\x1b[31m&")


def test_recipes_are_shown_with_their_seeds(clbench, with_evidence, firsts, tmp_path):
    for seed, count in enumerate((60, 62, 61)):
        with_evidence("good", firsts(count), training=(seed, "r" * 64), seed=seed)
        with_evidence("poor", firsts(count - 40), training=(seed, "s" * 64), seed=seed)
    out = clbench("compare", tmp_path, "--recipes").out
    assert ["good", "3", "61.0"] in [line.split()[:3] for line in out.splitlines()]
    (row,) = [line for line in out.splitlines() if "more robust" in line]
    assert row.split()[:3] == ["good", "poor", "+40.0"]
    assert "only one" not in out
    (row,) = csv.DictReader(
        io.StringIO(clbench("compare", tmp_path, "--recipes", "--format", "csv").out)
    )
    assert (row["only_model"], row["only_other"], row["difference"]) == ("", "", "0.4")
    (found,) = json.loads(clbench("compare", tmp_path, "--recipes", "--json").out)
    assert [one["n_seeds"] for one in found["competitors"]] == [3, 3]
    assert found["competitors"][0]["seed_sd"] == pytest.approx(0.01)
    assert found["pairs"][0]["only_one"] is None


def test_all_of_our_records_are_compared_in_two_seconds_without_torch():
    code = (
        "import resource, sys; from clbench.cli import app; "
        "app(['compare', 'leaderboard'], standalone_mode=False); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print('torch' in sys.modules, 'pandas' in sys.modules, used.ru_utime + used.ru_stime)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=LEADERBOARD.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    torch, pandas, seconds = done.stdout.splitlines()[-1].split()
    assert (torch, pandas) == ("False", "False")
    assert float(seconds) < 2
