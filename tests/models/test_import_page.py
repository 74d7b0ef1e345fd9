"""The table of dialects in docs/import.md is that of the rows."""

from pathlib import Path

import pytest

from clbench.models.checkpoints import dialect as known
from clbench.models.checkpoints.dialects import DIALECTS

PAGE = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")

NAMES = {
    known.NO_NORMALISATION: "none",
    known.IMAGENET: "ImageNet's",
    known.CIFAR10: "CIFAR-10's",
    known.CIFAR10_KUANGLIU: "CIFAR-10's of batches",
    known.CIFAR100: "CIFAR-100's",
    known.HALF: "half",
}


def said(row):
    """Return what the page says of a row's normalisation."""
    if row.inside:
        return "inside the file"
    sure = [one for one in row.outside if not one.unsure]
    if not sure:
        return "asked for"
    names = list(dict.fromkeys(NAMES.get(one.by, "the project's own") for one in sure))
    if any(one.dataset or one.n_classes for one in sure):
        return f"by data set: {', '.join(names)}; else asked for"
    return names[0]


def line(row):
    return f"| `{row.name}` | {row.project} | {row.source} | {said(row)} |"


@pytest.mark.parametrize("name", DIALECTS)
def test_the_page_has_every_row(name):
    assert line(DIALECTS[name]) in PAGE.splitlines()


def test_the_page_has_no_other_row():
    table = PAGE.partition("## Dialects")[2].partition("##")[0]
    rows = [one for one in table.splitlines() if one.startswith("| `")]
    assert rows == [line(row) for row in DIALECTS.values()]


@pytest.mark.parametrize("normalisation", NAMES)
def test_the_page_tells_the_numbers(normalisation):
    assert normalisation == known.NO_NORMALISATION or str(normalisation) in PAGE
