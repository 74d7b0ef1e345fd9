"""What the leaderboard's page says of our networks follows from records and findings."""

import csv
import json
import math
import re
from pathlib import Path

import pytest
import torch

import clbench
from clbench.evaluation.evidence import read_evidence
from clbench.models import build_backbone
from clbench.schema.estimate import paired_difference
from clbench.schema.record_files import read_records

BOARD = Path(__file__).parents[1] / "leaderboard"
PAGE = (BOARD / "README.md").read_text(encoding="utf-8")
DATASETS = ("digits", "cifar10")
RECORDS = {(one.model.name, one.data.name): one for one in read_records(BOARD)}


def rows_after(heading):
    """Return the cells of the first table after a text, without its two first rows."""
    table = PAGE[PAGE.index(heading) - 1 :].partition("\n|")[2].partition("\n\n")[0]
    lines = ("|" + table).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def correct(name, dataset, under_attack):
    record = RECORDS[name, dataset]
    (path,) = (BOARD / "evidence" / dataset).rglob(f"{name}~*.npz")
    evidence = read_evidence(path, record.evidence_sha256)
    kept = evidence.broken_by == "" if under_attack else evidence.broken_by != "clean"
    return dict(zip(evidence.index.tolist(), kept.tolist(), strict=True))


def difference(what, dataset):
    """Return the cell of a difference in accuracy, recomputed from the evidence."""
    more, less, kind = re.fullmatch(r"`(\w+)` over `(\w+)`, (robust|clean)", what).groups()
    one, other = (correct(name, dataset, kind == "robust") for name in (more, less))
    gained = sum(one[k] and not other[k] for k in one)
    lost = sum(other[k] and not one[k] for k in one)
    found = paired_difference("", gained, lost, len(one))
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(
        *(100 * x for x in (found.value, found.low, found.high))
    )


def similarity_difference(what, dataset):
    pattern = r"CKA of `(\w+)` less that of `(\w+)`, (.+)"
    more, less, place = re.fullmatch(pattern, what).groups()
    column = {"last stage": "cka_stage4", "pooled features": "cka_pool", "logits": "cka_logits"}[
        place
    ]
    one, other = (RECORDS[name, dataset].measure(column) for name in (more, less))
    value = one.value - other.value
    half = math.hypot(one.high - one.value, other.high - other.value)
    return f"{value:+.3f} ({value - half:+.3f} to {value + half:+.3f})"


def test_differences_between_scenarios_follow_from_the_evidence():
    rows = rows_after("## The order of scenarios")
    assert len(rows) == 14
    before = ""
    for what, *cells in rows:
        if what == "the same, clean":
            what = before.replace("robust", "clean")  # noqa: PLW2901 - spelled out
        before = what
        how = similarity_difference if what.startswith("CKA") else difference
        assert cells == [how(what, dataset) for dataset in DATASETS], what


@pytest.mark.parametrize("dataset", DATASETS)
def test_correlations_are_those_of_the_findings(dataset):
    findings = json.loads((BOARD / f"findings/{dataset}-linf/findings.json").read_text())
    cases = [one for one in findings["findings"] if one["claim"] == "similarity-and-robustness"]
    cell = DATASETS.index(dataset) + 1
    for row, case in zip(rows_after("| claim | digits |")[-2:], cases, strict=True):
        interval = f"{case['effect']:.2f} ({case['low']:.2f} to {case['high']:.2f})"
        digits = 3 if case["p_value"] < 0.01 else 2
        assert row[cell].endswith(f"{interval}, p = {case['p_value']:.{digits}f}")
        assert row[cell].startswith(case["verdict"])


