"""Every flag, raised by a network built to have the defect, and not by a sound one."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.reliability import examine, has_zero_gradient, is_dynamic
from clbench.evaluation.run import evaluate
from clbench.schema.flags import FLAGS, RaisedFlag, is_unreliable
from clbench.schema.threat_model import ThreatModel

IMAGES = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, images):
        return self.layers(images)


class Randomized(Plain):
    def forward(self, images):
        return super().forward(images) + torch.randn(4)


class Softmax(Plain):
    def forward(self, images):
        return super().forward(images).softmax(1)


class Quantized(Plain):
    def forward(self, images):
        return super().forward((images * 4).round() / 4)


class Cleaning(Plain):
    """Takes a gradient step on the image before it looks at it."""

    def forward(self, images):
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            energy = super().forward(images).logsumexp(1).sum()
            (gradient,) = torch.autograd.grad(energy, images)
        return super().forward(images.detach() - 0.01 * gradient)


class CleaningBackward(Cleaning):
    def forward(self, images):
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            self.layers(images).logsumexp(1).sum().backward()
        return self.layers(images.detach() - 0.01 * images.grad)


class CleaningFunctional(Plain):
    def forward(self, images):
        gradient = torch.func.grad(lambda x: self.layers(x).logsumexp(1).sum())(images)
        return self.layers(images - 0.01 * gradient)


class Nan(Plain):
    def forward(self, images):
        bright = images.mean((1, 2, 3)) > IMAGES.mean()
        return super().forward(images).where(~bright[:, None], torch.nan)


def flags_of(network, text="pgd,steps=2", eps="1/50", n_classes=4):
    with torch.no_grad():
        labels = network.eval()(IMAGES).nan_to_num().argmax(1)
    plan = plan_attack(text, "Linf", n_classes)
    steps = bind(plan, n_classes)
    image_set = make_image_set("twenty", IMAGES, labels, n_classes)
    settings = {"seed": 0, "batch_size": 8, "device": "cpu", "flags": plan.spec.flags}
    return evaluate(
        network, image_set, steps, ThreatModel("Linf", Fraction(eps)), **settings
    ).flag_names


@pytest.mark.parametrize(
    ("network", "flag"),
    [
        (Randomized, "randomized"),
        (Softmax, "softmax_output"),
        (Quantized, "zero_gradient"),
        (Cleaning, "dynamic"),
        (CleaningBackward, "dynamic"),
        (CleaningFunctional, "dynamic"),
        (Nan, "nan_logits"),
    ],
)
def test_a_defect_raises_its_flag(network, flag):
    assert flag in flags_of(network())
    assert FLAGS[flag].unreliable


def test_a_sound_network_raises_none_even_after_a_dynamic_one():
    assert "dynamic" in flags_of(Cleaning())
    assert flags_of(Plain()) == ()


def test_flags_of_the_plan_are_kept():
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    assert flags_of(network, "autoattack", "1", n_classes=2) == ("few_classes",)
    assert not is_unreliable([RaisedFlag("few_classes")])


def test_a_black_box_attack_that_succeeds_where_gradients_failed_raises_its_flag():
    texts = "pgd,steps=1", "square,n_queries=99"
    white, black = (bind(plan_attack(text, "Linf", 4), 4)[0] for text in texts)
    torch.manual_seed(1)
    network = Quantized().eval()
    image_set = make_image_set("twenty", IMAGES, network(IMAGES).argmax(1), 4)
    settings = {"seed": 0, "batch_size": 8, "device": "cpu"}

    def flags(*steps):
        threat_model = ThreatModel("Linf", Fraction(1, 2))
        return evaluate(network, image_set, steps, threat_model, **settings).flag_names

    assert "square_improves" in flags(white, black)
    assert "square_improves" not in flags(black, white)
    assert "square_improves" not in flags(black)


def test_zero_gradients_are_found_image_by_image():
    class Half(Plain):
        def forward(self, images):
            dark = (torch.arange(len(images)) % 2 == 0)[:, None, None, None]
            return super().forward(images.where(~dark, images.detach()))

    network = Half()
    labels = network(IMAGES).argmax(1)
    blind = has_zero_gradient(AttackedModel(network), IMAGES, labels)
    assert blind.tolist() == [True, False] * 10


def test_two_classes_are_checked_without_dlr():
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    labels = network(IMAGES).argmax(1)
    assert not has_zero_gradient(AttackedModel(network), IMAGES, labels).any()


def test_networks_with_training_checkpoints_are_not_dynamic():
    class Checkpointed(Plain):
        def forward(self, images):
            return torch.utils.checkpoint.checkpoint(self.layers, images, use_reentrant=False)

    assert not is_dynamic(Checkpointed(), IMAGES)


def test_logits_that_only_look_like_probabilities_of_one_image_are_no_softmax():
    class Almost(nn.Module):
        def forward(self, images):
            return nn.functional.one_hot(torch.arange(len(images)) % 4, 4).float() * (
                1 + torch.arange(len(images))[:, None]
            )

    assert "softmax_output" not in examine(AttackedModel(Almost()), IMAGES)


def test_every_flag_has_a_meaning_in_one_line():
    assert all("\n" not in flag.meaning and flag.meaning for flag in FLAGS.values())
