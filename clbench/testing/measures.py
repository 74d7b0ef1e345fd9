"""The laws of similarity measures, and of the estimates that are made with them."""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.probes.similarity.measures import SimilarityMeasure
from clbench.testing.law import Law, check, hold
from clbench.testing.measure_case import Estimating, Features, MeasureCase
from clbench.testing.unchanged import unchanged

_N, _WIDTH, _OTHER_WIDTH, _WIDE = 64, 12, 9, 2048
_DRAWS = 20
_UNLIKE = 0.4
"""The share of the range below which unrelated representations must lie."""
_NEAR_ZERO = 0.1
_EQUAL, _UNEQUAL = 1e-6, 1e-4
_ERRORS = 4.0
"""Standard errors between two means of ``_DRAWS`` values that are called equal."""

_INTERVALS = 100
_SEEN_AT_ONCE = 96
_COVERED = 0.8
"""An interval of 95 % from the spread of five groups covers in 88 of 100, not seldom in 80."""
_WIDEST = 10.0
"""Standard deviations that the mean interval is wide, at most; those of 95 % are 3.9."""


def check_measure(
    measure: SimilarityMeasure,
    *,
    estimate: Estimating | None = None,
    debiased: bool = False,
    excused: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
) -> None:
    """Assert that a similarity measure keeps the laws of ``MEASURE_LAWS``.

    Args:
        measure: What is measured, with its three functions.
        estimate: How two networks on the same images are compared by it, for the laws of
            intervals, reasons and networks; those are left out without it.
        debiased: It claims that unrelated representations give 0 in the mean.
        excused: Laws that it does not keep, each with the reason.
        only: Names of laws; all by default.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
    """
    case = MeasureCase(
        name=measure.name,
        measure=measure,
        estimate=estimate,
        debiased=debiased,
        excused=excused or {},
    )
    check(MEASURE_LAWS, case, only)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _noise(seed: int, n: int = _N, width: int = _WIDTH) -> Features:
    return torch.randn(n, width, generator=_generator(seed), dtype=torch.float64)


def _related(seed: int) -> tuple[Features, Features]:
    """Return two representations that share a good part of what they say."""
    x = _noise(seed)
    mixed = x @ _noise(seed + 1, _WIDTH, _OTHER_WIDTH)
    return x, mixed + 1.5 * _noise(seed + 2, width=_OTHER_WIDTH)


def _rotation(width: int) -> Features:
    rotation: Tensor = torch.linalg.qr(_noise(91, width, width))[0]
    return rotation


def _stretch(width: int) -> Features:
    return torch.diag(torch.logspace(-1, 1, width, dtype=torch.float64))


CHANGES: dict[str, Callable[[Features], Features]] = {
    "permutation": lambda x: x[:, torch.randperm(x.shape[1], generator=_generator(92))],
    "orthogonal": lambda x: x @ _rotation(x.shape[1]),
    "linear": lambda x: x @ _rotation(x.shape[1]) @ _stretch(x.shape[1]),
    "scale": lambda x: 3 * x,
    "shift": lambda x: x + 2 * _noise(93, 1, x.shape[1]),
}
"""What may be done to the features of one side, by the name of the invariance."""


def identity_is_one(case: MeasureCase) -> None:
    """A representation is wholly like itself."""
    for seed in range(3):
        x = _noise(seed)
        value, one = case.score(x, x), case.measure.value_range[1]
        hold(abs(value - one) <= _EQUAL, f"a representation is {value:.6g} like itself, not {one}")


def unrelated_is_null(case: MeasureCase) -> None:
    """Unrelated representations are as unlike as those of shuffled examples, and that is little."""
    values, nulls = [], []
    for seed in range(_DRAWS):
        one, other = (case.measure.reduce(_noise(2 * seed + side)) for side in (0, 1))
        order = torch.randperm(_N, generator=_generator(seed))
        values.append(case.measure.score(one, other))
        nulls.append(case.measure.score(one, case.measure.permute(other, order)))
    value, null = (torch.stack(some).double() for some in (values, nulls))
    error = math.sqrt(float(value.var() + null.var()) / _DRAWS)
    apart = abs(float(value.mean() - null.mean()))
    hold(apart <= _ERRORS * error + _EQUAL, f"{apart:.3g} between the two, of error {error:.3g}")
    share = _share(case, float(value.mean()))
    hold(share <= _UNLIKE, f"unrelated representations are {float(value.mean()):.3g} alike")


def _share(case: MeasureCase, value: float) -> float:
    """Return how far a value lies on the way from unlike to alike."""
    unlike, alike = case.measure.value_range
    return (value - unlike) / (alike - unlike)


def unrelated_is_zero(case: MeasureCase) -> None:
    """A debiased measure gives unrelated wide representations of few examples 0 in the mean."""
    draws = range(0, _DRAWS, 2)
    values = [case.score(_noise(s, width=_WIDE), _noise(s + 1, width=_WIDE)) for s in draws]
    mean = math.fsum(values) / len(values)
    what = f"of {_WIDE} features and {_N} examples"
    hold(abs(mean) <= _NEAR_ZERO, f"unrelated representations {what} are {mean:.3f} alike")


def falls_as_noise_is_mixed_in(case: MeasureCase) -> None:
    """The more noise is mixed into one side, the less alike the two are."""
    means = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        pairs = ((_noise(seed), _noise(seed + 50)) for seed in range(5))
        values = [case.score(x, (1 - share) * x + share * noise) for x, noise in pairs]
        means.append(math.fsum(values) / len(values))
    shares = [_share(case, mean) for mean in means]
    falls = all(after < before - _UNEQUAL for before, after in pairwise(shares))
    hold(falls, f"the values are {', '.join(f'{mean:.3f}' for mean in means)}")