def test_the_printed_column_does_not_tell_adversarial_training():
    column = {
        name: one.measure("cka_stage4").value
        for (name, of), one in RECORDS.items()
        if of == "cifar10"
    }
    assert column["simclr_st"] > max(column["supcon_at"], column["supcon_partial_at"])
    low, high = map(
        float, re.search(r"never trained have ([\d.]+) to ([\d.]+) \(five", PAGE).groups()
    )
    found = []
    for seed in range(5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_backbone("resnet18_w16", 1, 10)
        record = clbench.evaluate(network, attack="pgd,steps=1").record
        found.append(record.measure("cka_stage4").value)
    assert (min(found), max(found)) == pytest.approx((low, high), abs=0.02)


@pytest.mark.parametrize("dataset", DATASETS)
def test_networks_below_their_untrained_ones_are_the_named(dataset):
    with (BOARD / f"findings/{dataset}-linf/summary.csv").open() as file:
        means = {
            (row["kind"], row["rows"]): float(row["value"])
            for row in csv.DictReader(file)
            if row["summary"] == "diagonal_mean"
        }
    below = {
        name
        for name, of in RECORDS
        if of == dataset
        and means["adversarial-clean", name] < means["untrained", f"{name} untrained"]
    }
    standard = {"simclr_st", "supcon_st", "supervised_st"}
    assert below == standard | (
        {"supcon_at", "supcon_partial_at"} if dataset == "cifar10" else set()
    )


def test_linear_probes_are_those_of_the_records():
    rows = rows_after("Linear classifiers of the features")
    assert len(rows) == 10
    adaptive = {stage: [] for stage in range(1, 5)}
    for name, *cells in rows:
        record = RECORDS[name.strip("`"), "digits"]
        for stage, cell in enumerate(cells, start=1):
            scores = [
                record.measure(f"probe_stage{stage}_{one}").value
                for one in ("clean", "adv", "adaptive")
            ]
            assert cell == " / ".join(f"{100 * score:.1f}" for score in scores)
            adaptive[stage].append(100 * scores[-1])
    first, second = (f"{min(adaptive[k]):.1f} to {max(adaptive[k]):.1f} %" for k in (1, 2))
    said = " ".join(PAGE.split())
    assert (
        f"those of the first stage stay right on {first}, those of the second on {second}." in said
    )


def test_what_is_said_of_bands_follows_from_the_table():
    rows = csv.DictReader((BOARD / "leaderboard.csv").read_text(encoding="utf-8").splitlines())
    bands = {
        (row["dataset"], row["model"]): (row["rank_low"], row["rank_high"], row["rank"])
        for row in rows
    }
    assert "`supervised_at` is first or second on CIFAR-10" in PAGE
    assert bands["cifar10", "supervised_at"] == ("1", "2", "1")
    first = [model for (of, model), band in bands.items() if of == "digits" and band[0] == "1"]
    assert "on digits three networks may be first" in PAGE
    assert len(first) == 3


def test_what_the_readme_prints_is_the_record():
    readme = (BOARD.parent / "README.md").read_text(encoding="utf-8")
    printed = readme.partition("```text\n")[2].partition("```")[0]
    record = RECORDS["simclr_at", "digits"]
    found = re.findall(r"^  (\w+) +(0\.\d{3}) +(0\.\d{3}) to (0\.\d{3})", printed, re.MULTILINE)
    assert len(found) == 8
    for place, *numbers in found:
        one = record.measure(f"cka_{place}")
        assert numbers == [f"{number:.3f}" for number in (one.value, one.low, one.high)]
    clean, robust = (record.measure(name).value for name in ("clean_acc", "robust_acc"))
    assert f"clean accuracy         {clean:.2%}".replace("%", " %") in printed
    assert f"robust accuracy        {robust:.2%}".replace("%", " %") in printed
    standard = RECORDS["simclr_st", "digits"]
    of_standard = re.search(r"([\d.]+) % robust, and ([\d.]+) at `stage4`", readme).groups()
    robust, similar = (standard.measure(name).value for name in ("robust_acc", "cka_stage4"))
    assert of_standard == (f"{100 * robust:.1f}", f"{similar:.3f}")
