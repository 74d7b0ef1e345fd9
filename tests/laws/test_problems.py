"""What the laws of attacks take for granted: which images can be broken is known exactly."""

import math

import pytest
import torch

from clbench.attacks.norms import NORMS
from clbench.testing.problems import ORDER, curved_problem, linear_problem

SHAPES = [((3, 8, 8), 4), ((1, 28, 28), 10), ((1, 8, 8), 2)]
every_problem = pytest.mark.parametrize(
    ("norm", "shape", "n_classes"), [(norm, *one) for norm in ORDER for one in SHAPES]
)


def moved(problem, share):
    """Move every image along the steepest way to each other class; say which change class."""
    network, images = problem.network, problem.images
    slopes = network[1].weight.double()
    changed = torch.zeros(len(images), dtype=torch.bool)
    for other in range(problem.n_classes):
        towards = (slopes[other] - slopes[problem.labels]).view(images.shape)
        step = NORMS[problem.threat_model.norm].steepest(towards, images.double())
        there = images + share * problem.boundaries.view(-1, 1, 1, 1) * step
        outside = (there - 0.5).abs().flatten(1).amax(dim=1) > 0.5
        assert not (outside & problem.breakable).any()
        changed |= problem.misclassified(there)
    return changed


@every_problem
def test_an_image_changes_class_just_behind_the_boundary_and_not_before(norm, shape, n_classes):
    problem = linear_problem(norm, shape=shape, n_classes=n_classes)
    assert moved(problem, 1.0001).all()
    assert not moved(problem, 0.9999).any()


@every_problem
def test_about_half_of_the_images_can_be_broken_and_all_are_classified_rightly(
    norm, shape, n_classes
):
    problem = linear_problem(norm, shape=shape, n_classes=n_classes)
    assert 0.3 < problem.breakable.double().mean() < 0.7
    assert torch.equal(problem.network(problem.images).argmax(1), problem.labels)
    eps = float(problem.threat_model.eps)
    assert ((problem.boundaries / eps - 1).abs() > 0.029).all()


@pytest.mark.parametrize("norm", ORDER)
def test_a_curved_problem_reaches_the_bounds_and_has_several_classes(norm):
    problem = curved_problem(norm)
    assert (problem.images == 0).any()
    assert (problem.images == 1).any()
    assert len(set(problem.labels.tolist())) > 2
    assert problem.in_ball(problem.images).all()


def test_every_norm_has_its_order():
    assert set(ORDER) == set(NORMS)
    offset = torch.tensor([0.1, -0.3, 0.2]).view(1, 3, 1, 1)
    for name, order in ORDER.items():
        found = NORMS[name].distance(0.5 + offset, torch.full((1, 3, 1, 1), 0.5))
        assert float(found) == pytest.approx(
            0.3 if order == math.inf else float(offset.norm(order)), abs=1e-6
        )
