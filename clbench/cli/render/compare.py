"""How comparisons of networks or of recipes are shown."""

import csv
import sys
from collections.abc import Sequence

from clbench.cli.render.tables import show_rows
from clbench.leaderboard.compare import Comparison, Competitor, Pair
from clbench.leaderboard.headings import HASH_PREFIX, headings
from clbench.schema.estimate import Estimate
from clbench.schema.text import no_formula, visible

_DIGITS = 6
"""Of shares in a file: what gives back the count among up to 500,000 examples."""


def show_comparisons(found: Sequence[Comparison], form: str) -> None:
    """Print comparisons: ``table`` for a terminal, ``csv``, or a form for papers."""
    if form == "csv":
        _show_csv(found)
        return
    titles = headings([one.of for one in found])
    tables = [
        (title, rows)
        for title, one in zip(titles, found, strict=True)
        for rows in (_of_recipes(one), [_in_words(pair) for pair in one.pairs])
        if rows
    ]
    if form == "table":
        for number, (title, rows) in enumerate(tables):
            if number:
                print()
            show_rows(title, rows, as_json=False)
        return
    from clbench.leaderboard.formats import FORMATS, Part

    print(FORMATS[form]([Part(title, [dict(row) for row in rows]) for title, rows in tables]))


def _show_csv(found: Sequence[Comparison]) -> None:
    rows = [row for one in found for row in _rows(one)]
    writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _rows(one: Comparison) -> list[dict[str, str | int | None]]:
    """Return the pairs as a file has them, each with its setting."""
    of, accuracy = one.of, {its.name: its.robust_acc.value for its in one.competitors}
    group = of.group
    return [
        {
            "dataset": no_formula(of.data.name),
            "n_examples": of.data.n,
            "norm": group.norm,
            "eps": of.threat_model.eps if of.threat_model else "",
            "attack": no_formula(of.attack.name) if of.attack else "",
            "attack_hash": f"{HASH_PREFIX}{group.attack_hash}",
            "model": no_formula(pair.one),
            "other": no_formula(pair.other),
            "robust_acc": _share(accuracy[pair.one]),
            "other_robust_acc": _share(accuracy[pair.other]),
            "difference": _share(pair.difference.value),
            "difference_low": _share(pair.difference.low),
            "difference_high": _share(pair.difference.high),
            "only_model": pair.only_one,
            "only_other": pair.only_other,
            "p_value": _p(pair.p_value),
            "p_holm": _p(pair.p_holm),
            "verdict": pair.verdict,
        }
        for pair in one.pairs
    ]


def _of_recipes(one: Comparison) -> list[dict[str, str | int]]:
    """Return a row for each recipe; none where networks are compared."""
    return [_recipe(its) for its in one.competitors if its.n_seeds > 1]


def _recipe(its: Competitor) -> dict[str, str | int]:
    return {
        "recipe": visible(its.name),
        "seeds": its.n_seeds,
        "mean": f"{100 * its.robust_acc.value:.1f}",
        "95 % interval": _interval(its.robust_acc, ".1f"),
        "sd over seeds": f"{100 * its.seed_sd:.1f}",
    }


def _in_words(pair: Pair) -> dict[str, str | int]:
    alone = {} if pair.only_one is None else {"only one": f"{pair.only_one}:{pair.only_other}"}
    return {
        "model": visible(pair.one),
        "other": visible(pair.other),
        "points": f"{100 * pair.difference.value:+.1f}",
        "95 % interval": _interval(pair.difference, "+.1f"),
        **alone,
        "p": _p(pair.p_value),
        "Holm": _p(pair.p_holm),
        "verdict": pair.verdict,
    }


def _interval(of: Estimate, form: str) -> str:
    return f"{100 * of.low:{form}} to {100 * of.high:{form}}"


def _share(value: float) -> str:
    return str(round(value, _DIGITS))


def _p(value: float) -> str:
    return f"{value:.2g}"
