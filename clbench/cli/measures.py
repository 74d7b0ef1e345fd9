"""``clbench measures``: the similarity measures there are, and how each one is estimated."""

from typing import TYPE_CHECKING, TypedDict

from clbench.cli import options as opt

if TYPE_CHECKING:
    from clbench.probes.similarity.measures import SimilarityMeasure


class _Row(TypedDict):
    name: str
    meaning: str
    unlike: float
    alike: float
    invariant_to: list[str]
    symmetric: bool
    estimators: list[str]


def measures(as_json: opt.Json = False) -> None:
    """List the similarity measures: range, what leaves them alone, estimators (the usual first).

    Use one with: clbench probe --model A --model B --measure rsa
    """
    from clbench.cli.render.tables import show_entries, show_json
    from clbench.probes.similarity.measures import MEASURES

    rows = [_row(measure) for measure in MEASURES.values()]
    if as_json:
        show_json(rows)
        return
    show_entries([_in_words(row) for row in rows])


def _row(measure: "SimilarityMeasure") -> _Row:
    from clbench.probes.similarity.estimators import estimators_of

    unlike, alike = measure.value_range
    return {
        "name": measure.name,
        "meaning": measure.meaning,
        "unlike": unlike,
        "alike": alike,
        "invariant_to": sorted(measure.invariant_to),
        "symmetric": measure.symmetric,
        "estimators": [row.name for row in estimators_of(measure)],
    }


def _in_words(row: _Row) -> tuple[str, list[str]]:
    return row["name"], [
        row["meaning"],
        f"{row['unlike']:.4g} (unlike) to {row['alike']:.4g} (alike)",
        f"the same after: {', '.join(row['invariant_to'])}",
        f"estimators: {', '.join(row['estimators'])}",
    ]
