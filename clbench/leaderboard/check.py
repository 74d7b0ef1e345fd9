"""What files alone tell of a folder of records: each by itself, all together, and the CSV."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from clbench.leaderboard.other_files import check_is_record
from clbench.leaderboard.outcomes import outcomes_of
from clbench.leaderboard.table import CSV_NAME, no_records, render
from clbench.schema.errors import RecordError
from clbench.schema.files import holds
from clbench.schema.record_files import evidence_of, record_files
from clbench.verification.copies import of_copies
from clbench.verification.files import check_files, not_checked, remarks_of
from clbench.verification.findings import FILES, Problem, Stored, Verified


def check(out: Path) -> Verified:
    """Check every record under ``out`` against its evidence, and the CSV against the records.

    Raises:
        RecordError: There are no records.
    """
    return check_folder(out)[0]


def check_target(target: Path, on_cost: Callable[[str], None]) -> tuple[Verified, list[Stored]]:
    """Return what files tell of one record, or of a folder of them, and what can be read.

    Args:
        target: A record, which lies below a folder called records, or a folder that holds that.
        on_cost: Told what it costs, before.

    Raises:
        RecordError: There is no record.
    """
    if target.is_dir():
        if paths := record_files(target):
            on_cost(_cost(paths, target))
        return check_folder(target)
    if not target.exists():
        raise RecordError(
            f"there is no record or folder {str(target)!r}; give one such as "
            "results/records/.../NAME.json, or the folder results"
        )
    check_is_record(target)
    place, out = placed(target)
    on_cost(_cost([place], out))
    stored, problems = check_files(place, out)
    return _verified([] if stored is None else [stored], problems, 1), [stored] if stored else []


def placed(record: Path) -> tuple[Path, Path]:
    """Return a record's path, as given where possible, and the folder of its results.

    Raises:
        RecordError: It lies in no folder called records.
    """
    for path in (record, record.absolute()):
        for folder in path.parents:
            if folder.name == "records":
                return path, folder.parent
    raise RecordError(
        f"record {record} lies in no folder called records, which its evidence is beside; give "
        "one such as results/records/.../NAME.json"
    )


def check_folder(out: Path) -> tuple[Verified, list[Stored]]:
    """Return what ``check`` does, and all records that can be read.

    Raises:
        RecordError: There are no records.
    """
    paths = record_files(out)
    if not paths:
        raise no_records(out)
    checked = [check_files(path, out) for path in paths]
    there = [stored for stored, _ in checked if stored is not None]
    problems = [problem for _, problems in checked for problem in problems]
    problems += [*_doubled(there), *of_copies(there), *_of_csv(out, there, len(paths))]
    return _verified(there, problems, len(paths)), there


def _verified(there: list[Stored], problems: list[Problem], n_records: int) -> Verified:
    return Verified(
        n_records=n_records,
        level=FILES,
        problems=tuple(problems),
        remarks=tuple(remarks_of(there)),
        unbound=tuple(stored.path for stored in there if not stored.record.is_bound),
        not_checked=not_checked([stored.record for stored in there]),
    )


def _cost(paths: list[Path], out: Path) -> str:
    files = [one for path in paths for one in (path, evidence_of(path, out)) if one.is_file()]
    megabytes = sum(one.stat().st_size for one in files) / 1e6
    records = f"{len(paths)} record{'s' * (len(paths) != 1)}"
    return f"level 1, files: {records} with evidence, {megabytes:.1f} MB to read"


def _doubled(read: list[Stored]) -> Iterator[Problem]:
    by_run: dict[str, list[Path]] = defaultdict(list)
    for stored in read:
        by_run[stored.record.run.hash].append(stored.path)
    for first, *others in by_run.values():
        for other in others:
            yield Problem(FILES, other, "run", f"that of {first}", "one file for each run")


def _of_csv(out: Path, read: list[Stored], n_files: int) -> Iterator[Problem]:
    csv, records = out / CSV_NAME, {stored.path: stored.record for stored in read}
    readable = len({record.run.hash for record in records.values()}) == n_files
    if not readable:
        return
    gives = render(list(records.values()), outcomes_of(records, out))
    if not holds(csv, gives):
        expected = f"what its records give; clbench leaderboard build --out {out} writes it"
        yield Problem(FILES, csv, "content", "another" if csv.exists() else "missing", expected)
