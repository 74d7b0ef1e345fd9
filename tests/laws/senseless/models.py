"""Senseless networks: what no evaluation should accept, and what only seems to be a timm model."""

import timm
import torch
from torch import nn

import clbench.models  # noqa: F401 - registers the zoo
from clbench.testing.models import ModelCase

SHAPE, N_CLASSES = (1, 8, 8), 10


class Plain(nn.Module):
    """A good network; what is senseless overrides one method."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(64, N_CLASSES, generator=generator))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        return (x.flatten(1) - 0.5) @ self.weight


class FewerClasses(Plain):
    def forward(self, x):
        return super().forward(x)[:, 1:]


class Classes(Plain):
    def forward(self, x):
        return super().forward(x).argmax(dim=1, keepdim=True).expand(-1, N_CLASSES)


class NotANumber(Plain):
    def forward(self, x):
        return super().forward(x) / (self.seen - self.seen)


class Normalising(Plain):
    def forward(self, x):
        return super().forward(x.sub_(0.5))


class Constant(Plain):
    def forward(self, x):
        return super().forward(0 * x + 0.5) + 0 * x.sum()


class Randomised(Plain):
    def forward(self, x):
        return super().forward(x + torch.rand_like(x) / 10)


class NormalisedOverTheBatch(Plain):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0))


class GradientCut(Plain):
    def forward(self, x):
        return super().forward(x.detach())


class Rounding(Plain):
    def forward(self, x):
        return super().forward(x.mul(255).round() / 255)


class Counting(Plain):
    def forward(self, x):
        self.seen += 1
        return super().forward(x)


class TurningToTraining(Plain):
    def forward(self, x):
        self.train()
        return super().forward(x)


def timm_model(change):
    """Return what makes a timm model of which something is changed."""

    def create(**choices):
        network = timm.create_model("simclr_at.digits", **choices)
        if "features_only" not in choices:
            change(network)
        return network

    return create


def wants_normalised_pixels(network):
    network.pretrained_cfg = network.pretrained_cfg | {"mean": (0.5,)}


def has_another_head(network):
    plain = network.forward_head
    network.forward_head = lambda x, pre_logits=False: (
        plain(x, pre_logits=pre_logits) if pre_logits else 2 * plain(x)
    )


def declares_other_widths(network):
    network.feature_info = [info | {"num_chs": 1} for info in network.feature_info]


def keeps_its_classifier(network):
    network.reset_classifier = lambda _: None


def always_has_classes(**choices):
    return timm.create_model(
        "simclr_at.digits", **{k: v for k, v in choices.items() if k != "num_classes"}
    )


def extracts_other_maps(**choices):
    network = timm.create_model("simclr_at.digits", **choices)
    if "features_only" not in choices:
        return network
    plain = network.forward
    network.forward = lambda x: [one[:, :1] for one in plain(x)]
    return network


def case_of(name, create, *, protocol=False):
    return ModelCase(name=name, create=create, shape=SHAPE, n_classes=N_CLASSES, timm=protocol)


def timm_case(name, create):
    return case_of(name, create, protocol=True)


ROWS = [
    (case_of("one class fewer", FewerClasses), "returns_its_classes"),
    (case_of("classes instead of logits", Classes), "returns_its_classes", "has_a_gradient"),
    (
        case_of("NaN", NotANumber),
        *("returns_its_classes", "tells_images_apart", "answers_the_same_twice"),
        *("answers_each_image_alone", "has_a_gradient"),
    ),
    (case_of("normalising in place", Normalising), "leaves_its_images"),
    (case_of("a constant", Constant), "tells_images_apart", "has_a_gradient"),
    (
        case_of("randomised", Randomised),
        *("answers_the_same_twice", "answers_each_image_alone", "leaves_all_as_found"),
    ),
    (case_of("normalised over the batch", NormalisedOverTheBatch), "answers_each_image_alone"),
    (case_of("gradient cut", GradientCut), "has_a_gradient"),
    (case_of("rounding its pixels", Rounding), "has_a_gradient"),
    (case_of("counting", Counting), "leaves_all_as_found"),
    (case_of("turning to training", TurningToTraining), "leaves_all_as_found"),
    (timm_case("normalised pixels", timm_model(wants_normalised_pixels)), "declares_pixels"),
    (timm_case("another head", timm_model(has_another_head)), "logits_are_those_of_its_features"),
    (timm_case("other widths", timm_model(declares_other_widths)), "feature_maps_are_as_declared"),
    (timm_case("other maps", extracts_other_maps), "extracts_what_it_declares"),
    (timm_case("always with classes", always_has_classes), "without_classes_returns_features"),
    (
        timm_case("the same classifier", timm_model(keeps_its_classifier)),
        "classifier_can_be_replaced",
    ),
]
"""Cases, each with the laws that it breaks."""
