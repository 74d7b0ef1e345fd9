"""How far an evaluation has come, example by example, and the bytes from which it can go on."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.data.image_set import ImageSet, SetId, Shard
from clbench.evaluation.confirm import Confirmed
from clbench.models.validate import same_answers
from clbench.schema.errors import BadValueError
from clbench.schema.files import DAMAGED_NPZ, seal, unseal

ROBUST, CLEAN = -1, -2
"""In ``broken_by``: no attack has broken the example; the clean image is misclassified already."""

_PER_EXAMPLE = (
    *("index", "clean_pred", "adv_pred", "broken_by", "components_done", "log2_factors"),
)
_KEPT = ("images", "logits")
_IN_FLIGHT = "in_flight_"
_TOTALS = ("forward_passes", "backward_passes", "seconds")


class Mismatch(NamedTuple):
    """Why saved bytes are no state to go on from."""

    reason: str


@dataclass
class EvaluationState:
    """What is known of every example between two batches; all tensors are on the CPU.

    There is no place where it stands: each component attacks the examples that are ``pending``. So
    the state does not depend on how many are attacked at once, and can be cut and joined.

    ``identity`` names the run; ``whole`` is the data set that the examples are of, and ``index``
    their places in it. ``logits`` are the network's for the first clean images, by which a change
    of the network is noticed. ``broken_by`` is the number of the component that broke an example,
    or ``ROBUST`` or ``CLEAN``; ``components_done`` how many have attacked it. ``log2_factors`` are
    the powers of two by which attacks see the logits times. ``flags`` count the images that raised
    each. ``in_flight`` is what the pool of the component at work has under way; see
    ``clbench.attacks.native.under_way``.
    """

    identity: str
    whole: SetId
    index: Int[Tensor, " n"]
    clean_pred: Int[Tensor, " n"]
    adv_pred: Int[Tensor, " n"]
    broken_by: Int[Tensor, " n"]
    components_done: Int[Tensor, " n"]
    log2_factors: Int[Tensor, " n"]
    adversarial: Float[Tensor, "n c h w"]
    logits: Float[Tensor, "m k"]
    forward_passes: int = 0
    backward_passes: int = 0
    seconds: float = 0.0
    flags: Counter[str] = field(default_factory=Counter)
    in_flight: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        identity: str,
        images: ImageSet,
        clean_pred: Int[Tensor, " n"],
        logits: Float[Tensor, "m k"],
    ) -> "EvaluationState":
        """Return the state before the first attack."""
        broken_by = torch.where(clean_pred == images.labels, ROBUST, CLEAN)
        return cls(
            identity=identity,
            whole=images.whole,
            index=images.index,
            clean_pred=clean_pred,
            adv_pred=clean_pred.clone(),
            broken_by=broken_by,
            components_done=torch.zeros_like(broken_by),
            log2_factors=torch.zeros_like(broken_by),
            adversarial=images.images.clone(),
            logits=logits,
        )

    @property
    def n_robust(self) -> int:
        """How many examples no attack has broken."""
        return int((self.broken_by == ROBUST).sum())

    def pending(self, component: int) -> Int[Tensor, " m"]:
        """Return where the examples are that a component has to attack, in their order."""
        waiting = (self.broken_by == ROBUST) & (self.components_done == component)
        return waiting.nonzero()[:, 0]

    def take(self, component: int, where: Int[Tensor, " b"], confirmed: Confirmed) -> None:
        """Enter what a component did to the examples at these places."""
        broken = confirmed.broken.cpu()
        hit = where[broken]
        self.adversarial[hit] = confirmed.adversarial.cpu()[broken]
        self.adv_pred[hit] = confirmed.predicted.cpu()[broken]
        self.broken_by[hit] = component
        self.components_done[where] = component + 1
        self.flags.update(confirmed.flags)

    def survived(self, component: int, where: Int[Tensor, " b"]) -> None:
        """Enter that a component found nothing at these places."""
        self.components_done[where] = component + 1

    def shard(self, shard: Shard) -> "EvaluationState":
        """Return the part of a shard; passes, time and flags stay with the first one."""
        where = shard.positions(len(self.index))
        parts: dict[str, Any] = {
            name: getattr(self, name)[where] for name in (*_PER_EXAMPLE, "adversarial")
        }
        totals = {name: getattr(self, name) for name in _TOTALS} if shard.number == 0 else {}
        flags = Counter(self.flags) if shard.number == 0 else Counter()
        return EvaluationState(
            self.identity, self.whole, **parts, logits=self.logits, **totals, flags=flags
        )

    @classmethod
    def merge(cls, parts: Sequence["EvaluationState"]) -> "EvaluationState":
        """Return the state of all parts together, in the order of the data set.

        Raises:
            BadValueError: Parts of different runs or data sets, an example in two of them, or one
                in none.
        """
        if not parts:
            raise BadValueError("there is nothing to merge, got no parts")
        first = parts[0]
        for part in parts[1:]:
            if (part.identity, part.whole) != (first.identity, first.whole):
                raise BadValueError(
                    f"parts must be of one run, got {first.identity!r} on {first.whole.name} and "
                    f"{part.identity!r} on {part.whole.name}"
                )
        index = torch.cat([part.index for part in parts])
        _check_all_once(index, first.whole)
        order = index.argsort()
        tensors: dict[str, Any] = {
            name: torch.cat([getattr(part, name) for part in parts])[order]
            for name in (*_PER_EXAMPLE, "adversarial")
        }
        return cls(
            first.identity,
            first.whole,
            **tensors,
            logits=min(parts, key=lambda part: int(part.index[0])).logits,
            **{name: sum(getattr(part, name) for part in parts) for name in _TOTALS},
            flags=sum((part.flags for part in parts), Counter()),
        )

    def to_bytes(self, made_with: Mapping[str, str]) -> bytes:
        """Return all of this as a sealed npz file; images only of examples that an attack broke.

        ``made_with`` names versions and device, with which it can be gone on.
        """
        hit = (self.broken_by >= 0).nonzero()[:, 0]
        about = {name: getattr(self, name) for name in _TOTALS}
        about |= {"identity": self.identity, "whole": list(self.whole), "flags": dict(self.flags)}
        about |= {"made_with": dict(made_with)}
        arrays: dict[str, Any] = {name: getattr(self, name).numpy() for name in _PER_EXAMPLE}
        arrays |= {f"{_IN_FLIGHT}{name}": one.numpy() for name, one in self.in_flight.items()}
        buffer = io.BytesIO()
        np.savez(
            buffer,
            about=np.array(json.dumps(about)),
            images=self.adversarial[hit].numpy(),
            logits=self.logits.numpy(),
            **arrays,
        )
        return seal(buffer.getvalue())

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        identity: str,
        images: ImageSet,
        logits: Float[Tensor, "m k"],
        made_with: Mapping[str, str],
    ) -> "EvaluationState | Mismatch":
        """Return the state that ``data`` holds, or why it is none of this run on these images."""
        try:
            about, arrays = _unpack(unseal(data))
        except DAMAGED_NPZ:  # errors of json and ``unseal`` are ValueErrors
            return Mismatch("it is damaged")
        other = [key for key, value in made_with.items() if about["made_with"].get(key) != value]
        if other:
            had = ", ".join(f"{key} {about['made_with'].get(key, 'unknown')}" for key in other)
            return Mismatch(f"it was made with another {' and '.join(other)} ({had})")
        if (about["identity"], SetId(*about["whole"])) != (identity, images.whole):
            return Mismatch("it is of another run or another network")
        if not np.array_equal(arrays["index"], images.index.numpy()):
            return Mismatch("it is of other examples")
        if not same_answers(arrays["logits"], logits):
            return Mismatch("the network answers otherwise now")
        adversarial = images.images.clone()
        adversarial[arrays["broken_by"] >= 0] = arrays.pop("images")
        totals = {name: about[name] for name in _TOTALS}
        flags = Counter(about["flags"])
        in_flight = {
            name.removeprefix(_IN_FLIGHT): arrays.pop(name)
            for name in list(arrays)
            if name.startswith(_IN_FLIGHT)
        }
        return cls(
            identity,
            images.whole,
            **arrays,
            adversarial=adversarial,
            **totals,
            flags=flags,
            in_flight=in_flight,
        )


def _unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(str(file["about"]))
        names = (*_PER_EXAMPLE, *_KEPT, *(one for one in file.files if one.startswith(_IN_FLIGHT)))
        arrays = {name: torch.from_numpy(file[name]) for name in names}
    if missing := {*_TOTALS, "identity", "whole", "flags", "made_with"} - set(about):
        raise KeyError(min(missing))
    return about, arrays


def _check_all_once(index: Int[Tensor, " n"], whole: SetId) -> None:
    found, counts = torch.unique(index, return_counts=True)
    doubled = found[counts > 1]
    if len(doubled):
        raise BadValueError(
            f"parts must not overlap, got example {int(doubled[0])} of {whole.name} in two of them"
        )
    if len(found) != whole.n:
        raise BadValueError(
            f"parts must hold all {whole.n} examples of {whole.name}, got {len(found)}"
        )
