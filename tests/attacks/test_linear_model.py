"""A two-class linear network has an exact answer, which attacks must find."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.run import evaluate
from clbench.schema.threat_model import ThreatModel

EPS = {"Linf": Fraction(1, 50), "L2": Fraction(1, 8), "L1": Fraction(1, 2)}

DUAL = {
    "Linf": lambda slope: slope.abs().sum(),
    "L2": torch.linalg.norm,
    "L1": lambda slope: slope.abs().max(),
}
"""The most that a step of length 1 gains along a slope."""


def margins_in_eps(network, images, norm):
    """How far each image is from the boundary, in units of eps: above 1 it survives.

    That is its margin over the dual norm of the slope.
    """
    with torch.no_grad():
        logits = network(images).double()
        slope = (network[1].weight[0] - network[1].weight[1]).double()
    reach = float(EPS[norm]) * (DUAL[norm](slope))
    return (logits[:, 0] - logits[:, 1]).abs() / reach


@pytest.fixture
def linear_model():
    """A two-class linear network, and images whose ball does not reach the pixel bounds.

    No image lies so near the edge that rounding would decide.
    """
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    images = 0.3 + 0.4 * torch.rand(80, 1, 8, 8)
    with torch.no_grad():
        logits = network(images)
        network[1].bias += torch.tensor([0.0, (logits[:, 0] - logits[:, 1]).median()])
    distances = torch.stack([margins_in_eps(network, images, norm) for norm in EPS])
    images = images[((distances - 1).abs() > 0.02).all(dim=0)]
    return network, make_image_set("linear", images, network(images).argmax(1), 2)


def exact_count(network, image_set, norm):
    count = int((margins_in_eps(network, image_set.images, norm) > 1).sum())
    assert 10 < count < len(image_set) - 10
    return count


def robust_count(network, image_set, text, norm):
    steps = bind(plan_attack(text, norm, 2), 2)
    settings = {"seed": 0, "batch_size": 32, "device": "cpu"}
    outcome = evaluate(network, image_set, steps, ThreatModel(norm, EPS[norm]), **settings)
    return round(outcome.robust_acc.value * len(image_set))


EXACT = [
    ("Linf", "pgd,steps=20,restarts=2"),
    ("Linf", "pgd,steps=10,step_size=1/50,start=zero"),
    ("Linf", "torchattacks:FGSM"),
    ("Linf", "torchattacks:PGD"),
    ("Linf", "torchattacks:APGD"),
    ("Linf", "apgd-ce"),
    ("L2", "pgd,steps=20,start=zero"),
    ("L2", "pgd,steps=100"),
    ("L2", "apgd-ce"),
    ("L1", "pgd,steps=40,start=zero"),
    ("L1", "pgd,steps=100"),
]


@pytest.mark.parametrize(("norm", "text"), EXACT)
def test_the_exact_answer_is_found(linear_model, norm, text):
    assert robust_count(*linear_model, text, norm) == exact_count(*linear_model, norm)


@pytest.mark.parametrize(
    ("norm", "text"),
    [
        ("Linf", "fab-t,n_iter=20"),
        ("L2", "fab-t,n_iter=20"),
        ("L1", "apgd-ce,n_restarts=1"),
        ("L1", "fab-t,n_iter=20"),
        ("L1", "square,n_queries=50"),
        ("Linf", "square,n_queries=50"),
        ("L2", "square,n_queries=50"),
        ("Linf", "torchattacks:Square,n_queries=50"),
        ("L2", "torchattacks:DeepFool,steps=3"),
        ("L2", "torchattacks:CW,steps=10"),
        ("L2", "torchattacks:PGDL2"),
    ],
)
def test_weaker_attacks_never_claim_more_than_the_exact_answer(linear_model, norm, text):
    assert robust_count(*linear_model, text, norm) >= exact_count(*linear_model, norm)
