"""The projection on L1 ball and pixel range, against exact arithmetic of fractions."""

from fractions import Fraction

import pytest
import torch

from clbench.attacks.norms import NORMS

project = NORMS["L1"].project
N, SHAPE = 6, (2, 3, 4)


def exactly(wanted, centres, eps):
    """The nearest point of one row: its threshold lies between two kinks, found by trying all."""
    offset = [Fraction(w) - Fraction(c) for w, c in zip(wanted, centres, strict=True)]
    length = [abs(one) for one in offset]
    room = [1 - Fraction(c) if o > 0 else Fraction(c) for o, c in zip(offset, centres, strict=True)]

    def moves(threshold):
        pairs = zip(length, room, strict=True)
        return [min(max(one - threshold, Fraction(0)), most) for one, most in pairs]

    kinks = {one - most for one, most in zip(length, room, strict=True)} | set(length)
    kinks = sorted({max(one, Fraction(0)) for one in kinks} | {Fraction(0)})
    fits = next(place for place, one in enumerate(kinks) if sum(moves(one)) <= eps)
    threshold = kinks[fits]
    if fits:
        low, high = kinks[fits - 1 : fits + 1]
        over, under = sum(moves(low)) - eps, sum(moves(high)) - eps
        threshold = low + (high - low) * over / (over - under)
    signs = [1 if one > 0 else -1 for one in offset]
    moved = zip(centres, signs, moves(threshold), strict=True)
    return [float(Fraction(c) + sign * one) for c, sign, one in moved]


KINDS = {
    "anywhere": lambda centres, noise: (centres + noise, centres),
    "far outside": lambda centres, noise: (centres + 1000 * noise, centres),
    "hardly moved": lambda centres, noise: (centres + 1e-9 * noise, centres),
    "black and white": lambda centres, noise: (centres.round() + noise, centres.round()),
    "black, wanted white": lambda centres, _: (torch.ones_like(centres), 0 * centres),
    "in a corner": lambda centres, noise: (noise.sign().clamp(0, 1), centres),
    "beyond a corner": lambda centres, noise: (0.5 + 3 * noise.sign(), centres),
    "all as far": lambda centres, noise: (0.5 + noise.sign() / 4, 0.5 + 0 * centres),
    "few pixels": lambda centres, noise: (centres + noise * (noise > 1), centres),
    "not moved": lambda centres, _: (centres.clone(), centres),
    "of all magnitudes": lambda centres, noise: (centres + noise**9 / 1e4, centres),
}
"""By name: from random centres and Gaussian noise, both double, to what is wanted, and centres."""


def points(kind):
    return KINDS[kind](
        torch.rand(N, *SHAPE, dtype=torch.float64), torch.randn(N, *SHAPE, dtype=torch.float64)
    )


EPS = (0.0, 1e-6, 0.1, 1.0, 3.7, 12.0, 24.0, 1e4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eps", EPS)
def test_the_projection_is_the_nearest_point(kind, eps):
    wanted, centres = points(kind)
    found = project(wanted, centres, eps)
    for row in range(N):
        expected = exactly(
            wanted[row].flatten().tolist(), centres[row].flatten().tolist(), Fraction(eps)
        )
        assert found[row].flatten().tolist() == pytest.approx(expected, rel=0, abs=2e-11)
    assert (found - centres).abs().sum(dim=(1, 2, 3)).max() <= eps * (1 + 1e-11) + 1e-15
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eps", EPS)
def test_a_row_does_not_depend_on_the_others(kind, eps):
    wanted, centres = (one.float() for one in points(kind))
    others = 100 * torch.randn_like(wanted)
    found = project(wanted, centres, eps)
    for row in range(N):
        beside = others.clone()
        beside[row] = wanted[row]
        assert torch.equal(project(beside, centres, eps)[row], found[row])


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_that_are_not_moved_stay_exactly(kind):
    wanted, centres = (one.float() for one in points(kind))
    found = project(wanted, centres, 0.1)
    assert torch.equal(project(wanted, centres, 0.0), centres)
    assert (found != centres)[wanted == centres].sum() == 0


def test_large_images_reach_the_edge_of_the_ball():
    centres = torch.rand(2, 3, 224, 224)
    found = project(centres + torch.randn_like(centres), centres, 255.0)
    assert NORMS["L1"].distance(found, centres).tolist() == pytest.approx([255, 255], rel=1e-6)
