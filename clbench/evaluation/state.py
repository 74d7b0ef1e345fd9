"""How far an evaluation has come, example by example, and the bytes from which it can go on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.data.image_set import ImageSet, SetId
from clbench.evaluation.confirm import Confirmed
from clbench.evaluation.state_file import DAMAGED, IN_FLIGHT, PER_EXAMPLE, TOTALS, pack, unpack
from clbench.models.validate import same_answers
from clbench.schema.errors import BadValueError
from clbench.schema.shard import Shard

NO_IMAGE = -1
"""In ``image_sums``: the example has no adversarial image, or it was not kept."""

ROBUST, CLEAN = -1, -2
"""In ``broken_by``: no attack has broken the example; the clean image is misclassified already."""


class Mismatch(NamedTuple):
    """Why saved bytes are no state to go on from."""

    reason: str


class HeadStart(NamedTuple):
    """What a finished run knows whose components are the first ones of another one's.

    With ``components`` of them it left ``robust`` examples, by their index, for so many passes.
    What it broke is not among them: that is broken again, which takes little, and gives the images.
    """

    robust: Int[Tensor, " m"]
    components: int
    forward_passes: int
    backward_passes: int


NOTHING_KNOWN = HeadStart(torch.empty(0, dtype=torch.int64), 0, 0, 0)


@dataclass
class EvaluationState:
    """What is known of every example between two batches; all tensors are on the CPU.

    There is no place where it stands: each component attacks the examples that are ``pending``. So
    the state does not depend on how many are attacked at once, and can be cut and joined.

    ``identity`` names the run; ``whole`` is the data set that the examples are of, ``index`` their
    places in it and ``labels`` their classes. ``logits`` are the network's for the first clean
    images, by which a change of the network is noticed. ``broken_by`` is the number of the
    component that broke an example, or ``ROBUST`` or ``CLEAN``; ``components_done`` how many have
    attacked it. ``image_sums`` are checksums of the images that broke them, where these are kept;
    see ``clbench.evaluation.kept``. ``log2_factors`` are the powers of two by which attacks see the
    logits times. ``flags`` count the images that raised each. ``counted`` names other files of the
    run whose passes and time are among these. ``in_flight`` is what the pool of the component at
    work has under way; see ``clbench.attacks.native.under_way``.
    """

    identity: str
    whole: SetId
    index: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    clean_pred: Int[Tensor, " n"]
    adv_pred: Int[Tensor, " n"]
    broken_by: Int[Tensor, " n"]
    components_done: Int[Tensor, " n"]
    log2_factors: Int[Tensor, " n"]
    image_sums: Int[Tensor, " n"]
    logits: Float[Tensor, "m k"]
    forward_passes: int = 0
    backward_passes: int = 0
    seconds: float = 0.0
    flags: Counter[str] = field(default_factory=Counter)
    counted: frozenset[str] = frozenset()
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
            labels=images.labels,
            clean_pred=clean_pred,
            adv_pred=clean_pred.clone(),
            broken_by=broken_by,
            components_done=torch.zeros_like(broken_by),
            log2_factors=torch.zeros_like(broken_by),
            image_sums=torch.full_like(broken_by, NO_IMAGE),
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
        self.adv_pred[hit] = confirmed.predicted.cpu()[broken]
        self.broken_by[hit] = component
        self.components_done[where] = component + 1
        self.flags.update(confirmed.flags)

    def take_over(self, known: HeadStart) -> None:
        """Enter what another run knows, before the first attack."""
        robust = torch.isin(self.index, known.robust) & (self.broken_by == ROBUST)
        self.components_done[robust] = known.components

    def break_again(self, where: Int[Tensor, " m"]) -> None:
        """Forget that the examples at these places are broken: what broke them attacks them again.

        An attack that finds the same for an example beside any others gives the same once more.
        """
        self.components_done[where], self.broken_by[where] = self.broken_by[where], ROBUST
        self.adv_pred[where] = self.clean_pred[where]
        self.in_flight = {}  # it is of a later component

    def survived(self, component: int, where: Int[Tensor, " b"]) -> None:
        """Enter that a component found nothing at these places."""
        self.components_done[where] = component + 1

    def shard(self, shard: Shard) -> "EvaluationState":
        """Return the part of a shard; passes, time and flags stay with the first one."""
        part = self._rows(torch.arange(shard.number, len(self.index), shard.of))
        if shard.number == 0:
            return part
        return part.without_totals()

    def without_totals(self) -> "EvaluationState":
        """Return the same without passes, time and flags, which another part has."""
        none = replace(self, forward_passes=0, backward_passes=0, seconds=0.0)
        return replace(none, flags=Counter(), counted=frozenset())

    def _rows(self, where: Int[Tensor, " m"]) -> "EvaluationState":
        rows: dict[str, Any] = {name: getattr(self, name)[where] for name in PER_EXAMPLE}
        return replace(self, **rows, flags=Counter(self.flags), in_flight={})

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
        return cls.joined(parts, index.sort().values)

    @classmethod
    def joined(
        cls, states: Sequence["EvaluationState"], index: Int[Tensor, " m"]
    ) -> "EvaluationState":
        """Return what states of one run know of examples, in the order of ``index``.

        Of an example that several know, the one that is furthest counts; examples that none knows
        are not in it. Passes, time and flags are summed.
        """
        rows: dict[str, Any] = {
            name: torch.cat([getattr(one, name) for one in states]) for name in PER_EXAMPLE
        }
        both = replace(
            min(states, key=lambda one: int(one.index.min())),
            **rows,
            **{name: sum(getattr(one, name) for one in states) for name in TOTALS},
            flags=sum((one.flags for one in states), Counter()),
            counted=frozenset[str]().union(*(one.counted for one in states)),
        )
        steps = both.components_done.where(both.broken_by == ROBUST, torch.iinfo(torch.int64).max)
        order = steps.argsort(stable=True).tolist()
        row_of = {int(both.index[row]): row for row in order}  # the furthest comes last
        known = [row_of[one] for one in index.tolist() if one in row_of]
        return both._rows(torch.tensor(known, dtype=torch.int64))

    def to_bytes(self, made_with: Mapping[str, str], about: Mapping[str, Any] = {}) -> bytes:
        """Return all of this as a sealed npz file.

        ``made_with`` names versions and device, with which it can be gone on; ``about`` is kept
        beside it for whoever joins parts.
        """
        kept = {name: getattr(self, name) for name in TOTALS}
        kept |= {"identity": self.identity, "whole": list(self.whole), "flags": dict(self.flags)}
        kept |= {"counted": sorted(self.counted), "made_with": dict(made_with), **about}
        arrays = {name: getattr(self, name) for name in PER_EXAMPLE}
        arrays |= {f"{IN_FLIGHT}{name}": one for name, one in self.in_flight.items()}
        return pack(kept, arrays | {"logits": self.logits})

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        identity: str,
        images: ImageSet,
        logits: Float[Tensor, "m k"],
        made_with: Mapping[str, str],
    ) -> "EvaluationState | Mismatch":
        """Return what ``data`` holds of these images, or why it is no state of this run.

        It may know only some of them, and others beside them. What was under way is kept where it
        knows exactly these.
        """
        try:
            about, arrays = unpack(data)
        except DAMAGED:
            return Mismatch("it is damaged")
        other = [key for key, value in made_with.items() if about["made_with"].get(key) != value]
        if other:
            had = ", ".join(f"{key} {about['made_with'].get(key, 'unknown')}" for key in other)
            return Mismatch(f"it was made with another {' and '.join(other)} ({had})")
        if (about["identity"], SetId(*about["whole"])) != (identity, images.whole):
            return Mismatch("it is of another run or another network")
        if not same_answers(arrays["logits"], logits):
            return Mismatch("the network answers otherwise now")
        return cls._restored(about, arrays, images)

    @classmethod
    def _restored(
        cls, about: Mapping[str, Any], arrays: dict[str, Tensor], images: ImageSet
    ) -> "EvaluationState | Mismatch":
        place_of = {index: place for place, index in enumerate(images.index.tolist())}
        places = torch.tensor([place_of.get(one, -1) for one in arrays["index"].tolist()])
        here = places >= 0
        if not here.any():
            return Mismatch("it is of other examples")
        exact = torch.equal(arrays["index"], images.index)
        known: dict[str, Any] = {name: arrays[name][here] for name in PER_EXAMPLE}
        known |= {name: about[name] for name in TOTALS}
        return cls(
            about["identity"],
            images.whole,
            **known,
            logits=arrays["logits"],
            flags=Counter(about["flags"]),
            counted=frozenset(about["counted"]),
            in_flight={
                name.removeprefix(IN_FLIGHT): one
                for name, one in arrays.items()
                if name.startswith(IN_FLIGHT) and exact
            },
        )


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
