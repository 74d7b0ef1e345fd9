"""How heads are shown: what each seed reached, and all of them together."""

import shlex
from typing import TYPE_CHECKING

import typer

from clbench.cli.render.tables import Cell, show_json, show_rows
from clbench.schema.text import visible

if TYPE_CHECKING:
    from clbench.schema.head import Figures
    from clbench.training.heads.run import FittedHead


def show_head(fitted: "FittedHead", *, as_json: bool) -> None:
    """Print a table with a row for each seed, or JSON."""
    summary = fitted.summary
    if as_json:
        show_json({"out": str(fitted.out), "new": fitted.new, "summary": summary})
        return
    clean, robust = summary.clean_acc, summary.robust_acc
    rows: list[dict[str, Cell]] = [
        {"seed": str(seed), "clean": f"{a:.2%}", "robust": f"{b:.2%}"}
        for seed, a, b in zip(summary.seeds, clean.by_seed, robust.by_seed, strict=True)
    ]
    rows.append({"seed": "mean", "clean": with_spread(clean), "robust": with_spread(robust)})
    title = (
        f"{summary.model}: {summary.n_validation} validation images, robust under {summary.attack}"
    )
    show_rows(title, rows, as_json=False)
    done = "fitted" if fitted.new else "already there (--restart fits again)"
    first = fitted.out / f"seed-{summary.seeds[0]}"
    typer.echo(visible(f"{done}: {fitted.out}"))
    typer.echo(visible(f"next: clbench eval --model {shlex.quote(str(first))}"))


def with_spread(figures: "Figures") -> str:
    """Return a mean with its standard deviation, in percent; without where there is one seed.

    >>> from clbench.schema.head import Figures
    >>> with_spread(Figures((0.5, 0.6), 0.55, 0.0707))
    '55.00 +- 7.07 %'
    """
    mean = f"{figures.mean:.2%}"
    if figures.std is None:
        return mean
    return f"{100 * figures.mean:.2f} +- {100 * figures.std:.2f} %"
