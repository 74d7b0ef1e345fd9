"""Entries that RobustBench published, beside our own rows and never ranked with them.

Its files tell neither the images nor the parameters of the attack, which rows that are ranked
together must agree in.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.export.model_info import RANKED_BY, ModelInfo, read_model_info
from clbench.leaderboard.export.robustbench import ATTACK, TABLES
from clbench.leaderboard.formats import DEFAULT_COLUMNS, Part, Row, parts
from clbench.leaderboard.outcomes import ByRun
from clbench.leaderboard.table import EXTERNAL
from clbench.schema.errors import RecordError
from clbench.schema.records import EvaluationRecord
from clbench.schema.text import visible

SOURCE = "source"
"""The column that tells whose a row is."""

OURS, THEIRS = "measured", "imported"


class Published(NamedTuple):
    """An entry, and where it stands: its file is ``DATASET/THREAT-MODEL/NAME.json``."""

    name: str
    dataset: str
    threat_model: str
    info: ModelInfo

    @property
    def best_known(self) -> float:
        """The accuracy that RobustBench ranks it by, as a share."""
        fields = RANKED_BY[self.threat_model]
        return self.info.share(next(name for name in fields if name in self.info.fields))


def read_published(folder: Path) -> list[Published]:
    """Return the entries with an attack below a copy of RobustBench's ``model_info``.

    Raises:
        RecordError: There are none, or a file is damaged.
    """
    found = [
        Published(path.stem, path.parents[1].name, path.parent.name, read_model_info(path))
        for path in sorted(folder.rglob("*.json"))
        if (path.parents[1].name, path.parent.name) in TABLES
    ]
    attacked = [one for one in found if "autoattack_acc" in one.info.fields]
    if not attacked:
        raise RecordError(
            f"{folder} holds no entries of RobustBench; give the folder model_info of its "
            "repository, with DATASET/THREAT-MODEL/NAME.json in it"
        )
    return attacked


def beside_published(
    records: Sequence[EvaluationRecord],
    wanted: Sequence[str],
    outcomes: ByRun,
    folder: Path | None,
) -> list[Part]:
    """Return records as ``parts`` does, and published entries in further parts where asked for.

    A column ``external`` is added where there is something for it, ``source`` beside entries.

    Raises:
        ClbenchError: As ``parts`` and ``published_parts``.
    """
    chosen = list(wanted or DEFAULT_COLUMNS)
    if EXTERNAL not in chosen and (folder or any(record.external for record in records)):
        after = chosen.index("robust_acc") + 1 if "robust_acc" in chosen else len(chosen)
        chosen.insert(after, EXTERNAL)
    found = parts(records, chosen, outcomes)
    if folder is None:
        return found
    told = [Part(one.heading, [row | {SOURCE: OURS} for row in one.rows]) for one in found]
    return [*told, *published_parts(folder, records, [*chosen, SOURCE])]


def published_parts(
    folder: Path, records: Sequence[EvaluationRecord], wanted: Sequence[str]
) -> list[Part]:
    """Return published entries of the data sets and norms of some records, in these columns.

    They are ranked among themselves, as RobustBench does, by the best known accuracy.

    Raises:
        RecordError: As ``read_published``, or no entry is of such a data set and norm.
    """
    ours = {(r.data.name, r.threat_model.norm) for r in records if r.threat_model}
    tables: dict[tuple[str, str], list[Published]] = defaultdict(list)
    for one in read_published(folder):
        if one[1:3] in ours:
            tables[one[1:3]].append(one)
    if not tables:
        raise RecordError(f"no entry in {folder} is of a data set and norm of these records")
    return [
        Part(
            f"published by RobustBench for {dataset} in {norm}: imported as it is, not checked "
            "here, ranked by itself",
            [{name: row.get(name) for name in wanted} for row in _rows(tables[dataset, norm])],
        )
        for dataset, norm in tables
    ]


def _rows(entries: Sequence[Published]) -> list[Row]:
    ordered = sorted(entries, key=lambda one: (-one.best_known, one.name))
    ranks = [sum(other.best_known > one.best_known for other in ordered) + 1 for one in ordered]
    return [_row(one, rank) for one, rank in zip(ordered, ranks, strict=True)]


def _row(one: Published, rank: int) -> Row:
    info, table = one.info, TABLES[one.dataset, one.threat_model]
    return {
        "rank": rank,
        "model": visible(one.name),
        "dataset": one.dataset,
        "norm": one.threat_model,
        "eps": visible(str(info.fields["eps"])),
        "n_examples": table.n_examples,
        "clean_acc": info.share("clean_acc"),
        "robust_acc": info.share("autoattack_acc"),
        EXTERNAL: info.share(EXTERNAL) if EXTERNAL in info.fields else None,
        "attack": ATTACK,
        "backbone": visible(str(info.fields["architecture"])),
        "unreliable": bool(info.fields["unreliable"]) if "unreliable" in info.fields else None,
        SOURCE: THEIRS,
    }
