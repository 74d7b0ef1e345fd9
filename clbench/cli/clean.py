"""``clbench clean``: what a results folder holds that no finished run needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import options as opt
from clbench.schema.text import visible

if TYPE_CHECKING:
    from clbench.cli.render.tables import Cell

Folder = Annotated[Path, typer.Argument(help="A folder that clbench eval wrote.")]
Remove = Annotated[bool, typer.Option("--remove", help="Remove what is listed.")]


def clean(out: Folder = Path("results"), remove: Remove = False, as_json: opt.Json = False) -> None:
    """List old progress and files set aside; remove them when asked.

    A run whose progress is removed begins anew; that of a run at work is in use, and stays.
    """
    from clbench.cli.render.tables import show_rows
    from clbench.evaluation.leftovers import IN_USE, leftovers

    found = leftovers(out)
    old = [one for one in found if one.what != IN_USE]
    rows: list[dict[str, Cell]] = [
        {"file": str(one.path), "what": one.what, "bytes": one.size}
        for one in (old if remove and not as_json else found)
    ]
    for one in old if remove else ():
        one.path.unlink(missing_ok=True)
    if rows or as_json:
        show_rows("removed" if remove else "leftovers", rows, as_json=as_json)
    if as_json:
        return
    stays = f"; what is in use stays ({len(found) - len(old)})" if len(old) < len(found) else ""
    if not old:
        typer.echo(visible(f"{out} holds nothing that could go{stays}"))
    elif not remove:
        typer.echo(visible(f"clbench clean {out} --remove removes these {len(old)}{stays}"))
    elif stays:
        typer.echo(stays.removeprefix("; "))
