"""Options that have no effect beside others, or without them: refused, so that nobody waits."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from clbench.schema.errors import BadValueError


class Useless(NamedTuple):
    """An option that does nothing beside one of ``beside``, or without any of ``without``."""

    option: str
    beside: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


_LINEAR = ("linear_probes", "layer_probes")
_IMAGES = (
    Useless("download", beside=("data",)),
    Useless("data_dir", beside=("data",)),
    Useless("train_data", without=_LINEAR),
)
_ROWS: Mapping[str, tuple[Useless, ...]] = {
    "eval": (*_IMAGES, Useless("resume", beside=("restart",))),
    "probe": (
        *_IMAGES,
        Useless("pooling", without=_LINEAR),
        Useless("extent", without=_LINEAR),
    ),
    "findings": (
        Useless("compared", beside=("compare",)),
        Useless("restart", without=("compare",)),
        Useless("data", without=("compare",)),
        Useless("data_dir", without=("compare",)),
    ),
}
"""By command, the names of parameters."""

_FLAGS = {"compared": "--probe"}


def useless(command: str, given: Collection[str]) -> Iterator[BadValueError]:
    """Yield a complaint for every given option that has no effect.

    Args:
        command: Its name.
        given: The parameters that stand on the command line.
    """
    for row in _ROWS.get(command, ()):
        if row.option not in given:
            continue
        flag, there = _flag(row.option), [one for one in row.beside if one in given]
        if there:
            yield BadValueError(
                f"{flag} has no effect beside {_flag(there[0])}; leave one of them out"
            )
        if row.without and not set(row.without) & set(given):
            other = _flag(row.without[0])
            yield BadValueError(f"{flag} has no effect without {other}; add {other}")


def _flag(parameter: str) -> str:
    return _FLAGS.get(parameter, f"--{parameter.replace('_', '-')}")
