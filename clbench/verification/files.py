"""Level 1: what files alone tell of a record. Nothing here loads torch or needs a network."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clbench.attacks.grammar import COMPONENTS
from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING, accuracies, improvements
from clbench.schema.attack_spec import TRANSFER
from clbench.schema.errors import RecordError
from clbench.schema.flags import SQUARE_IMPROVES, TRANSFER_IMPROVES, is_unreliable
from clbench.schema.record_files import evidence_of, read_record, run_paths
from clbench.schema.records import SCHEMA_VERSION, EvaluationRecord, left_after
from clbench.schema.text import visible
from clbench.verification.arrays import of_evidence, of_images
from clbench.verification.attack_claims import of_attack, of_protocol
from clbench.verification.external import of_external
from clbench.verification.fields import of_fields
from clbench.verification.findings import FILES, Problem, Stored
from clbench.verification.numbers_and_flags import of_flags, of_measures
from clbench.verification.parameters import of_parameters

_ROUNDING = 1e-9
"""Bounds of intervals may differ by so much between two machines."""


def check_files(path: Path, out: Path) -> tuple[Stored | None, list[Problem]]:
    """Return a record below ``out``, None where it cannot be read, and what is wrong with it.

    Of one that was changed after it was written it is also told what else does not hold.
    """
    try:
        record = read_record(path)
    except RecordError as error:
        damaged = Problem.of_error(FILES, path, error)
    else:
        return check_record(record, path, out)
    try:
        changed = read_record(path, whatever_checksum=True)
    except RecordError:
        return None, [damaged]
    return None, [damaged, *check_record(changed, path, out)[1]]


def check_record(record: EvaluationRecord, path: Path, out: Path) -> tuple[Stored, list[Problem]]:
    """Return a record with its evidence, and what is wrong with it, its name and its evidence."""
    place = evidence_of(path, out)
    alone = Stored(path, record, place, None)
    found = [*_of_name(alone, out)]
    if not record.is_bound and not place.exists():
        # version 0.1 let records go about alone
        return alone, [*found, *of_external(alone, out), *_of_itself(alone)]
    if record.is_bound and not record.evidence_sha256:
        found.append(Problem(FILES, path, "evidence_sha256", "empty", "the hash of its evidence"))
    try:
        evidence = read_evidence(place, record.evidence_sha256)
    except RecordError as error:
        unread = Problem.of_error(FILES, place, error)
        its_own = [*of_external(alone, out), *of_attack(alone), *_of_itself(alone)]
        return alone, [*found, *its_own, unread]
    stored = Stored(path, record, place, evidence)
    found += of_external(stored, out)
    for check in (of_attack, of_protocol, of_parameters):
        found += check(stored)
    for look in (of_evidence, of_images, _of_measures, _of_flags):
        found += look(stored, evidence)
    return stored, [*found, *_of_itself(stored)]


def _of_itself(stored: Stored) -> list[Problem]:
    """Return what is wrong with a record, whatever happened."""
    return [*of_fields(stored), *of_measures(stored), *of_flags(stored)]


def remarks_of(read: list[Stored]) -> Iterator[str]:
    """Yield what is to be known of records that is not wrong."""
    bare = [one for one in read if one.evidence is not None and not _is_certified(one.evidence)]
    if bare:
        yield (
            f"{len(bare)} of {len(read)} records have no certificates, so that what is broken is "
            f"their word, such as {bare[0].path}; clbench eval --evidence full, with the options "
            "of before, adds them"
        )
    yield from _vouched(read)


def _vouched(read: list[Stored]) -> Iterator[str]:
    """Yield which lower accuracies nothing but a word stands for."""
    for stored in read:
        external = stored.record.external
        if external is not None and not external.certificate_sha256:
            yield (
                f"{stored.path}: external.robust_acc, by which it is ranked, is the word of "
                f"{external.source!r}; no images prove it"
            )


def _is_certified(evidence: Evidence) -> bool:
    """Say whether images prove what attacks broke, or nothing was broken."""
    return evidence.kind != "verdicts" or set(evidence.broken_by.tolist()) <= {BY_NOTHING, BY_CLEAN}


def not_checked(records: list[EvaluationRecord]) -> tuple[str, ...]:
    """Return the measures and flags that do not follow from files."""
    follow = {"clean_acc", "robust_acc"}
    measures = dict.fromkeys(
        measure.name
        for record in records
        for measure in record.measures
        if measure.name not in follow and not measure.name.startswith(left_after(""))
    )
    flags = dict.fromkeys(
        f"flag {name}"
        for record in records
        for name in record.flag_names
        if name != SQUARE_IMPROVES
    )
    return tuple(visible(one) for one in (*measures, *flags))


def _of_name(stored: Stored, out: Path) -> Iterator[Problem]:
    belongs = run_paths(out, stored.record.run).record
    if stored.record.is_bound and stored.path != belongs:
        expected = f"{belongs.name}, by the run that it tells of"
        yield Problem(FILES, stored.path, "its name", "of another run", expected)


def _of_measures(stored: Stored, evidence: Evidence) -> Iterator[Problem]:
    """Yield numbers that a record has otherwise than its evidence gives them."""
    record, problem = stored.record, partial(Problem, FILES, stored.path)
    names = [one.name for one in record.measures]
    for name in sorted({one for one in names if names.count(one) > 1}):
        yield problem(f"measures.{name}", f"there {names.count(name)} times", "one")
    left = {left_after(component) for component in record.components}
    for name in sorted({one for one in names if one.startswith(left_after(""))} - left):
        yield problem(f"measures.{name}", "there", "none, as its attack has no such component")
    for expected in accuracies(record.components, evidence.broken_by.tolist()):
        if expected.name == "robust_acc" and record.attack is None:
            continue
        field, found = f"measures.{expected.name}", record.measure(expected.name)
        gives = f"{expected.value:.6g} of {expected.n} by its evidence"
        if found is None:
            yield problem(field, "missing", gives)
            continue
        if (found.value, found.n) != (expected.value, expected.n):
            yield problem(field, f"{found.value:.6g} of {found.n}", gives)
        pairs = ((found.low, expected.low), (found.high, expected.high))
        if any(not abs(one - other) <= _ROUNDING for one, other in pairs):
            said = f"from {found.low:.6g} to {found.high:.6g}"
            gives = f"from {expected.low:.6g} to {expected.high:.6g} by its evidence"
            yield problem(f"interval of {field}", said, gives)


def _of_flags(stored: Stored, evidence: Evidence) -> Iterator[Problem]:
    """Yield what a record's flags say otherwise than evidence, or than themselves.

    In records of older versions flags have no values, and one image was enough for Square's.
    """
    record, black_box = stored.record, _black_box(stored.record)
    problem = partial(Problem, FILES, stored.path)
    if record.unreliable != is_unreliable(record.flags):
        yield problem("unreliable", str(record.unreliable), f"{not record.unreliable} by its flags")
    if black_box is None:
        return
    gives = improvements(record.components, black_box, evidence.broken_by.tolist())
    for name in (SQUARE_IMPROVES, TRANSFER_IMPROVES):
        found, expected = (
            tuple(flag for flag in flags if flag.name == name) for flags in (record.flags, gives)
        )
        if found == expected or (found and record.schema_version < SCHEMA_VERSION):
            continue
        said, should = (
            f"{flags[0].value} above {flags[0].threshold}" if flags else "not raised"
            for flags in (found, expected)
        )
        yield problem(f"flags.{name}", said, f"{should} by its evidence")


def _black_box(record: EvaluationRecord) -> list[bool] | None:
    """Return which components use no gradients; None where one is not known here."""
    if any(name not in {*COMPONENTS, TRANSFER} for name in record.components):
        return None
    return [name == TRANSFER or COMPONENTS[name].black_box for name in record.components]
