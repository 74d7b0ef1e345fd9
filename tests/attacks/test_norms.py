from fractions import Fraction

import pytest
import torch
from scipy.optimize import minimize

from clbench.attacks.norms import NORMS, Norm, is_inside
from clbench.schema.names import NORM_NAMES
from clbench.schema.threat_model import ThreatModel

EPS = {"Linf": Fraction(1, 10), "L2": Fraction(1, 2), "L1": Fraction(3)}
BALLS = [ThreatModel(norm, eps) for norm, eps in EPS.items()]
every_norm = pytest.mark.parametrize("threat_model", BALLS, ids=str)


def test_every_name_has_its_norm():
    assert tuple(NORMS) == NORM_NAMES
    assert all(isinstance(norm, Norm) and norm.name == name for name, norm in NORMS.items())


@every_norm
def test_projection_enters_ball_and_pixel_range_and_moves_nothing_inside(threat_model):
    norm, eps = NORMS[threat_model.norm], float(threat_model.eps)
    centres = torch.rand(50, 2, 8, 8)
    images = centres + torch.randn(50, 2, 8, 8)
    inside = norm.project(images, centres, eps)
    assert is_inside(inside, centres, threat_model).all()
    assert inside.min() >= 0
    assert inside.max() <= 1
    assert torch.allclose(norm.project(inside, centres, eps), inside, atol=1e-6)
    assert norm.distance(inside, centres).min() > 0.9 * eps


def test_l2_projection_keeps_the_direction():
    centres, offset = torch.full((1, 1, 4, 4), 0.5), torch.randn(1, 1, 4, 4)
    projected = NORMS["L2"].project(centres + offset, centres, 0.1) - centres
    assert torch.allclose(projected, offset / offset.norm() / 10, atol=1e-6)


@pytest.mark.parametrize("norm", ["Linf", "L1"])
@pytest.mark.parametrize("eps", [0.05, 0.6, 1.0])
def test_projection_is_the_nearest_point_that_a_general_solver_finds(norm, eps):
    generator = torch.Generator().manual_seed(3)
    centre = torch.rand(6, generator=generator, dtype=torch.float64)
    wanted = centre + torch.randn(6, generator=generator, dtype=torch.float64)
    # the change is split into parts up and down, so that both balls have linear bounds
    upper = [min(eps, 1 - c) for c in centre.tolist()] + [min(eps, c) for c in centre.tolist()]
    limit = {
        "type": "ineq",
        "fun": lambda parts: eps - parts.sum(),
        "jac": lambda parts: -1 + 0 * parts,
    }
    found = minimize(
        lambda parts: float(((centre.numpy() + parts[:6] - parts[6:] - wanted.numpy()) ** 2).sum()),
        [eps / 24] * 12,
        bounds=[(0, bound) for bound in upper],
        constraints=[limit] if norm == "L1" else [],
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    expected = centre + torch.from_numpy(found.x[:6] - found.x[6:])
    shape = (1, 1, 2, 3)
    projected = NORMS[norm].project(wanted.reshape(shape), centre.reshape(shape), eps)
    assert torch.allclose(projected.flatten(), expected, atol=1e-5)


@every_norm
def test_random_points_fill_the_unit_ball_evenly(threat_model):
    norm, shape = NORMS[threat_model.norm], torch.Size((1, 1, 3))
    generator = torch.Generator().manual_seed(0)
    points = torch.stack([norm.random(shape, generator) for _ in range(4000)])
    lengths = norm.distance(points, torch.zeros_like(points))
    assert lengths.max() <= 1
    # the volume within half the radius is an eighth in three dimensions, whatever the norm
    assert abs(float((lengths < 0.5).double().mean()) - 0.125) < 0.02
    assert points.mean(dim=0).abs().max() < 0.03


@every_norm
def test_several_random_points_are_drawn_as_one_is(threat_model):
    norm, shape = NORMS[threat_model.norm], torch.Size((2, 4, 5))
    one, first = (
        norm.random(torch.Size(size), torch.Generator().manual_seed(0))
        for size in (shape, (1, *shape))
    )
    assert torch.equal(one, first[0])
    many = norm.random(torch.Size((4000, 1, 1, 3)), torch.Generator().manual_seed(0))
    lengths = norm.distance(many, torch.zeros_like(many))
    assert lengths.max() <= 1
    assert abs(float((lengths < 0.5).double().mean()) - 0.125) < 0.02


@every_norm
def test_the_steepest_step_gains_more_than_any_other_of_length_one(threat_model):
    norm = NORMS[threat_model.norm]
    gradient, images = torch.randn(20, 1, 4, 4), torch.full((20, 1, 4, 4), 0.5)
    step = norm.steepest(gradient, images)
    assert torch.allclose(norm.distance(step, torch.zeros_like(step)), torch.ones(20).double())
    gain = (gradient * step).flatten(1).sum(dim=1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        other = torch.stack([norm.random(gradient.shape[1:], generator) for _ in range(20)])
        assert ((gradient * other).flatten(1).sum(dim=1) <= gain + 1e-6).all()


def test_the_steepest_l1_step_leaves_out_pixels_at_their_limit():
    gradient = torch.tensor([5.0, -4.0, 1.0]).reshape(1, 1, 1, 3)
    images = torch.tensor([1.0, 0.0, 0.5]).reshape(1, 1, 1, 3)
    assert NORMS["L1"].steepest(gradient, images).flatten().tolist() == [0, 0, 1]


@every_norm
def test_images_that_are_no_numbers_are_inside_of_nothing(threat_model):
    images = torch.full((1, 1, 2, 2), torch.nan)
    assert not is_inside(images, torch.zeros(1, 1, 2, 2), threat_model).any()
