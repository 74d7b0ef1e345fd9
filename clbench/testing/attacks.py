"""The laws of attacks, asserted on what an attack itself returns, before anybody checks it."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import Attack
from clbench.runtime.seeding import randomness
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName
from clbench.testing.law import Law, check, hold
from clbench.testing.problems import LinearProblem, Problem, curved_problem, linear_problem
from clbench.testing.unchanged import unchanged

Granularity = Literal["example", "batch"]

_SEED, _OTHER_SEED = 3, 4
_FULL = 0.9
_EQUAL = 1e-4
"""Pixels of equal images differ by no more, which is what rounding does."""

_MOST = 0.8
"""Images that are equal in a batch of another size, where rounding differs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackCase:
    """An attack and what it declares of itself.

    Attributes:
        name: What messages call it.
        attack: The attack itself, as in ``clbench.attacks.interface``.
        linear: The problem whose exact answer is known.
        curved: The problem on which options, labels and seeds have something to change.
        least_share: Which share of the images that can be broken it breaks, at least.
        bounded: It stays in the ball. Where it does not, what it returns outside is no success.
        black_box: It uses no gradients.
        granularity: An example's result is its own, or that of the batch it came in.
        changed: By option, the same attack with this option changed.
        idle: Options that change nothing here, each with the reason.
        excused: Laws that it does not keep, each with the reason.
    """

    name: str
    attack: Attack
    linear: LinearProblem
    curved: Problem
    least_share: float
    bounded: bool = True
    black_box: bool = False
    granularity: Granularity = "example"
    changed: Mapping[str, Attack] = field(default_factory=dict)
    idle: Mapping[str, str] = field(default_factory=dict)
    excused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.least_share <= 1:
            raise BadValueError(
                f"least_share of {self.name} must be above 0 and at most 1, "
                f"got {self.least_share!r}: an attack breaks something"
            )

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it declares not to keep."""
        declared = {}
        if not self.bounded:
            declared["uses_the_whole_ball"] = "it looks for the smallest perturbation"
        if self.granularity == "batch":
            declared["belongs_to_examples"] = "its results are those of a batch"
        if not self.changed:
            declared["every_option_acts"] = "it has no options"
        return declared | dict(self.excused)

    @cached_property
    def on_linear(self) -> "Seen":
        """What it does to the linear problem."""
        return run(self.attack, self.linear)

    @cached_property
    def on_curved(self) -> "Seen":
        """What it does to the curved problem."""
        return run(self.attack, self.curved)

    @property
    def runs(self) -> tuple[tuple[Problem, "Seen"], tuple[Problem, "Seen"]]:
        """Both problems, each with what it does there."""
        return (self.linear, self.on_linear), (self.curved, self.on_curved)


def check_attack(
    attack: Attack,
    norm: NormName,
    *,
    least_share: float,
    name: str = "the attack",
    bounded: bool = True,
    black_box: bool = False,
    granularity: Granularity = "example",
    changed: Mapping[str, Attack] | None = None,
    idle: Mapping[str, str] | None = None,
    excused: Mapping[str, str] | None = None,
    shape: tuple[int, int, int] = (3, 8, 8),
    n_classes: int = 4,
    only: Iterable[str] = (),
) -> None:
    """Assert that an attack keeps the laws of ``ATTACK_LAWS``, for a test of one's own attack.

    Args:
        attack: A function as ``clbench.attacks.interface.Attack`` describes it.
        norm: In which norm it is tried.
        least_share: Which share of the images that can be broken it breaks, at least. It is known
            exactly which can, as the network is linear.
        name: What messages call it.
        bounded: False for an attack that looks for the smallest perturbation.
        black_box: True for an attack without gradients.
        granularity: "batch" for an attack whose results depend on the batch.
        changed: By option, the same attack with this option changed; each must act.
        idle: Options of these that change nothing here, each with the reason.
        excused: Laws that it does not keep, each with the reason, such as ``heeds_the_seed`` for an
            attack that draws nothing.
        shape: Of the images: channels, height, width.
        n_classes: How many classes the networks have.
        only: Names of laws; all by default.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
    """
    case = AttackCase(
        name=name,
        attack=attack,
        linear=linear_problem(norm, shape=shape, n_classes=n_classes),
        curved=curved_problem(norm, shape=shape, n_classes=n_classes),
        least_share=least_share,
        bounded=bounded,
        black_box=black_box,
        granularity=granularity,
        changed=changed or {},
        idle=idle or {},
        excused=excused or {},
    )
    check(ATTACK_LAWS, case, only)


@dataclass(frozen=True, eq=False)
class Seen:
    """What an attack returned, and how many images it passed forward and backward."""

    images: Float[Tensor, "n c h w"]
    forward: int
    backward: int


class Counted(nn.Module):
    """A network whose passes are counted by images, as an attack sees it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forward_passes = 0
        self.backward_passes = 0
        self.training = False

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        self.forward_passes += len(images)
        logits: Tensor = self.network(images)
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.backward_passes += len(gradient)


