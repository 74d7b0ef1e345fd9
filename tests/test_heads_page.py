"""The table of docs/heads.md is that of the results that are kept, and shows what is said of it."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.heads import ATTACK, RESULTS, ROWS, table
from clbench.schema.protocol import config_dir

PAGE = (Path(__file__).parents[1] / "docs" / "heads.md").read_text()


def found(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def test_the_page_has_the_table_of_the_results():
    assert "\n".join(table()) in PAGE


def test_every_result_is_a_row():
    assert {path.stem for path in RESULTS.glob("*.json")} <= {row.name for row in ROWS}


@pytest.mark.parametrize("figure", ["clean", "pgd", ATTACK])
def test_slf_of_digits_is_what_the_zoo_trained(figure):
    head, zoo = found("simclr_at.digits-slf"), found("simclr_at.digits")
    assert head["validation_sha256"] == zoo["validation_sha256"]
    assert abs(fmean(head[figure]) - fmean(zoo[figure])) < 0.02


def test_the_settings_of_the_page_are_those_of_the_files():
    names = {path.stem for path in (config_dir() / "head").glob("*.toml")}
    assert all(f"`{name}.toml`" in PAGE for name in names)
