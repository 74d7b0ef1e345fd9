"""How the plan of an evaluation is shown."""

from collections.abc import Iterator

from clbench.cli.render.console import PlainConsole
from clbench.cli.render.tables import show_json, show_rows
from clbench.evaluation.plan import Cost, Plan, total
from clbench.schema.text import visible

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_MUCH = 3
"""Up to so many minutes or hours, the smaller unit is told."""

_KB = 1000


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print a plan to stdout."""
    if as_json:
        show_json(plan)
        return
    console = PlainConsole()
    title = f"{plan.model} on {plan.n} examples of {plan.dataset} under {plan.attack}"
    console.print(f"{title} ({plan.backend}), {plan.threat_model}", soft_wrap=True)
    console.print()
    both = zip((*plan.most, total(plan.most)), (*plan.about, total(plan.about)), strict=True)
    show_rows("", _aligned([_row(most, about) for most, about in both]), as_json=False)
    for line in _remarks(plan):
        console.print(line)
    console.print()
    show_rows("", _aligned(list(_widths(plan)), "examples", "width"), as_json=False)


def duration(seconds: float) -> str:
    """Return a time as people read it.

    >>> [duration(one) for one in (0.2, 100.0, 1e3, 1e4, 1e5, 1e6)]
    ['0 s', '100 s', '17 min', '167 min', '28 h', '12 days']
    """
    for unit, of in (("s", 1), ("min", _MINUTE), ("h", _HOUR)):
        larger = {1: _MINUTE, _MINUTE: _HOUR, _HOUR: _DAY}[of]
        if seconds < _MUCH * larger:
            return f"{seconds / of:.0f} {unit}"
    return f"{seconds / _DAY:.0f} days"


def size(n_bytes: int) -> str:
    """Return an amount of memory as people read it.

    >>> [size(one) for one in (184_320, 29_000_000, 1_850_000_000)]
    ['184 kB', '29 MB', '1.9 GB']
    """
    amount = float(n_bytes)
    for unit in ("kB", "MB"):
        amount /= _KB
        if amount < _KB:
            return f"{amount:.0f} {unit}"
    return f"{amount / _KB:.1f} GB"


def _row(most: Cost, about: Cost) -> dict[str, str]:
    return {
        "": visible(most.name),
        "forward": f"{most.forward:,}",
        "backward": f"{most.backward:,}",
        "at most": duration(most.seconds),
        "about": duration(about.seconds),
    }


def _aligned(rows: list[dict[str, str]], *columns: str) -> list[dict[str, str]]:
    """Return rows whose numbers end below each other: of some columns, or all but the first."""
    wanted = columns or tuple(rows[0])[1:]
    widths = {name: max(len(row[name]) for row in rows) for name in wanted}
    return [{name: text.rjust(widths.get(name, 0)) for name, text in row.items()} for row in rows]


def _remarks(plan: Plan) -> Iterator[str]:
    look, cost, memory = plan.look, total(plan.about), plan.memory
    yield "at most: every image is right, and stands every attack"
    yield (
        f"about: as of the first {look.n}, of which {look.right / look.n:.0%} are right and "
        f"{look.standing / look.n:.0%} stand {look.steps} steps of PGD; "
        f"{cost.forward:,} passes forward, {cost.backward:,} backward"
    )
    yield (
        f"measured on this {plan.device} in {plan.precision}, in batches of {plan.batch_size}; "
        "probes come on top"
    )
    if plan.guessed:
        yield f"of {' and '.join(map(visible, plan.guessed))} the passes are not known: a guess"
    yield (
        f"memory: about {size(memory.total)} beside torch, for images ({size(memory.images)}), "
        f"weights ({size(memory.weights)}) and a batch at work ({size(memory.batch)})"
    )


def _widths(plan: Plan) -> Iterator[dict[str, str]]:
    for one in plan.intervals:
        yield {
            "examples": f"{one.n:,}",
            f"95 % interval at {plan.look.standing / plan.look.n:.0%}": (
                f"{one.low:.1%} to {one.high:.1%}"
            ).replace("%", " %"),
            "width": f"{100 * (one.high - one.low):.1f} points",
        }
