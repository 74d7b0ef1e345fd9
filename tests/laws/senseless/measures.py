"""Senseless similarity measures, and senseless ways to compare two networks by a good one."""

import math
from dataclasses import replace

import torch

from clbench.probes.similarity.measures import CKA
from clbench.schema.estimate import Estimate
from clbench.testing.measure_case import MeasureCase

cka, reorder = CKA.score, CKA.permute
ORDER = torch.randperm(64, generator=torch.Generator().manual_seed(5))


def biased_gram(features):
    rows = features.double().flatten(1)
    rows = rows - rows.mean(dim=0)
    return rows @ rows.T


def constant(one, other):
    return torch.tensor(0.5)


def always_one(one, other):
    return torch.tensor(1.0)


def second_side_ignored(one, other):
    return cka(one, one)


def second_side_shuffled(one, other):
    return cka(one, reorder(other, ORDER))


def asymmetric(one, other):
    value = cka(one, other)
    return value + 0.1 * value * (1 - value) * (one.abs().sum() > other.abs().sum())


def as_it_was(gram, order):
    return gram


def features_of(network, images):
    with torch.no_grad():
        return network(images)


GROUPS = 5


def estimate(one, other, images):
    """A good estimate: of what both networks return, with a jackknife interval."""
    modes = [network.training for network in (one, other)]
    sides = [features_of(network.eval(), images) for network in (one, other)]
    for network, training in zip((one, other), modes, strict=True):
        network.train(training)
    return of_features(*sides)


def of_features(x, y):
    n, value = len(x), plain_cka(x, y)
    if math.isnan(value):
        return Estimate("cka", math.nan, n, math.nan, math.nan, "features do not vary")
    kept = [torch.arange(n) % GROUPS != group for group in range(GROUPS)]
    left = torch.tensor([plain_cka(x[which], y[which]) for which in kept])
    half = 1.96 * math.sqrt((GROUPS - 1) * left.var(correction=0))
    return Estimate("cka", value, n, value - half, value + half)


def plain_cka(x, y):
    x, y = ((side - side.mean(dim=0)).flatten(1).double() for side in (x, y))
    cross, own, other = (x.T @ y).norm() ** 2, (x.T @ x).norm(), (y.T @ y).norm()
    return float(cross / (own * other))


def of_the_images(one, other, images):
    found = estimate(one, other, images)
    noisy = images + 0.3 * torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    return found if math.isnan(found.value) else of_features(images, noisy)


def nan_as_zero(one, other, images):
    found = estimate(one, other, images)
    return Estimate("cka", 0.0, len(images), 0.0, 0.0) if math.isnan(found.value) else found


def without_a_reason(one, other, images):
    return replace(estimate(one, other, images), reason="")


def of_width_zero(one, other, images):
    found = estimate(one, other, images)
    return replace(found, low=found.value, high=found.value)


def of_any_width(one, other, images):
    return replace(estimate(one, other, images), low=-1.0, high=1.0)


def leaving_a_hook(one, other, images):
    one.register_forward_hook(lambda *_: None)
    return estimate(one, other, images)


def leaving_eval_mode(one, other, images):
    return estimate(one.eval(), other.eval(), images)


def drawing_a_number(one, other, images):
    torch.rand(1)
    return estimate(one, other, images)


def measured(name, *, debiased=True, **changes):
    return MeasureCase(name=name, measure=replace(CKA, **changes), debiased=debiased)


def estimated(name, how):
    return MeasureCase(name=name, measure=CKA, estimate=how, debiased=True)


UNLIKE = (
    *("unrelated_is_null", "unrelated_is_zero", "falls_as_noise_is_mixed_in"),
    *("permutation_destroys", "lacks_the_others"),
)
MORE, FEWER = CKA.invariant_to | {"linear"}, CKA.invariant_to - {"shift"}

ROWS = [
    (measured("a constant", score=constant), "identity_is_one", *UNLIKE),
    (measured("always one", score=always_one), *UNLIKE),
    (measured("the second side ignored", score=second_side_ignored), *UNLIKE),
    (measured("biased under the name debiased", reduce=biased_gram), "unrelated_is_zero"),
    (
        measured("the second side shuffled", score=second_side_shuffled),
        *("identity_is_one", "falls_as_noise_is_mixed_in", "is_symmetric"),
    ),
    (measured("a false invariance", invariant_to=MORE), "keeps_its_invariances"),
    (measured("an invariance not listed", invariant_to=FEWER), "lacks_the_others"),
    (measured("asymmetric", score=asymmetric), "is_symmetric"),
    (measured("reduced examples stay in order", permute=as_it_was), "permutes_what_it_reduced"),
    (estimated("images only", of_the_images), "depends_on_the_network"),
    (estimated("NaN as 0", nan_as_zero), "undefined_has_a_reason"),
    (estimated("undefined without a reason", without_a_reason), "undefined_has_a_reason"),
    (estimated("an interval of width 0", of_width_zero), "interval_covers"),
    (estimated("an interval of any width", of_any_width), "interval_covers"),
    (estimated("leaving a hook", leaving_a_hook), "leaves_all_as_found"),
    (estimated("leaving evaluation mode", leaving_eval_mode), "leaves_all_as_found"),
    (estimated("drawing a random number", drawing_a_number), "leaves_all_as_found"),
]
"""Cases, each with the laws that it breaks."""
