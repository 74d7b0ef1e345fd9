"""Clean accuracies at chance are flagged, those of sound networks are not, however few images."""

from fractions import Fraction

import pytest
import timm
import torch
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.data.load import load_images
from clbench.evaluation.chance import is_at_chance
from clbench.evaluation.run import evaluate
from clbench.models import ZOO
from clbench.models.normalization import Normalise
from clbench.schema.flags import AT_CHANCE
from clbench.schema.threat_model import ThreatModel


def answers(n, right, classes):
    """Return predictions of which so many are right, and labels that show so many classes."""
    labels = torch.arange(n) % classes
    return labels.where(torch.arange(n) < right, -1), labels


@pytest.mark.parametrize(
    ("n", "right", "outputs", "shown"),
    [
        (14, 0, 10, 10),
        (20, 0, 10, 10),
        (40, 4, 10, 10),
        (100, 10, 10, 10),
        (360, 36, 10, 10),
        (40, 0, 12, 10),  # labels from 1
        (40, 3, 128, 10),  # an encoder
        (40, 4, 1000, 10),
        (360, 40, 128, 10),
        (1000, 1, 1000, 1000),
        (1000, 10, 100, 100),
        (2000, 1000, 2, 2),
        (20, 0, 2, 2),  # swapped
    ],
)
def test_what_guessing_gives_is_at_chance(n, right, outputs, shown):
    assert is_at_chance(*answers(n, right, shown), outputs)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 12, 13])
@pytest.mark.parametrize("outputs", [2, 3, 10, 100, 1000])
def test_too_few_images_say_nothing(n, outputs):
    assert not any(is_at_chance(*answers(n, right, 10), outputs) for right in range(n + 1))


@pytest.mark.parametrize(
    ("n", "share", "outputs", "shown"),
    [
        *((n, share, 10, 10) for n in (16, 40, 100, 360) for share in (0.25, 0.4, 0.8, 1)),
        *((n, share, 1000, 1000) for n in (100, 1000) for share in (0.05, 0.3, 0.8)),
        *((n, share, 10, 1) for n in (16, 100) for share in (0.3, 0.8, 1)),  # one class only
        *((n, share, 10, 2) for n in (16, 100) for share in (0.3, 0.5, 1)),
        *((n, share, 2, 2) for n in (16, 100) for share in (0.5, 0.6, 0.9)),
        *((n, share, 100, 100) for n in (40, 1000) for share in (0.15, 0.25, 0.6)),
        *((n, share, 3, 3) for n in (16, 100) for share in (0.4, 0.6)),
    ],
)
def test_sound_networks_are_not_at_chance(n, share, outputs, shown):
    assert not is_at_chance(*answers(n, round(share * n), shown), outputs)


def test_a_network_that_is_half_right_is_flagged_by_bad_luck_less_than_once_in_10_000():
    generator = torch.Generator().manual_seed(0)
    flagged = 0
    for _ in range(10_000):
        n = int(torch.randint(1, 200, (1,), generator=generator))
        right = int((torch.rand(n, generator=generator) < 0.5).sum())
        flagged += is_at_chance(*answers(n, right, 10), 10)
    assert flagged <= 1


DIGITS = load_images("digits", n_examples=40)


class Padded(nn.Module):
    """A trained network with two more outputs."""

    def __init__(self):
        super().__init__()
        self.inner = zoo()

    def forward(self, images):
        return nn.functional.pad(self.inner(images), (0, 2), value=-9.0)


def zoo(pretrained=True, **options):
    return timm.create_model("simclr_at.digits", pretrained=pretrained, **options).eval()


def normalised_twice():
    network = zoo()
    network.register_forward_pre_hook(Normalise([5.0], [0.1]))
    return network


def flags(network, image_set, n=None):
    image_set = image_set if n is None else image_set.head(n)
    steps = bind(plan_attack("pgd,steps=1", "Linf", image_set.n_classes), image_set.n_classes)
    threat = ThreatModel("Linf", Fraction(1, 100))
    found = evaluate(network, image_set, steps, threat, seed=0, batch_size=64, device="cpu")
    return found.flag_names


WRONG = {
    "weights forgotten": (lambda: zoo(pretrained=False), 0, 10, 1.0),
    "labels shifted": (Padded, 1, 12, 1.0),
    "an encoder": (lambda: zoo(num_classes=0), 0, 128, 1.0),
    "nearly black": (zoo, 0, 10, 1 / 16),
    "normalised twice": (normalised_twice, 0, 10, 1.0),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_likely_mistakes_raise_the_flag(case):
    torch.manual_seed(0)
    build, shift, outputs, scale = WRONG[case]
    images = make_image_set("wrong", DIGITS.images * scale, DIGITS.labels + shift, outputs)
    assert AT_CHANCE in flags(build(), images)


def test_none_right_at_all_raises_it():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        wrong = (network(DIGITS.images.clone()).argmax(1) + 1) % 10
    assert AT_CHANCE in flags(network, make_image_set("wrong", DIGITS.images.clone(), wrong, 10))


@pytest.mark.parametrize("spec", [s for s in ZOO if s.weights and s.dataset == "digits"], ids=str)
@pytest.mark.parametrize("n", [1, 8, 40])
def test_the_zoo_never_raises_it(spec, n):
    network = timm.create_model(spec.full_name, pretrained=True).eval()
    assert AT_CHANCE not in flags(network, DIGITS, n)