def run(
    attack: Attack,
    problem: Problem,
    *,
    labels: Int[Tensor, " n"] | None = None,
    where: Int[Tensor, " m"] | None = None,
    seed: int = _SEED,
    ambient: int = 0,
) -> Seen:
    """Return what ``attack`` itself does to some images of a problem.

    Args:
        attack: The attack.
        problem: What it is shown.
        labels: Instead of the problem's.
        where: Which images, in which order; all by default.
        seed: Of the run.
        ambient: The seed of the global random numbers, from which no attack may draw.
    """
    chosen = torch.arange(len(problem.labels)) if where is None else where
    wanted = problem.labels if labels is None else labels
    network = Counted(deepcopy(problem.network))
    with randomness(ambient):
        found = attack(
            network,
            problem.images[chosen],
            wanted[chosen],
            problem.threat_model,
            seed=seed,
            index=problem.index[chosen],
        )
    return Seen(found.detach(), network.forward_passes, network.backward_passes)


def stays_in_the_ball(case: AttackCase) -> None:
    """What is returned is finite, and in the ball and in [0, 1] unless it need not be."""
    for problem, seen in case.runs:
        images = seen.images
        same = (images.shape, images.dtype) == (problem.images.shape, problem.images.dtype)
        hold(same, f"images {list(images.shape)} of {images.dtype} came back")
        wrong = int((~images.isfinite().flatten(1).all(dim=1)).sum())
        hold(wrong == 0, f"{wrong} of {len(images)} images are not finite")
        if case.bounded:
            low, high = float(images.min()), float(images.max())
            hold(bool(problem.in_range(images).all()), f"pixels from {low:.6g} to {high:.6g}")
            far, ball = float(problem.distances(images).max()), problem.threat_model
            inside = bool(problem.in_ball(images).all())
            hold(inside, f"an image {far:.6g} away, where it must be {ball}")


def is_sound(case: AttackCase) -> None:
    """No image is broken that no image of the ball can break."""
    impossible = _broken(case) & ~case.linear.breakable
    count, safe = int(impossible.sum()), int((~case.linear.breakable).sum())
    hold(count == 0, f"{count} of {safe} images were broken that cannot be")


def finds_its_share(case: AttackCase) -> None:
    """Of the images that can be broken, the declared share is."""
    found = int((_broken(case) & case.linear.breakable).sum())
    there_are = int(case.linear.breakable.sum())
    hold(
        found >= case.least_share * there_are,
        f"{found} of the {there_are} images that can be broken were, "
        f"which is less than a share of {case.least_share:g}",
    )


def _broken(case: AttackCase) -> Bool[Tensor, " n"]:
    """Say what is misclassified; what an unbounded attack leaves outside of the ball is not."""
    problem, images = case.linear, case.on_linear.images
    wrong = problem.misclassified(images)
    return wrong if case.bounded else wrong & problem.in_ball(images) & problem.in_range(images)


def uses_the_whole_ball(case: AttackCase) -> None:
    """Images are moved as far as they may be."""
    far = float(case.linear.distances(case.on_linear.images).mean())
    eps = float(case.linear.threat_model.eps)
    hold(far >= _FULL * eps, f"images are moved by {far / eps:.2f} eps in the mean")


