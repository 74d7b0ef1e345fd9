"""The laws of states: what is saved comes back, and parts make a whole only where they are one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from clbench.data.image_set import ImageSet, make_image_set
from clbench.evaluation.confirm import Confirmed
from clbench.evaluation.state import EvaluationState, Mismatch
from clbench.schema.errors import ClbenchError
from clbench.schema.shard import Shard
from clbench.testing.damage import flips
from clbench.testing.law import Law, check, hold

_N = 10
_MADE_WITH = {"torch": "1", "device": "cpu"}
_FLIPS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class StateCase:
    """A kind of state, by the class that begins, merges and loads it.

    Attributes:
        name: What messages call it.
        kind: ``EvaluationState``, or a class with the same functions.
        exempt: Laws that it does not keep, each with the reason.
    """

    name: str
    kind: type[EvaluationState] = EvaluationState
    exempt: Mapping[str, str] = field(default_factory=dict)

    def state(self) -> EvaluationState:
        """Return a state in the middle of its second component."""
        images = _images()
        wrong = images.labels.clone()
        wrong[3] += 1
        state = self.kind.begin("run", images, wrong, torch.eye(3))
        for component, broken in ((0, (0, 4)), (1, (1,))):
            where = state.pending(component)[: 4 if component else _N]
            hit = torch.tensor([int(index) in broken for index in where])
            images_hit = torch.full((len(where), 1, 2, 2), 0.5)
            state.take(component, where, Confirmed(images_hit, where + 20, hit, {"seen": 1}))
        return state

    def loaded(self, data: bytes) -> EvaluationState | Mismatch:
        """Return what is made of bytes, for the run and the images of ``state``."""
        return self.kind.from_bytes(data, "run", _images(), torch.eye(3), _MADE_WITH)


def check_state(kind: type[EvaluationState], *, only: Iterable[str] = ()) -> None:
    """Assert the laws of states, or those named.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
    """
    check(STATE_LAWS, StateCase(name=kind.__name__, kind=kind), only)


def loading_is_the_inverse_of_saving(case: StateCase) -> None:
    """What was saved comes back, every field of it."""
    state = case.state()
    found = case.loaded(state.to_bytes(_MADE_WITH))
    hold(isinstance(found, EvaluationState), f"it came back as {found}")
    assert isinstance(found, EvaluationState), "as was held"
    hold((other := _differing(state, found)) == [], f"other than it was saved: {other}")


def damage_is_named(case: StateCase) -> None:
    """No flipped bit of a saved state gives a state."""
    data = case.state().to_bytes(_MADE_WITH)
    for bit, damaged in flips(data, _FLIPS):
        found = case.loaded(damaged)
        hold(isinstance(found, Mismatch), f"bit {bit} was flipped, and nothing said so")


def merging_is_the_inverse_of_cutting(case: StateCase) -> None:
    """Shards in any order make the state that they were cut from."""
    state = case.state()
    parts = [state.shard(Shard(number, 3)) for number in (2, 0, 1)]
    other = _differing(state, case.kind.merge(parts))
    hold(other == [], f"other than it was cut: {other}")


def a_gap_is_refused(case: StateCase) -> None:
    """A merge without one of the shards is refused."""
    state = case.state()
    _refused(case, [state.shard(Shard(number, 3)) for number in (0, 2)], "a shard was missing")


def an_overlap_is_refused(case: StateCase) -> None:
    """A merge with one of the shards twice, as many examples as there should be, is refused."""
    state = case.state()
    parts = [state.shard(Shard(number, 2)) for number in (0, 0)]
    _refused(case, parts, "a shard was there twice")


def another_run_is_refused(case: StateCase) -> None:
    """A merge of shards of two runs is refused."""
    one, other = (case.state().shard(Shard(number, 2)) for number in range(2))
    _refused(case, [one, replace(other, identity="another")], "a shard was of another run")


def _refused(case: StateCase, parts: list[EvaluationState], what: str) -> None:
    try:
        case.kind.merge(parts)
    except ClbenchError:
        return
    hold(claim=False, seen=f"{what}, and nothing said so")


def _images() -> ImageSet:
    pixels = torch.linspace(0, 1, _N * 4).reshape(_N, 1, 2, 2)
    return make_image_set("ten", pixels, torch.arange(_N) % 3, 3)


def _differing(one: EvaluationState, other: EvaluationState) -> list[str]:
    pairs = ((f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return [
        name
        for name, mine, theirs in pairs
        if not (torch.equal(mine, theirs) if isinstance(mine, Tensor) else mine == theirs)
    ]


_ALL: tuple[Callable[[StateCase], None], ...] = (
    loading_is_the_inverse_of_saving,
    damage_is_named,
    merging_is_the_inverse_of_cutting,
    a_gap_is_refused,
    an_overlap_is_refused,
    another_run_is_refused,
)
STATE_LAWS: dict[str, Law[StateCase]] = {law.__name__: law for law in _ALL}
"""All laws of states, by name."""
