"""What a verification found, for a terminal or for machines."""

from dataclasses import asdict
from typing import Any

import typer

from clbench.cli.render.tables import show_json
from clbench.cli.streams import say
from clbench.schema.text import visible
from clbench.verification.findings import Verified


def show_cost(line: str) -> None:
    """Say what the next level costs, aside from the results."""
    say(line)


def show_verified(found: Verified, *, as_json: bool) -> None:
    """Print what holds, and say what does not, a line each."""
    if as_json:
        show_json(as_table(found))
        return
    for problem in found.problems:
        say(str(problem))
    for line in _lines(found):
        typer.echo(visible(line))


def as_table(found: Verified) -> dict[str, Any]:
    """Return it as JSON has it, with paths as text."""
    audits = [asdict(one) | {"file": str(one.file)} for one in found.audits]
    return {
        "holds": found.holds,
        "level": found.level,
        "n_records": found.n_records,
        "problems": [asdict(one) | {"file": str(one.file)} for one in found.problems],
        "audits": audits,
        "remarks": list(found.remarks),
        "unbound": list(map(str, found.unbound)),
        "not_checked": list(found.not_checked),
    }


def _lines(found: Verified) -> list[str]:
    unbound = (f"{path} is unbound: clbench leaderboard upgrade binds it" for path in found.unbound)
    audits = (
        f"{one.file}: {one} (nonce {one.nonce}, evidence {one.digest}, seed {one.seed})"
        for one in found.audits
    )
    records = f"{found.n_records} record{'s' * (found.n_records != 1)}"
    problems = f"{len(found.problems)} problem{'s' * (len(found.problems) != 1)}"
    return [
        *audits,
        *found.remarks,
        *unbound,
        f"{records}, {problems} up to level {found.level}",
        f"not checked: {', '.join(found.not_checked) or 'nothing'}",
    ]
