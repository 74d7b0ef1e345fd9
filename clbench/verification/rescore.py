"""Level 2: the network says again what it says of clean and of stored images."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clbench.attacks.norms import is_inside
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.chance import is_at_chance
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.first_look import first_look, signs_of_trouble
from clbench.evaluation.reliability import MAX_GRADIENTS_CHECKED
from clbench.evaluation.run import first_logits
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING
from clbench.models.validate import same_answers
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.flags import AT_CHANCE, BATCH_DEPENDENT, RANDOMIZED, raised
from clbench.schema.threat_model import ThreatModel, parse_eps, parse_norm
from clbench.verification.ask import Asked
from clbench.verification.findings import RESCORED, Problem, Stored

BATCH, OTHER_BATCH = 100, 64
"""Images asked about at once: another number than most runs have; one for those that have it."""

_NEAR = 1e-4
"""Logits nearer to the highest than this share of their spread are the highest but for rounding."""

_EVERYWHERE = {RANDOMIZED, BATCH_DEPENDENT, "softmax_output", "zero_gradient", "dynamic"}
"""Signs that every version looks for."""

_UNREPEATABLE = {RANDOMIZED, BATCH_DEPENDENT}
"""Flags of networks whose answers nobody can have again."""


class Rescored(NamedTuple):
    """What does not hold, and what is to be known besides."""

    problems: list[Problem]
    remarks: list[str]


def passes_of(evidence: Evidence) -> int:
    """Return how many images the network is asked about, but for a few for its flags."""
    stored = 0 if evidence.certificates is None else len(evidence.certificates)
    return len(evidence) * (1 if evidence.adversarial is None else 2) + stored


def rescore(stored: Stored, evidence: Evidence, asked: Asked) -> Rescored:
    """Compare a record and its evidence with what the network says now, in float32.

    Predictions that differ by rounding alone, as batches of another size or another device round
    otherwise, are no problem. Those of networks that draw random numbers or depend on the batch are
    none either where the record says so itself, and the network shows it.
    """
    network = asked.model.network
    with exact_arithmetic(), left_as_found(network, seed=0):
        asking = _Asking(stored, evidence, asked, AttackedModel(network))
        compared = [*asking.clean(), *asking.certificates(), *asking.floats()]
        flags = asking.flags()
    problems = [problem for one in compared for problem in one.problems]
    remarks = [remark for one in compared for remark in one.remarks]
    if _UNREPEATABLE & set(stored.record.flag_names) & flags:
        remarks += [f"{one}; but its flag says that nobody can repeat it" for one in problems]
        problems = []
    of_flags = _of_flags(stored, flags)
    return Rescored([*problems, *of_flags.problems], [*remarks, *of_flags.remarks])


class _Asking:
    """One record, and the network that is asked about its images."""

    def __init__(
        self, stored: Stored, evidence: Evidence, asked: Asked, model: AttackedModel
    ) -> None:
        self._stored, self._evidence, self._asked, self._model = stored, evidence, asked, model
        self._batch = BATCH if stored.record.batch_size != BATCH else OTHER_BATCH
        threat = stored.record.threat_model
        assert threat is not None, "something was attacked"
        self._threat = ThreatModel(parse_norm(threat.norm), parse_eps(threat.eps))
        self._clean_pred = torch.empty(0)

    def clean(self) -> Iterator[Rescored]:
        """Compare labels, clean predictions and the first logits."""
        images, evidence = self._asked.images, self._evidence
        if not np.array_equal(evidence.label, images.labels.numpy()):
            place = int((evidence.label != images.labels.numpy()).argmax())
            found, expected = (int(one[place]) for one in (evidence.label, images.labels))
            yield self._wrong(f"label of example {place}", str(found), f"{expected} by the images")
        everywhere = torch.arange(len(images))
        logits = self._logits(everywhere, lambda where: images.images[where])
        self._clean_pred = classes_of(logits)
        yield self._compare("clean_pred", evidence.clean_pred, everywhere, logits)
        first = first_logits(self._asked.model.network, images, self._asked.device)
        had = evidence.logits
        if had is not None and not same_answers(torch.from_numpy(had), first):
            yield self._wrong("logits", "others", "those of the network for the first images")

    def certificates(self) -> Iterator[Rescored]:
        """Ask about the images that prove what is broken."""
        found, images = self._evidence.certificates, self._asked.images.images
        if found is None or not len(found):
            return
        if tuple(found.coded.shape[1:]) != tuple(images.shape[1:]):
            size, expected = list(found.coded.shape[1:]), f"{list(images.shape[1:])} by the images"
            yield self._wrong("certificates", f"of the size {size}", expected)
            return

        def unpacked(where: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
            return torch.from_numpy(found.images(where.tolist(), images[where].numpy()))

        yield from self._ask("certificates", torch.from_numpy(found.places), unpacked)

    def floats(self) -> Iterator[Rescored]:
        """Ask about the adversarial images, where all are kept; others are the clean ones."""
        found, evidence = self._evidence.adversarial, self._evidence
        images = self._asked.images.images
        if found is None:
            return
        if found.shape != tuple(images.shape):
            expected = f"{list(images.shape)} by the images"
            yield self._wrong("adversarial", f"of the shape {list(found.shape)}", expected)
            return
        kept = torch.from_numpy(found)
        still = (evidence.broken_by == BY_NOTHING) | (evidence.broken_by == BY_CLEAN)
        for where in torch.split(torch.from_numpy(np.flatnonzero(still)), self._batch):
            if not torch.equal(kept[where], images[where]):
                yield self._wrong("adversarial", "changed where nothing is broken", "clean images")
                break
        broken = torch.from_numpy(np.flatnonzero(~still))
        yield from self._ask("adversarial", broken, lambda where: kept[where])

    def flags(self) -> set[str]:
        """Return the flags that the network raises without an attack."""
        images, model, asked = self._asked.images, self._model, self._asked
        tile = max(1, min(self._stored.record.batch_size, len(images)))
        some = images.part(torch.arange(min(len(images), MAX_GRADIENTS_CHECKED)))
        checked = torch.ones(len(some), dtype=torch.bool)
        first = first_logits(asked.model.network, images, asked.device)
        look = first_look(model, some, checked=checked, device=asked.device, tile=tile)
        begin, labels = (one[:tile].to(asked.device) for one in (images.images, images.labels))
        signs = look.flags + signs_of_trouble(model, begin, labels, first, tile=tile)
        flags = [raised(name, value) for name, value in signs.items()]
        found = {flag.name for flag in flags if (flag.value or 1) > (flag.threshold or 0)}
        if is_at_chance(self._clean_pred, images.labels, first.shape[1]):
            found.add(AT_CHANCE)
        return found | {flag.name for flag in asked.model.flags}

    def _ask(
        self,
        field: str,
        places: Int[Tensor, " m"],
        unpack: Callable[[Int[Tensor, " b"]], Float[Tensor, "b c h w"]],
    ) -> Iterator[Rescored]:
        """Compare images that are to be in the ball, and what the network says of them."""
        if not len(places):
            return
        clean = self._asked.images.images
        for where in torch.split(places, self._batch):
            outside = ~is_inside(unpack(where), clean[where], self._threat)
            if outside.any():
                example = int(self._evidence.index[where[outside][0]])
                expected = f"inside of {self._threat} and the pixel range"
                yield self._wrong(f"{field} of example {example}", "outside", expected)
                return
        yield self._compare(field, self._evidence.adv_pred, places, self._logits(places, unpack))

    def _logits(
        self,
        places: Int[Tensor, " m"],
        unpack: Callable[[Int[Tensor, " b"]], Float[Tensor, "b c h w"]],
    ) -> Float[Tensor, "m k"]:
        device = self._asked.device
        parts = (unpack(where).to(device) for where in torch.split(places, self._batch))
        return torch.cat([self._model.logits(part).float().cpu() for part in parts])

    def _compare(
        self,
        field: str,
        recorded: Int[np.ndarray, " n"],
        places: Int[Tensor, " m"],
        logits: Float[Tensor, "m k"],
    ) -> Rescored:
        """Compare recorded classes of the examples at some places with what logits say."""
        had, says = torch.from_numpy(recorded)[places], classes_of(logits)
        near = _nearly_highest(logits, had)
        wrong, rounded = (had != says) & ~near, (had != says) & near
        remarks = []
        if rounded.any():
            remarks.append(
                f"{self._stored.evidence_path}: {int(rounded.sum())} of {len(places)} predictions "
                f"for {field} are undecided but for rounding"
            )
        if not wrong.any():
            return Rescored([], remarks)
        row = int(wrong.nonzero()[0])
        example = int(self._evidence.index[places[row]])
        found = f"{int(had[row])} for example {example}, one of {int(wrong.sum())} that differ"
        told = self._wrong(f"prediction for {field}", found, f"{int(says[row])} by the network")
        return Rescored(told.problems, remarks)

    def _wrong(self, field: str, found: str, expected: str) -> Rescored:
        problem = Problem(RESCORED, self._stored.evidence_path, field, found, expected)
        return Rescored([problem], [])


def _nearly_highest(logits: Float[Tensor, "m k"], classes: Int[Tensor, " m"]) -> Bool[Tensor, " m"]:
    """Say where the logit of a class is the highest but for rounding."""
    there = (classes >= 0) & (classes < logits.shape[1])
    its = logits.gather(1, classes.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
    spread = (logits - logits.mean(dim=1, keepdim=True)).norm(dim=1)
    found: Tensor = there & (logits.amax(dim=1) - its <= _NEAR * spread)
    return found


def _of_flags(stored: Stored, now: set[str]) -> Rescored:
    """Return flags that the network raises and the record keeps silent about.

    Other versions of clbench look for other signs, but all for some.
    """
    record = stored.record
    problems, remarks = [], []
    for flag in sorted(now - set(record.flag_names)):
        expected = f"{flag}, which the network raises"
        problem = Problem(RESCORED, stored.path, "flags", f"without {flag}", expected)
        if stored.is_of_today or flag in _EVERYWHERE:
            problems.append(problem)
        else:
            remarks.append(f"{problem}; it was made by another version")
    return Rescored(problems, remarks)
