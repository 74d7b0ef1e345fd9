"""What an attack cannot run on is known before it begins, and only that."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.autoattack_rows import square_fit
from clbench.attacks.registry import attack_of, check_images, component_row, plan_attack
from clbench.schema.errors import BadValueError
from clbench.schema.threat_model import ThreatModel

LENGTHS = (1, 3, 4, 5, 7, 8, 11, 12, 16, 20, 32)
SHAPES = [(1, height, width) for height in LENGTHS for width in LENGTHS]


def runs(name, norm, shape):
    """Say whether two queries of an attack come to their end."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 3))
    images = torch.rand(2, *shape) / 2 + 1 / 4
    labels = network(images).argmax(1)
    backend = "auto" if name.startswith("torchattacks") else "pyautoattack"
    attack = attack_of(plan_attack(f"{name},n_queries=2", norm, 3, backend))
    try:
        attack(
            network,
            images,
            labels,
            ThreatModel(norm, Fraction(1, 100)),
            seed=0,
            index=torch.arange(2),
        )
    except (RuntimeError, ZeroDivisionError):
        return False
    return True


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("name", "norm"), [("square", "L2"), ("square", "L1"), ("torchattacks:Square", "L2")]
)
@pytest.mark.parametrize("height", LENGTHS)
def test_square_is_refused_where_it_fails_and_nowhere_else(name, norm, height):
    shapes = [shape for shape in SHAPES if shape[1] == height]
    fit = component_row(name).fit
    assert [not fit(norm, shape).reason for shape in shapes] == [
        runs(name, norm, shape) for shape in shapes
    ]


@pytest.mark.upstream
@pytest.mark.parametrize("shape", [(1, 4, 16), (1, 2, 128), (3, 1, 9), (1, 12, 12)])
def test_square_in_linf_runs_on_images_of_every_shape(shape):
    assert runs("square", "Linf", shape)
    assert square_fit("Linf", shape) == ("", ())


def test_images_that_an_attack_cannot_take_are_refused_before_it():
    plan = plan_attack("autoattack", "L2", 10)
    message = r"^attack 'square' cannot place its windows in L2 on images of 4x16; leave it out$"
    with pytest.raises(BadValueError, match=message):
        check_images(plan, "L2", (1, 4, 16))
    assert check_images(plan, "L2", (3, 32, 32)) == ()


def test_square_in_l2_on_long_images_is_flagged():
    plan = plan_attack("autoattack", "L2", 10)
    assert check_images(plan, "L2", (1, 50, 5)) == ("long_images",)
    assert check_images(plan, "Linf", (1, 50, 5)) == ()
    assert check_images(plan_attack("pgd", "L2", 10), "L2", (1, 50, 5)) == ()


def test_attacks_for_three_channels_say_so():
    plan = plan_attack("torchattacks:TIFGSM", "Linf", 10)
    with pytest.raises(BadValueError, match=r"'torchattacks:TIFGSM' needs images of 3 channels"):
        check_images(plan, "Linf", (1, 8, 8))
    assert check_images(plan, "Linf", (3, 8, 8)) == ()


@pytest.mark.parametrize("name", ["APGD", "UPGD"])
def test_the_dlr_loss_needs_three_classes(name):
    message = rf"^attack 'torchattacks:{name}' needs at least 3 classes for loss=dlr, got 2; take"
    with pytest.raises(BadValueError, match=message):
        plan_attack(f"torchattacks:{name},loss=dlr", "Linf", 2)
    assert plan_attack(f"torchattacks:{name},loss=ce", "Linf", 2)
    assert plan_attack(f"torchattacks:{name},loss=dlr", "Linf", 3)