def asks_the_model(case: AttackCase) -> None:
    """The network is asked, through gradients exactly where the attack is no black-box one."""
    for _, seen in case.runs:
        hold(seen.forward > 0, "no image was passed forward")
        what = "a black-box attack" if case.black_box else "an attack that uses gradients"
        hold(
            (seen.backward == 0) == case.black_box,
            f"{seen.backward} images were passed backward by {what}",
        )


def heeds_the_label(case: AttackCase) -> None:
    """With other labels, other images are found."""
    others = [
        run(case.attack, problem, labels=(problem.labels + 1) % problem.n_classes)
        for problem, _ in case.runs
    ]
    hold(_any_differs(case, others), "with other labels the same images came back")


def repeats_itself(case: AttackCase) -> None:
    """The same seed gives the same bytes, whatever random numbers were drawn before."""
    again = [run(case.attack, problem, ambient=1) for problem, _ in case.runs]
    hold(not _any_differs(case, again), "the same seed gave other images")


def heeds_the_seed(case: AttackCase) -> None:
    """Another seed gives other images, as the attack draws random numbers."""
    others = [run(case.attack, problem, seed=_OTHER_SEED) for problem, _ in case.runs]
    hold(_any_differs(case, others), "another seed gave the same images")


def belongs_to_examples(case: AttackCase) -> None:
    """In any order, beside any neighbours and in any piece, each example's result is its own.

    In a batch of another size the last bits of logits differ, and may decide the sign of a slope,
    so that there a few images may differ.
    """
    for problem, whole in case.runs:
        n = len(problem.labels)
        some, everything = torch.arange(0, n, 2), torch.arange(n)
        ways = (
            ("in another order", everything.flip(0), 1.0),
            ("beside other examples", torch.cat([some, some])[:n], 1.0),
            ("in a smaller batch", some, _MOST),
        )
        for how, where, share in ways:
            found = run(case.attack, problem, where=where).images
            off = (found - whole.images[where]).abs().nan_to_num().flatten(1).amax(dim=1)
            equal = float((off <= _EQUAL).double().mean())
            far = f"pixels differ by up to {float(off.max()):.3g}"
            hold(equal >= share, f"{how}, {equal:.0%} of the images are the same; {far}")


def every_option_acts(case: AttackCase) -> None:
    """Every option changes the images or the passes, unless it is said to be idle."""
    for option, changed in case.changed.items():
        if option not in case.idle:
            hold(acts(case, changed), f"option {option!r} changes neither images nor passes")


def acts(case: AttackCase, changed: Attack) -> bool:
    """Say whether a changed attack does something else to one of the problems."""
    for problem, before in reversed(case.runs):  # the curved one shows most, and is quick
        after = run(changed, problem)
        if (after.forward, after.backward) != (before.forward, before.backward):
            return True
        if _bytes(after) != _bytes(before):
            return True
    return False


def leaves_all_as_found(case: AttackCase) -> None:
    """Weights, buffers, modes, gradients, hooks, random states and arguments stay."""
    problem = replace(case.curved, network=deepcopy(case.curved.network))
    for parameter in problem.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    images, labels, index = (one.clone() for one in problem.examples)
    with unchanged(problem.network):
        case.attack(problem.network, images, labels, problem.threat_model, seed=_SEED, index=index)
    stayed = map(torch.equal, (images, labels, index), problem.examples)
    hold(all(stayed), "images, labels or index were written into")


def _any_differs(case: AttackCase, found: Sequence[Seen]) -> bool:
    """Say whether other images than before were found, in one of the problems."""
    pairs = zip(found, case.runs, strict=True)
    return any(_bytes(one) != _bytes(before) for one, (_, before) in pairs)


def _bytes(seen: Seen) -> bytes:
    return seen.images.numpy().tobytes()


ATTACK_LAWS: dict[str, Law[AttackCase]] = {
    law.__name__: law
    for law in (
        stays_in_the_ball,
        is_sound,
        finds_its_share,
        uses_the_whole_ball,
        asks_the_model,
        heeds_the_label,
        repeats_itself,
        heeds_the_seed,
        belongs_to_examples,
        every_option_acts,
        leaves_all_as_found,
    )
}
"""What every attack keeps, by name."""
