"""One component of an evaluation as a pool: examples in, verdicts out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pool import Pool
from clbench.attacks.native.pool_attack import Ball, Example, targets_of
from clbench.attacks.native.pooled import Pooled
from clbench.attacks.native.under_way import UnderWay
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.confirm import confirm
from clbench.evaluation.kept import KeptImages
from clbench.evaluation.progress import UnderWay as InProgress
from clbench.evaluation.state import EvaluationState
from clbench.evaluation.tile_network import TileNetwork, plain_logits
from clbench.schema.threat_model import ThreatModel


@dataclass(eq=False)
class PoolRun:
    """A pool attack at work on the examples that its component has to attack."""

    number: int
    step: AttackStep
    attack: Pooled
    model: AttackedModel
    images: ImageSet
    state: EvaluationState
    threat_model: ThreatModel
    seed: int
    device: torch.device
    tile: int
    kept: KeptImages | None = None

    def __post_init__(self) -> None:
        kind = self.attack.attack.item_type
        waiting = self.state.pending(self.number).tolist()
        saved = UnderWay.of_tensors(self.state.in_flight, kind, self.device).only(waiting)
        self.state.in_flight = {}
        self._targets = self._find_targets()
        self.pool = Pool(
            self.attack.attack,
            Ball.of(self.threat_model, self.seed, self.attack.name),
            self.tile,
            self._example,
            [place for place in waiting if place not in saved.examples],
            under_way=saved,
        )

    @property
    def under_way(self) -> InProgress:
        """How much is done of the examples under way."""
        done = self.pool.steps_made / (self.attack.attack.attempts * self.attack.attack.n_steps)
        begun = len(set(self.pool.example[self.pool.active].tolist())) + len(self.pool.parked)
        room = 0 if self.pool.looks_ahead else self.pool.room
        return InProgress(done, done * self.step.cost, 0.0, begun, room)

    def advance(self) -> bool:
        """Ask about what is ripe, or make a step; enter what it decided; say whether more is to do.

        They are apart, so that an interruption between them loses the passes of neither.
        """
        if self.pool.is_ripe:
            self._ask_about_candidates()
            return not self.pool.is_finished
        unbroken = self.pool.advance(
            lambda factor, counted: TileNetwork(self.model, factor, counted)
        )
        # a step ahead is a query more, without a gradient
        self.model.forward_passes += self.pool.ahead
        self._survived(unbroken)
        return not self.pool.is_finished

    def _ask_about_candidates(self) -> None:
        examples, points = self.pool.candidates()
        where = torch.tensor(examples)
        clean = self.images.images[where].to(self.device)
        confirmed = confirm(
            self._classify,
            clean,
            points,
            self.images.labels[where].to(self.device),
            self.threat_model,
            bounded=self.step.bounded,
        )
        broken = confirmed.broken.cpu()
        found = confirmed.only(confirmed.broken)
        self.state.take(self.number, where[broken], found)
        if self.kept is not None:
            self.kept.take(self.state, where[broken], found)
        self._survived(self.pool.settle(broken))

    def _classify(self, images: Float[Tensor, "m c h w"]) -> Int[Tensor, " m"]:
        return classes_of(plain_logits(self.model, images, self.tile))

    def _survived(self, examples: list[int]) -> None:
        if examples:
            self.state.survived(self.number, torch.tensor(examples))

    def _find_targets(self) -> dict[int, list[int]]:
        """Return the classes that the attempts at each example aim at, where they do."""
        if not self.attack.attack.n_target_classes:
            return {}
        found: dict[int, list[int]] = {}
        for where in torch.split(self.state.pending(self.number), self.tile):
            clean, labels = (
                one[where].to(self.device) for one in (self.images.images, self.images.labels)
            )
            before = self.model.forward_passes
            logits = plain_logits(self.model, clean, self.tile)
            self.model.forward_passes = before  # counted where an example begins
            targets = targets_of(self.attack.attack, logits, labels)
            found |= dict(zip(where.tolist(), targets.tolist(), strict=True))
        return found

    def _example(self, place: int) -> Example:
        here = slice(place, place + 1)
        factor = torch.exp2(self.state.log2_factors[here].double())
        targets = self._targets.get(place)
        self.model.forward_passes += (
            self.attack.attack.n_target_classes > 0
        )  # the pass that gave its targets
        return Example(
            clean=self.images.images[here].to(self.device),
            labels=self.images.labels[here].to(self.device),
            index=self.images.index[here].to(self.device),
            factor=factor.to(self.device),
            targets=None if targets is None else torch.tensor(targets, device=self.device),
        )