def permutation_destroys(case: MeasureCase) -> None:
    """A representation is unlike itself in another order of the examples."""
    x = _noise(0)
    orders = (torch.randperm(_N, generator=_generator(seed)) for seed in range(5))
    values = [case.score(x, x[order]) for order in orders]
    mean = math.fsum(values) / len(values)
    hold(_share(case, mean) <= _UNLIKE, f"in another order, it is {mean:.3f} like itself")


def permutes_what_it_reduced(case: MeasureCase) -> None:
    """Another order of the reduced examples gives what that order of the features gives."""
    x, y = _related(3)
    order = torch.randperm(_N, generator=_generator(4))
    one, other = case.measure.reduce(x), case.measure.reduce(y)
    found = float(case.measure.score(one, case.measure.permute(other, order)))
    expected = case.score(x, y[order])
    hold(abs(found - expected) <= _EQUAL, f"{found:.6f} from the reduced, {expected:.6f} anew")


def keeps_its_invariances(case: MeasureCase) -> None:
    """What it says may be done to one side changes no value."""
    for name, change in CHANGES.items():
        if name in case.measure.invariant_to:
            off = _effect(case, change)
            hold(off <= _EQUAL, f"the change {name!r} moves a value by {off:.3g}")


def lacks_the_others(case: MeasureCase) -> None:
    """What it does not say may be done to one side does change a value."""
    unknown = case.measure.invariant_to - CHANGES.keys()
    hold(not unknown, f"there is no invariance {', '.join(map(repr, unknown))}")
    for name, change in CHANGES.items():
        if name not in case.measure.invariant_to:
            off = _effect(case, change)
            hold(off >= _UNEQUAL, f"the change {name!r} moves no value, but is not listed")


def _effect(case: MeasureCase, change: Callable[[Features], Features]) -> float:
    """Return by how much a change of either side moves the value, at most."""
    x, y = _related(7)
    before = case.score(x, y)
    return max(abs(case.score(change(x), y) - before), abs(case.score(x, change(y)) - before))


def is_symmetric(case: MeasureCase) -> None:
    """Which of the two comes first does not matter."""
    x, y = _related(11)
    one, other = case.score(x, y), case.score(y, x)
    hold(abs(one - other) <= _EQUAL, f"{one:.6f} one way, {other:.6f} the other")


def depends_on_the_network(case: MeasureCase) -> None:
    """With other weights on either side, the value is another."""
    a, b, other = (_network(seed) for seed in range(3))
    images = _images(0, _N)
    value = case.between(a, b, images).value
    for side, pair in (("first", (other, b)), ("second", (a, other))):
        moved = abs(case.between(*pair, images).value - value)
        hold(moved > _EQUAL, f"another {side} network moves the value by {moved:.3g}")


def undefined_has_a_reason(case: MeasureCase) -> None:
    """What is undefined is no number, and it is said why."""
    network, constant, broken = (_network(seed) for seed in range(3))
    for one, value in ((constant, 0.0), (broken, math.nan)):
        for parameter in one.parameters():
            nn.init.constant_(parameter, value)
    images = _images(1, _N)
    for what, one, shown in (
        ("features that do not vary", constant, images),
        ("features that are no numbers", broken, images),
        ("one example", network, images[:1]),
    ):
        found = case.between(network, one, shown)
        hold(math.isnan(found.value), f"{what} gave {found.value}")
        hold(bool(found.reason), f"{what} gave no reason")


def interval_covers(case: MeasureCase) -> None:
    """Intervals cover the mean of many draws about as often as they say, and are no wider."""
    a, b = _network(0), _network(1)
    draws = [case.between(a, b, _images(seed, _SEEN_AT_ONCE)) for seed in range(_INTERVALS)]
    values = torch.tensor([one.value for one in draws])
    mean, spread = float(values.mean()), float(values.std())
    covered = sum(one.low <= mean <= one.high for one in draws) / len(draws)
    hold(covered >= _COVERED, f"{covered:.0%} of {len(draws)} intervals cover their mean")
    width = math.fsum(one.high - one.low for one in draws) / len(draws)
    hold(width <= _WIDEST * spread, f"intervals {width:.3g} wide, of values that vary {spread:.3g}")


def leaves_all_as_found(case: MeasureCase) -> None:
    """Weights, buffers, modes, gradients, hooks and random states of both networks stay."""
    both = nn.ModuleList([_network(0), _network(1)]).train()
    both[0].eval()
    both.register_forward_hook(lambda *_: None)
    for parameter in both.parameters():
        parameter.grad = torch.ones_like(parameter)
    with unchanged(both):
        case.between(both[0], both[1], _images(2, _N))


def _images(seed: int, n: int) -> Float[Tensor, "n c h w"]:
    return torch.rand(n, 1, 4, 4, generator=_generator(1000 + seed))


def _network(seed: int) -> nn.Module:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5)
    )
    generator = _generator(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network.eval()


MEASURE_LAWS: dict[str, Law[MeasureCase]] = {
    law.__name__: law
    for law in (
        identity_is_one,
        unrelated_is_null,
        unrelated_is_zero,
        falls_as_noise_is_mixed_in,
        permutation_destroys,
        permutes_what_it_reduced,
        keeps_its_invariances,
        lacks_the_others,
        is_symmetric,
        depends_on_the_network,
        undefined_has_a_reason,
        interval_covers,
        leaves_all_as_found,
    )
}
"""What every similarity measure keeps, by name."""
