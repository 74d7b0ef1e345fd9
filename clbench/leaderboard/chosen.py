"""Records that somebody names to compare: files, folders, or models in the folder of results."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.other_files import check_is_record
from clbench.leaderboard.outcomes import Outcomes, read_outcomes
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.group import Group
from clbench.schema.names import unknown
from clbench.schema.record_files import folder_of, read_record, records_by_path
from clbench.schema.records import EvaluationRecord

log = logging.getLogger(__name__)

_FEW = 5
"""Records that a line names."""

AGREE = "records are compared where data, examples, norm, eps and attack agree"
"""What a refusal ends with."""


class Chosen(NamedTuple):
    """A record, where it lies, and the folder that its evidence lies below too."""

    record: EvaluationRecord
    path: Path
    out: Path

    @property
    def is_of(self) -> tuple[str, str]:
        """What tells its run, and what came of it, from all others."""
        return self.record.run.hash, self.record.evidence_sha256

    def outcomes(self) -> Outcomes:
        """Return which examples stayed robust.

        Raises:
            RecordError: As ``read_outcomes``.
        """
        return read_outcomes(self.record, self.path, self.out)


def choose(names: Sequence[Path], out: Path) -> list[list[Chosen]]:
    """Return the records that are named, those of each setting by themselves.

    A setting is compared where each name has a record of it; so two folders are compared in what
    they have in common, and two files only where they agree.

    Args:
        names: Files, folders, or names of models.
        out: The folder with the records of models.

    Raises:
        BadValueError: Nothing is named.
        RecordError: A record cannot be read, or stands alone without its evidence; a folder has
            none; there is no setting that all have a record of.
        UnknownNameError: There is neither such a file nor such a model.
    """
    if not names:
        raise BadValueError("give records, folders or names of models to compare, got none")
    found = [_attacked(name, _of_one(name, out)) for name in names]
    common = _common(names, found)
    settings = [_of_setting(group, found) for group in common]
    left = len({one.is_of for several in found for one in several}) - sum(map(len, settings))
    if left:
        log.warning("%s more records are of other settings, and not compared", left)
    return settings


def path_of_record(name: Path, out: Path) -> Path:
    """Return the file of the record that is named: its own, or the only one of a model.

    Args:
        name: A file, or the name of a model.
        out: The folder with the records of models.

    Raises:
        BadValueError: The model has several; the message names them.
        RecordError: The folder has no records, or one cannot be read.
        UnknownNameError: There is neither such a file nor such a model.
    """
    if name.exists() or name.suffix == ".json" or len(name.parts) > 1:
        return name
    paths = [str(one.path) for one in _of_model(str(name), out)]
    if len(paths) > 1:
        more = f" and {len(paths) - _FEW} more" if len(paths) > _FEW else ""
        raise BadValueError(
            f"{out} has {len(paths)} records of {str(name)!r}, give one of them: "
            f"{', '.join(paths[:_FEW])}{more}"
        )
    return Path(paths[0])


def _of_one(name: Path, out: Path) -> list[Chosen]:
    if name.is_dir():
        return _of_folder(name)
    if name.exists() or name.suffix == ".json":
        check_is_record(name)
        return [_of_file(name)]
    return _of_model(str(name), out)


def _of_model(name: str, out: Path) -> list[Chosen]:
    every = _of_folder(out)
    found = [one for one in every if one.record.model.name == name]
    if not found:
        error = unknown(name, {one.record.model.name: None for one in every}, "record or model")
        raise type(error)(f"{error}; looked in {out} (--out)")
    return found


def _of_file(path: Path) -> Chosen:
    record, out = read_record(path), folder_of(path)
    if out is None:
        raise RecordError(
            f"record {path} lies in no folder called records, which its evidence would be beside"
        )
    return Chosen(record, path.absolute(), out)


def _of_folder(folder: Path) -> list[Chosen]:
    is_whole = (folder / "records").is_dir()  # or it is records itself, or a part of it
    out = folder if is_whole else folder_of(folder / "any.json") or folder
    found = [
        Chosen(one, path, out)
        for path, one in records_by_path(out).items()
        if out == folder or folder.absolute() in path.absolute().parents
    ]
    if not found:
        raise RecordError(f"no records under {folder}; run clbench eval --out {folder} first")
    return found


def _attacked(name: Path, found: list[Chosen]) -> list[Chosen]:
    attacked = [one for one in found if one.record.measure("robust_acc") is not None]
    if not attacked:
        raise RecordError(f"{name} has no robust accuracy to compare: nothing was attacked")
    return attacked


def _common(names: Sequence[Path], found: Sequence[Sequence[Chosen]]) -> list[Group]:
    """Return what records agree in, of settings that each name has a record of.

    Raises:
        RecordError: There is none; the message says in what two of them differ.
    """
    ordered = sorted(found[0], key=_by_setting)
    common = dict.fromkeys(one.record.group for one in ordered)
    for name, several in zip(names, found, strict=True):
        groups = {one.record.group for one in several}
        if not groups & common.keys():
            first, other = found[0][0].record, several[0].record
            raise RecordError(f"cannot compare {names[0]} with {name}: {_differ(first, other)}")
        common = {group: None for group in common if group in groups}
    return list(common)


def _differ(one: EvaluationRecord, other: EvaluationRecord) -> str:
    """Return in words what two records disagree in, and both values."""
    sides = [
        (
            *(f"{of.data.name} (sha256 {of.data.sha256[:12]})", of.data.n),
            *(of.group.norm, of.threat_model.eps if of.threat_model else ""),
            f"{of.attack.name} (h:{of.attack.hash})" if of.attack else "",
        )
        for of in (one, other)
    ]
    rows = zip(
        ("data", "n_examples", "norm", "eps", "attack"), one.group, other.group, *sides, strict=True
    )
    differ = [f"{name} is {a!r} and {b!r}" for name, x, y, a, b in rows if x != y]
    return f"{', '.join(differ)}; {AGREE}"


def _of_setting(group: Group, found: Iterable[Iterable[Chosen]]) -> list[Chosen]:
    """Return the records of a setting, each once, the better ones of a name first."""
    by_run: dict[tuple[str, str], Chosen] = {}
    for several in found:
        mine = [one for one in several if one.record.group == group]
        for one in sorted(mine, key=_better_first):
            by_run.setdefault(one.is_of, one)
    return list(by_run.values())


def _by_setting(one: Chosen) -> tuple[object, ...]:
    group = one.record.group
    return one.record.data.name, *group[1:], group.data_sha256


def _better_first(one: Chosen) -> tuple[float, str, str]:
    robust = one.record.measure("robust_acc")
    return -robust.value if robust else 0.0, one.record.model.name, one.record.run.hash
