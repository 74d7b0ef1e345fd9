"""The files of one run: found again, completed, or set aside."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, from_numpy

from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.parts import images_of, other_cuts, part_at, progress_of, rows_of
from clbench.models.validate import same_answers
from clbench.schema.errors import RecordError
from clbench.schema.files import make_folder, set_aside, sha256_of_file, write_atomically
from clbench.schema.record_files import RunPaths, read_record, run_paths, write_record
from clbench.schema.records import EvaluationRecord, External, RunIdentity
from clbench.schema.shard import Shard

log = logging.getLogger(__name__)


class Known(NamedTuple):
    """A finished run that was found; ``evidence`` is None where it must be made again.

    Its ``verdicts`` are then known all the same, where all that it lacks are images.
    """

    record: EvaluationRecord
    evidence: Evidence | None
    verdicts: Evidence | None = None


@dataclass(frozen=True)
class RunStore:
    """Where the files of one run are, below a folder."""

    run: RunIdentity
    paths: RunPaths
    shard: Shard | None = None

    @classmethod
    def at(cls, out: Path, run: RunIdentity, shard: Shard | None = None) -> "RunStore":
        """Return the files of ``run``, or of a shard of it, below ``out``."""
        return cls(run, run_paths(out, run), shard)

    @property
    def progress(self) -> Path:
        """Where what is done so far is kept."""
        return progress_of(self.paths.progress, self.shard)

    def prepare(self) -> None:
        """Find out before the attacks, not after, whether every file can be written.

        Raises:
            StorageError: A folder cannot be made or written.
        """
        for path in self.paths:
            make_folder(path.parent)

    def tell_of_other_progress(self) -> None:
        """Name in the log what the same run left behind that was made with another batch size."""
        mine = self.paths.progress
        run, _, _ = mine.stem.rpartition("~")
        for other in sorted(mine.parent.glob(f"{run}~*.npz")):
            if other != mine and part_at(other) is None:
                size = other.stem.rpartition("~")[2]
                log.warning("%s is kept: --batch-size %s goes on with it", other, size)

    def discard_progress(self) -> None:
        """Remove what is known of an unfinished run; of one that is cut, but for other shards."""
        for path in (self.progress, *other_cuts(self.progress).values()):
            path.unlink(missing_ok=True)
            images_of(path).unlink(missing_ok=True)
        if part_at(self.progress) is None:
            rows_of(self.progress).unlink(missing_ok=True)

    def find(self, logits: Float[Tensor, "m k"]) -> Known | None:
        """Return the finished run, or None where there is none of this network.

        A file that is not what it should be is set aside and named in the log, and so is a run of a
        network that answered otherwise.

        Args:
            logits: What the network says of the first images now.
        """
        path = self.paths.record
        if not path.exists():
            return None
        try:
            record = self._read_record()
        except RecordError as error:
            log.warning("%s; kept as %s", error, set_aside(path))
            return None
        evidence = self._find_evidence(record)
        before = None if evidence is None or evidence.logits is None else evidence.logits
        if before is None or same_answers(from_numpy(before), logits):
            return Known(record, evidence)
        kept = [set_aside(one) for one in (path, self.paths.evidence)]
        log.warning("%s answers otherwise than in %s; kept as %s", record.model.name, path, kept[0])
        return None

    def _read_record(self) -> EvaluationRecord:
        record = read_record(self.paths.record)
        if record.run.hash != self.run.hash:
            raise RecordError(f"record {self.paths.record} is of another run than its name says")
        return record

    def _find_evidence(self, record: EvaluationRecord) -> Evidence | None:
        path = self.paths.evidence
        if not path.exists():
            log.warning("evidence %s is missing; %s", path, cost_of(record))
            return None
        try:
            return read_evidence(path, record.evidence_sha256)
        except RecordError as error:
            log.warning("%s, kept as %s; %s", error, set_aside(path), cost_of(record))
            return None

    def write(self, record: EvaluationRecord, evidence: Evidence) -> EvaluationRecord:
        """Write evidence and record, which names it, and return the record; progress goes last.

        Whatever ends this early, the same command completes it. A lower external accuracy that was
        added to the record stays.

        Raises:
            StorageError: A file cannot be written; what was there before still is.
        """
        assert record.run.hash == self.run.hash, "a record is of the run that its file is named by"
        write_atomically(self.paths.evidence, evidence.write_to)
        bound = replace(
            record,
            evidence_sha256=sha256_of_file(self.paths.evidence),
            external=record.external or self._external_below(record),
        )
        write_record(bound, self.paths.record)
        self.discard_progress()
        return bound

    def _external_below(self, record: EvaluationRecord) -> External | None:
        """Return the external accuracy of the record that is there, where it is still the lower."""
        robust = record.measure("robust_acc")
        try:
            found = self._read_record().external if self.paths.record.exists() else None
        except RecordError:
            return None  # it was not read as a record before either
        return found if found and robust and found.robust_acc < robust.value else None


def cost_of(record: EvaluationRecord) -> str:
    """Return a sentence on what it costs to make a record's evidence again."""
    forward, backward = record.counts.forward, record.counts.backward
    return (
        f"attacking again: at most {forward:,} forward and {backward:,} backward passes of an image"
    )
