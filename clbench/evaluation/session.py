"""One evaluation, from what was settled to its record: reused, completed, or made."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import (
    BACKENDS,
    bind,
    check_can_be_cut,
    check_images,
    check_needs_no_gradient,
    plan_attack,
)
from clbench.data.image_set import ImageSet
from clbench.evaluation.certificates import kind_for
from clbench.evaluation.evaluation import Evaluation
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.finish import evidence_of, finished
from clbench.evaluation.head_starts import of_another_attack, of_same_attack
from clbench.evaluation.leftovers import at_work
from clbench.evaluation.parts import Part
from clbench.evaluation.progress import OnProgress
from clbench.evaluation.result import EvaluationResult
from clbench.evaluation.run import (
    automatic_batch_size,
    evaluate,
    first_logits,
)
from clbench.evaluation.shard_images import ShardImages, write_images
from clbench.evaluation.slow_precision import tell_if_slow
from clbench.evaluation.state import HeadStart
from clbench.evaluation.store import Known, RunStore, cost_of
from clbench.evaluation.transfer import read_source, with_transfer
from clbench.models.interface import LoadedModel
from clbench.runtime.devices import device_name
from clbench.runtime.precision import settle
from clbench.schema.dataclass_io import to_json
from clbench.schema.estimate import Estimate
from clbench.schema.flags import NO_DERIVATIVE, is_unreliable
from clbench.schema.names import EVIDENCE_KINDS, EvidenceKind
from clbench.schema.numbers import read_batch_size
from clbench.schema.protocol import CUSTOM, Protocol
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.records import (
    SCHEMA_VERSION,
    AttackEntry,
    Counts,
    DataEntry,
    EvaluationRecord,
    RunIdentity,
    ThreatEntry,
)
from clbench.schema.shard import Shard
from clbench.schema.threat_model import format_eps

log = logging.getLogger(__name__)


def begin(
    model: LoadedModel,
    images: ImageSet,
    protocol: Protocol,
    *,
    backend: str,
    batch_size: int | str | None,
    device: torch.device,
    precision: str,
    out: Path | None,
    shard: Shard | None = None,
    evidence: EvidenceKind | None = None,
    transfer_from: Sequence[Path] = (),
) -> "Session":
    """Return the evaluation of a model, which is on ``device``, on images of its classes.

    Raises:
        UnknownNameError: An attack, option or backend that there is not.
        BadValueError: A value that cannot be, a shard of what cannot be cut, or an attack that
            needs a gradient where there is none.
        InstallationError: The package that the attack needs is not installed.
    """
    size_wanted = read_batch_size(batch_size)
    precision = settle(precision, device)
    plan = plan_attack(protocol.attack, protocol.threat_model.norm, images.n_classes, backend)
    if transfer_from:
        data, protocol = DataEntry(*images.id), replace(protocol, name=CUSTOM)
        sources = [read_source(one, data, protocol.threat_model) for one in transfer_from]
        plan = with_transfer(plan, sources)
    if shard is not None:
        images.shard(shard)
        check_can_be_cut(plan, protocol.threat_model.norm, shard)
    _, *shape = images.images.shape
    flags = check_images(plan, protocol.threat_model.norm, (shape[0], shape[1], shape[2]))
    steps = bind(plan, images.n_classes)
    if NO_DERIVATIVE in (one.name for one in model.flags):
        check_needs_no_gradient(steps, protocol.attack)
    size = size_wanted or automatic_batch_size(model.network, images, steps, device, precision)
    return Session(
        model=model,
        images=images,
        protocol=protocol,
        plan=plan,
        flags=(*plan.spec.flags, *flags),
        device=device,
        precision=precision,
        batch_size=size,
        out=out,
        shard=shard,
        evidence_wanted=evidence,
    )


@dataclass(frozen=True, eq=False)
class Session:
    """An evaluation whose model, images, attack and settings are known.

    ``evidence_wanted`` is what was asked for; None leaves it to the size of the images.
    """

    model: LoadedModel
    images: ImageSet
    protocol: Protocol
    plan: AttackPlan
    flags: tuple[str, ...]
    device: torch.device
    precision: str
    batch_size: int
    out: Path | None
    shard: Shard | None = None
    evidence_wanted: EvidenceKind | None = None

    @property
    def evidence_kind(self) -> EvidenceKind:
        """What the evidence is to prove; where none is written, the images in memory do."""
        if self.out is None and self.evidence_wanted is None:
            return "verdicts"
        _, *shape = self.images.images.shape
        return kind_for(len(self.images), math.prod(shape), self.evidence_wanted)

    @property
    def run(self) -> RunIdentity:
        """What decides the verdicts."""
        threat, spec = self.protocol.threat_model, self.plan.spec
        return RunIdentity(
            model=self.model.entry,
            data=DataEntry(*self.images.id),
            threat_model=ThreatEntry(threat.norm, format_eps(threat.eps)),
            attack=AttackEntry(spec.name, self.plan.backend, spec.parameters, spec.hash),
            seed=self.protocol.seed,
            precision=self.precision,
            batch_size=self.batch_size,
        )

    @property
    def folder(self) -> Path | None:
        """Where what is under way is kept; None where nothing is."""
        return self.store.progress.parent if self.store else None

    @property
    def store(self) -> RunStore | None:
        """Where its files are, None where nothing is written."""
        return None if self.out is None else RunStore.at(self.out, self.run, self.shard)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Say, to whoever cleans the folder, that this run needs its files during the block.

        Raises:
            StorageError: The place to write cannot be used.
        """
        with at_work(self.store.progress) if self.store else nullcontext():
            yield

    def find(self, *, restart: bool, adversarial: bool) -> Known | None:
        """Return the same evaluation where it is finished, and make room where it is not.

        Its evidence is None where that must be made again: it is lost, or lacks the adversarial
        images or the certificates that were asked for. Why, and what it costs, is in the log.

        Raises:
            StorageError: The place to write cannot be used.
        """
        if self.store is None:
            return None
        self.store.prepare()
        if restart:
            self.store.discard_progress()
            return None
        self.store.tell_of_other_progress()
        known = self.store.find(first_logits(self.model.network, self.images, self.device))
        if known is None or known.evidence is None:
            return known
        if adversarial and known.evidence.adversarial is None:
            log.warning("adversarial images were not kept; %s", cost_of(known.record))
            return Known(known.record, None, known.evidence)
        if self._proves_less(known.evidence):
            log.warning("certificates were not kept; %s", cost_of(known.record))
            return Known(known.record, None, known.evidence)
        if self.shard is None:
            self.store.discard_progress()  # a kill may have left it behind
        return known

    def _proves_less(self, evidence: Evidence) -> bool:
        """Say whether evidence holds fewer certificates than were asked for."""
        wanted = self.evidence_wanted
        order = EVIDENCE_KINDS.index
        return wanted is not None and order(evidence.kind) < order(wanted)

    def _head_start(self, known: Known | None, finishes: str) -> HeadStart:
        """Return what need not be found again."""
        if not finishes:
            return of_same_attack(known, self._draft(), self.plan)
        norm, n_classes = self.protocol.threat_model.norm, self.images.n_classes
        first = replace(self, plan=plan_attack(finishes, norm, n_classes), shard=None)
        logits = first_logits(self.model.network, self.images, self.device)
        found = first.store.find(logits) if first.store else None
        n_components = len(first.plan.spec.components)
        return of_another_attack(found, self._draft(), finishes, n_components, self.out)

    def attack(
        self,
        on_progress: OnProgress | None,
        *,
        adversarial: bool,
        known: Known | None = None,
        finishes: str = "",
    ) -> EvaluationResult:
        """Attack, from the beginning, from where it was stopped, or from what is known.

        Args:
            on_progress: Told how far it is.
            adversarial: Whether the adversarial images are kept.
            known: The same run, finished, where it lacks images.
            finishes: The attack whose run it goes on from, if any.

        Raises:
            BadValueError: The run of the attack that it ``finishes`` is not there.
        """
        tell_if_slow(self.model.network, self.images, self.device, self.precision)
        return evaluate(
            self.model.network,
            self.images,
            bind(self.plan, self.images.n_classes),
            self.protocol.threat_model,
            seed=self.protocol.seed,
            batch_size=self.batch_size,
            device=self.device,
            precision=self.precision,
            flags=self.flags,
            identity=self.run.hash,
            progress_file=self.store.progress if self.store else None,
            shard=self.shard,
            keep_adversarial=adversarial,
            evidence=self.evidence_kind,
            draft=to_json(self._draft()).decode(),
            head_start=self._head_start(known, finishes),
            on_progress=on_progress,
        )

    def complete(
        self,
        known: Known | None,
        result: EvaluationResult | None,
        probed: tuple[Estimate, ...],
    ) -> Evaluation:
        """Return the evaluation of what was found before and now, and write it where it belongs.

        Args:
            known: What was finished before; its measures stay.
            result: What the attacks found now; None where that was known.
            probed: What the probes found now.
        """
        assert known or result, "an evaluation was found or made"
        before = known.record if known else None
        if result is None:
            assert known is not None, "verdicts are known"
            assert known.evidence is not None, "verdicts are known"
            record, evidence = known.record, known.evidence
        else:
            record = finished(self._draft(), result, before)
            evidence = evidence_of(self.run.hash, result)
        record = replace(record, measures=(*record.measures, *probed))
        changed = result is not None or bool(probed)
        if self.store is not None and changed:
            record = self.store.write(record, evidence)
        paths = self.store.paths if self.store else None
        return Evaluation(record, evidence, paths, reused=not changed)

    def part(self, known: Known | None, result: EvaluationResult | None) -> Evaluation:
        """Return the evaluation of a shard's images, or the whole one where that was finished.

        Its adversarial images, where it has them, are kept beside the progress.
        """
        assert self.shard is not None, "a part is of a shard"
        paths = self.store.paths if self.store else None
        if result is None:
            assert known is not None, "verdicts are known"
            assert known.evidence is not None, "verdicts are known"
            return Evaluation(known.record, known.evidence, paths, reused=True)
        data = DataEntry(*self.images.shard(self.shard).id)
        record = finished(replace(self._draft(), data=data), result)
        evidence = evidence_of(self.run.hash, result)
        if self.store is not None:
            found = ShardImages(result.adversarial, result.certificates)
            write_images(Part(self.store.progress, self.shard), found)
        return Evaluation(record, evidence, paths, shard=self.shard)

    def _draft(self) -> EvaluationRecord:
        """Return the record as far as it is known before the first attack."""
        run, flags = self.run, self.model.flags
        distributions = (BACKENDS[name].distribution for name in self.plan.backends)
        return EvaluationRecord(
            schema_version=SCHEMA_VERSION,
            protocol=self.protocol.name,
            model=run.model,
            data=run.data,
            threat_model=run.threat_model,
            attack=run.attack,
            measures=(),
            flags=flags,
            unreliable=is_unreliable(flags),
            seed=run.seed,
            counts=Counts(0, 0),
            wall_s=0.0,
            device=device_name(self.device),
            precision=self.precision,
            batch_size=self.batch_size,
            versions=versions(*dict.fromkeys(filter(None, distributions))),
            commit=commit(),
            created=utc_now(),
        )
