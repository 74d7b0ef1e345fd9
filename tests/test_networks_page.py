"""The table in docs/networks.md is that of the results beside the benchmark."""

import json
from pathlib import Path

import pytest

from benchmarks.timm_architectures import NARROW, RESULTS, row

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")


def results():
    return {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in NARROW}


@pytest.mark.parametrize("name", NARROW)
def test_the_page_has_a_row_for_every_network(name):
    assert row(name) in PAGE.splitlines()


def test_the_page_has_no_other_row():
    table = PAGE.partition("## Eight architectures of timm")[2]
    assert [one for one in table.splitlines() if one.startswith("| `")] == list(map(row, NARROW))


def test_verdicts_are_those_of_the_package_but_for_one_in_a_hundred():
    pairs = [(one, two) for found in results().values() for one, two in zip(
        found["robust"]["native"], found["robust"]["pyautoattack"], strict=True
    )]  # fmt: skip
    assert len(pairs) == 64 * len(NARROW)
    assert sum(one != two for one, two in pairs) <= len(pairs) / 100


@pytest.mark.parametrize("name", NARROW)
def test_a_fifth_to_four_fifths_of_the_images_survive(name):
    found = results()[name]
    for verdicts in found["robust"].values():
        assert 0.2 <= verdicts.count("1") / len(verdicts) <= 0.8
    assert found["clean"] == 1
    assert found["classes"] >= 8
    assert found["flags"] == []


@pytest.mark.parametrize("name", NARROW)
def test_columns_are_there_and_those_of_probe(name):
    found = results()[name]
    layers = list(found["layers"])
    assert layers[-2:] == ["pool", "logits"]
    assert found["columns"]["cka_logits"] == pytest.approx(found["layers"]["logits"], abs=1e-3)
    assert found["columns"]["cka_pool"] == pytest.approx(found["layers"]["pool"], abs=1e-3)
    assert all(0 < value <= 1 + 1e-6 for value in found["layers"].values())
