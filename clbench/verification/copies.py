"""Evidence that stands under several records, of trainings or of seeds that there were not."""

from collections.abc import Callable, Hashable, Iterator, Sequence

from clbench.attacks.pgd_row import NAME as PGD
from clbench.verification.arrays import FEWEST, TO_THE_SURFACE
from clbench.verification.findings import FILES, Problem, Stored


def of_copies(read: Sequence[Stored]) -> Iterator[Problem]:
    """Yield records that share what two trainings, or two seeds of an attack, cannot share."""
    yield from _shared(read, "model.training_seed", _answers)
    yield from _shared(read, "seed", _images)


def _shared(
    read: Sequence[Stored],
    field: str,
    what: Callable[[Stored], tuple[Hashable, Hashable] | None],
) -> Iterator[Problem]:
    """Yield records whose ``what``, a thing and the seed that it is of, comes with two seeds."""
    first: dict[Hashable, tuple[Hashable, Stored]] = {}
    for stored in read:
        if (found := what(stored)) is None:
            continue
        thing, seed = found
        had, other = first.setdefault(thing, (seed, stored))
        if had != seed:
            expected = f"{had}, the seed of {other.path}, whose evidence is the same"
            yield Problem(FILES, stored.path, field, str(seed), expected)


def _answers(stored: Stored) -> tuple[Hashable, Hashable] | None:
    """Return what a network says of the first images, and the seed of its training."""
    model, evidence = stored.record.model, stored.evidence
    if evidence is None or evidence.logits is None or model.training_seed is None:
        return None
    return (stored.record.data.sha256, evidence.logits.tobytes()), model.training_seed


def _images(stored: Stored) -> tuple[Hashable, Hashable] | None:
    """Return the images that an attack found from random starts, and the seed of these."""
    record, evidence = stored.record, stored.evidence
    kept = None if evidence is None else evidence.certificates
    if kept is None or len(kept) < FEWEST or not record.attack or not record.attack.parameters:
        return None
    first, given = next(iter(record.attack.parameters.items()))
    if first not in TO_THE_SURFACE and not (first == PGD and given.get("start") == "random"):
        return None
    images = kept.coded.tobytes(), kept.exact.tobytes()
    return (record.model.identity_sha256, record.group, images), record.seed
