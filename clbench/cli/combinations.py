"""Options that have no effect beside others, or without them: refused, so that nobody waits."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
_SHARDS = tuple(Useless(option, beside=("shard",)) for option in ("probe", *_LINEAR))
_ROWS: Mapping[str, tuple[Useless, ...]] = {
    "eval": (*_IMAGES, *_SHARDS, Useless("resume", beside=("restart",))),
    "probe": (
        *_IMAGES,
        Useless("pooling", without=_LINEAR),
        Useless("extent", without=_LINEAR),
    ),
    "head": tuple(Useless(one, without=("dataset",)) for one in ("data_dir", "download")),
    "plan": (Useless("download", beside=("data",)), Useless("data_dir", beside=("data",))),
    "verify": (Useless("data_dir", beside=("data",)),),
    "add": (Useless("data_dir", beside=("data",)),),
    "layers": (Useless("data_dir", beside=("data",)),),
    "external": (
        Useless("data_dir", beside=("data",)),
        *(Useless(one, without=("certificate",)) for one in ("model", "weights", "data")),
        Useless("data_dir", without=("certificate",)),
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


_PROTOCOL, _DATASET = "protocol", "dataset"
"""Options that say of which data set the images are."""

_NAMED_BY = {
    **dict.fromkeys(("train", "head", "corruptions"), _DATASET),
    **dict.fromkeys(("verify", "add", "external"), ""),
}
"""By command, where that is not the protocol; "" where a record says it."""


def useless(command: str, given: Mapping[str, Any]) -> Iterator[BadValueError]:
    """Yield a complaint for every given option that has no effect, or names a missing folder.

    Args:
        command: Its name.
        given: The parameters that stand on the command line, each with its value.
    """
    told = set()
    for row in _ROWS.get(command, ()):
        if not given.get(row.option):  # --no-probe agrees with everything
            continue
        flag, there = _flag(row.option), [one for one in row.beside if one in given]
        if there:
            told.add(row.option)
            yield BadValueError(
                f"{flag} has no effect beside {_flag(there[0])}; leave one of them out"
            )
        if row.without and not set(row.without) & set(given):
            told.add(row.option)
            other = _flag(row.without[0])
            yield BadValueError(f"{flag} has no effect without {other}; add {other}")
    archives = [one for one in ("data_dir", "download") if one in given and one not in told]
    if archives:
        yield from _of_archives(archives, _NAMED_BY.get(command, _PROTOCOL), given)


def _of_archives(options: list[str], by: str, given: Mapping[str, Any]) -> Iterator[BadValueError]:
    """Yield a complaint where a data set needs no archive, or the folder of archives is missing.

    Args:
        options: Which of the two options about archives are given.
        by: The option that says of which data set the images are, "" where there is none.
        given: As in ``useless``.
    """
    from clbench.data.datasets import DATASETS

    name = _dataset(by, given)
    if name in DATASETS and DATASETS[name].packaged:
        for option in options:
            yield BadValueError(
                f"{_flag(option)} has no effect on {name}, which is in the package; leave it out, "
                f"or name other images with {_flag(by)}"
            )
    elif "data_dir" in options and "download" not in given:
        folder: Path = given["data_dir"]
        if not folder.is_dir():
            yield BadValueError(
                f"--data-dir must be a folder that is there, got {str(folder)!r}; give that of "
                f"the public archives{', or add --download' if by else ''}"
            )


def _dataset(by: str, given: Mapping[str, Any]) -> str:
    """Return the data set that a command is about, "" where no option tells it rightly."""
    if not by:
        return ""
    if by == _DATASET:
        return str(given.get(by, "digits"))
    from clbench.schema.protocol import DEFAULT_PROTOCOL, find_protocol

    name = given.get(by, DEFAULT_PROTOCOL)
    return find_protocol(name).dataset if name else ""


def _flag(parameter: str) -> str:
    return _FLAGS.get(parameter, f"--{parameter.replace('_', '-')}")
