"""A network times a positive number decides as before, and attacks find as much."""

from fractions import Fraction
from functools import cache

import pytest
import torch
from torch import nn

from clbench.attacks.registry import attack_of, bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.logit_scale import is_distorted, log2_factors, same_factor
from clbench.evaluation.perturb import perturb
from clbench.evaluation.run import evaluate
from clbench.schema.threat_model import ThreatModel

IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
THREATS = {"Linf": Fraction(3, 100), "L2": Fraction(1, 4), "L1": Fraction(2)}
EXPONENTS = (-400, -60, -30, 8, 400)


class Times(nn.Module):
    """A small network times a number, which double precision holds."""

    def __init__(self, factor=1.0, images=None):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 4)
            self.layers = nn.Sequential(*layers).double()
        self.factor = factor

    def forward(self, images):
        return self.layers(images.to(self.layers[1].weight.dtype)) * self.factor


def labels():
    return Times()(IMAGES).argmax(1)


def robust(network, attack, norm):
    steps = bind(plan_attack(attack, norm, 4), 4)
    image_set = make_image_set("some", IMAGES, labels(), 4)
    threat = ThreatModel(norm, THREATS[norm])
    result = evaluate(network, image_set, steps, threat, seed=0, batch_size=16, device="cpu")
    return sum(by == "" for by in result.broken_by), result.flag_names


@cache
def unscaled(attack, norm):
    """How many images are robust where no factor is in the way."""
    return robust(Times(), attack, norm)[0]


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        *(("pgd,steps=10", norm) for norm in THREATS),
        *(
            (name, norm)
            for name in ("apgd-ce,n_iter=10", "fab-t,n_iter=5")
            for norm in ("Linf", "L2")
        ),
        ("apgd-t,n_iter=10", "L2"),
        ("torchattacks:PGDL2", "L2"),
        ("square,n_queries=50", "L2"),
    ],
)
def test_scaled_logits_hide_nothing(exponent, attack, norm):
    found, flags = robust(Times(2.0**exponent), attack, norm)
    wanted = unscaled(attack, norm)
    assert flags == ()
    assert 0 < wanted < len(IMAGES)
    assert abs(found - wanted) <= 2


@pytest.mark.parametrize("exponent", [-12, 0, 3])
def test_factors_are_one_where_gradients_can_be_followed(exponent):
    model = AttackedModel(Times(2.0**exponent))
    assert not is_distorted(model, IMAGES, labels()).any()
    assert log2_factors(model, IMAGES, labels()).tolist() == [0] * len(IMAGES)


@pytest.mark.parametrize("exponent", [30, 200])
def test_factors_bring_the_margin_to_between_4_and_8_where_no_gradient_is_left(exponent):
    model = AttackedModel(Times(2.0**exponent))
    factors = 2.0 ** log2_factors(model, IMAGES, labels()).double()
    highest = (factors[:, None] * model.logits(IMAGES)).topk(2, dim=1).values
    margins = highest[:, 0] - highest[:, 1]
    assert ((margins > 4) & (margins <= 8)).all()


@pytest.mark.parametrize("exponent", [-60, -30])
def test_factors_bring_a_short_gradient_to_a_length_of_about_1(exponent):
    model = AttackedModel(Times(2.0**exponent))
    exponents = log2_factors(model, IMAGES, labels())
    for factor, where in same_factor(exponents):
        with model.times(factor):
            assert not is_distorted(model, IMAGES[where], labels()[where]).any()
    assert (exponents + exponent).abs().max() < 8


def test_an_image_on_the_boundary_of_two_classes_has_a_factor_of_one():
    class Balanced(nn.Module):
        def forward(self, images):
            difference = images.flatten(1) @ torch.linspace(-1, 1, 64)
            return torch.stack([difference, -difference], dim=1)

    images = torch.full((1, 1, 8, 8), 0.5)
    assert Balanced()(images).abs().max() < 1e-5
    assert log2_factors(AttackedModel(Balanced()), images, torch.tensor([0])).tolist() == [0]


def test_each_image_has_its_own_factor_and_others_keep_theirs():
    class Some(Times):
        def forward(self, images):
            dark = images.mean((1, 2, 3)) < IMAGES.mean()
            return super().forward(images) * torch.where(dark, 1e-20, 1.0)[:, None]

    exponents = log2_factors(AttackedModel(Some()), IMAGES, labels())
    dark = IMAGES.mean((1, 2, 3)) < IMAGES.mean()
    assert (exponents[dark] > 40).all()
    assert (exponents[~dark] == 0).all()
    parts = torch.cat([where for _, where in same_factor(exponents)])
    assert parts.sort().values.tolist() == list(range(len(IMAGES)))


def test_probes_see_tiny_logits_attacked_as_well():
    image_set = make_image_set("some", IMAGES, labels(), 4)
    threat = ThreatModel("L2", THREATS["L2"])
    settings = {"seed": 0, "batch_size": 16, "device": "cpu"}
    moved = perturb(Times(1e-20), image_set, threat, **settings)
    assert (moved - IMAGES).flatten(1).norm(dim=1).min() > 0.2


def test_a_single_entry_that_is_no_number_spoils_no_direction():
    class Spoiling(torch.autograd.Function):
        @staticmethod
        def forward(ctx, images):
            return images.view_as(images)

        @staticmethod
        def backward(ctx, gradient):
            spoiled = gradient.clone()
            spoiled[:, 0, 0, 0] = torch.nan
            spoiled[:, 0, 7, 7] = torch.inf
            return spoiled

    class Spoiled(Times):
        def forward(self, images):
            return super().forward(Spoiling.apply(images))

    found, flags = robust(Spoiled(), "pgd,steps=10", "L2")
    wanted, _ = robust(Times(), "pgd,steps=10", "L2")
    assert abs(found - wanted) <= 2
    assert flags == ("nan_gradient",)


def test_a_gradient_that_no_factor_helps_is_flagged():
    class Flat(Times):
        def forward(self, images):
            # the answer is that of the image, the slope is not
            return super().forward(images.detach() + 1e-18 * (images - images.detach()))

    _, flags = robust(Flat(), "pgd,steps=10", "L2")
    assert {"tiny_gradient", "zero_gradient"} & {*flags}


def test_an_attack_alone_is_what_it_was():
    attack = attack_of(plan_attack("pgd,steps=3", "L2", 4))
    threat = ThreatModel("L2", THREATS["L2"])
    found = [
        attack(network, IMAGES, labels(), threat, seed=0, index=torch.arange(len(IMAGES)))
        for network in (AttackedModel(Times().float()), Times().float())
    ]
    assert torch.equal(*found)
