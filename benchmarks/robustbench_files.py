"""All that RobustBench published, read and written back; and its own leaderboards of both.

``python -m benchmarks.robustbench_files FOLDER`` takes its ``model_info``, which its repository has
and its wheel lacks, and prints how many files come back to the byte and how many equal as JSON, in
the order of their fields. With ``--page leaderboard.html.j2`` of the same repository, its generator
makes every leaderboard of the published files and of ours, which must be the same pages.
"""

import contextlib
import io
import json
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import jinja2
import typer

from clbench.interop.robustbench import benchmark
from clbench.leaderboard.export.model_info import read_model_info


def written_back(folder: Path, to: Path) -> Counter[str]:
    """Write every file of a folder anew and return how the new ones compare with the old."""
    found: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.json")):
        before, after = path.read_bytes(), read_model_info(path).to_bytes()
        pairs = [list(json.loads(content).items()) for content in (before, after)]
        kind = "to the byte" if before == after else "as JSON" if pairs[0] == pairs[1] else "wrong"
        found[kind] += 1
        copy = to / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(after)
    return found


def pages(folder: Path, page: Path) -> list[str]:
    """Return the leaderboards that RobustBench makes of a folder."""
    assert benchmark, "robustbench can be imported"
    from robustbench.leaderboard import template  # noqa: PLC0415 - ours makes it importable

    loader = jinja2.FileSystemLoader(page.parent)
    tables = sorted({path.parent for path in folder.rglob("*.json")})
    with (
        patch.object(template, "PackageLoader", lambda *_: loader),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return [
            template.generate_leaderboard(one.parent.name, one.name, str(folder)) for one in tables
        ]


def run(folder: Path, page: Path | None = None) -> None:
    """Print what comes back."""
    with tempfile.TemporaryDirectory() as name:
        to = Path(name)
        found = written_back(folder, to)
        print(f"{found.total()} files: " + ", ".join(f"{n} {how}" for how, n in found.items()))
        if page is not None:
            theirs, ours = pages(folder, page), pages(to, page)
            lines = [[sorted(one.splitlines()) for one in all_of] for all_of in (theirs, ours)]
            same = sum(a == b for a, b in zip(*lines, strict=True))
            print(f"{same} of {len(theirs)} leaderboards are the same")


if __name__ == "__main__":
    typer.run(run)
