"""The laws of attacks, asserted on what an attack itself returns, before anybody checks it."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from clbench.attacks.interface import Attack, Granularity
from clbench.schema.names import NormName
from clbench.testing.attack_case import SEED, AttackCase, Seen, run
from clbench.testing.law import Law, check, hold
from clbench.testing.problems import N_CLASSES, SHAPE, curved_problem, linear_problem
from clbench.testing.unchanged import unchanged

_FULL = 0.9
_EQUAL = 1e-4
"""Pixels of equal images differ by no more, which is what rounding does."""

_MOST = 0.8
"""Images that are equal in a batch of another size, where rounding differs."""


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
    shape: tuple[int, int, int] = SHAPE,
    n_classes: int = N_CLASSES,
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
    others = [run(case.attack, problem, seed=SEED + 1) for problem, _ in case.runs]
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
        case.attack(problem.network, images, labels, problem.threat_model, seed=SEED, index=index)
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
