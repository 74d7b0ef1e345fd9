"""How an imported checkpoint is shown: what it is, and who said what no tensor tells."""

import shlex
from typing import TYPE_CHECKING

import typer

from clbench.cli.render.tables import show_entries, show_json
from clbench.schema.text import visible

if TYPE_CHECKING:
    from clbench.models.importing.convert import Imported


def show_imported(imported: "Imported", *, as_json: bool) -> None:
    """Print what was imported, as lines or as JSON."""
    entry = imported.entry
    if as_json:
        show_json({"folder": str(imported.folder), "tried": imported.tried, "entry": entry})
        return
    package = f" of {entry.family}" if entry.family in ("timm", "torchvision") else ""
    classes = f"{entry.n_classes} classes" if entry.n_classes else "an encoder, no classifier"
    lines = [
        f"dialect {entry.dialect}: {entry.evidence}",
        f"architecture {entry.architecture}{package}, {classes}",
        *(f"{question.replace('_', ' ')}: {what}" for question, what in entry.decided.items()),
        *([f"batch norms of the branch {entry.branch} (--bn)"] if entry.branch else []),
        *(f"left out: {one}" for one in entry.left_out),
        *(f"clean accuracy {one}" for one in imported.tried),
    ]
    show_entries([(f"imported {entry.source_file} as {imported.folder}", lines)])
    verb = "eval" if entry.n_classes else "layers"
    option = "--model " if entry.n_classes else ""
    typer.echo(visible(f"next: clbench {verb} {option}{shlex.quote(str(imported.folder))}"))
