"""The laws of image classifiers, and of those that keep timm's protocol."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.testing.law import Law, check, hold
from clbench.testing.unchanged import unchanged

Create = Callable[..., Any]
"""Makes the network; takes timm's arguments ``num_classes``, ``features_only`` and the like."""

_N = 3
_ROUNDING = 1e-4
"""Logits differ by less, as a share of the largest, where only the batch is another."""
_OTHER_CLASSES = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelCase:
    """A network and what is declared of it.

    Attributes:
        name: What messages call it.
        create: Makes the network.
        shape: Channels, height and width of its images.
        n_classes: How many logits it returns.
        timm: It keeps timm's protocol.
        excused: Laws that it does not keep, each with the reason.
    """

    name: str
    create: Create
    shape: tuple[int, int, int]
    n_classes: int
    timm: bool = False
    excused: Mapping[str, str] = field(default_factory=dict)

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it declares not to keep."""
        declared = {} if self.timm else dict.fromkeys(_OF_TIMM, "it is no timm model")
        return declared | dict(self.excused)

    @cached_property
    def network(self) -> Any:  # noqa: ANN401 - timm's protocol is not typed
        """The network in evaluation mode."""
        return self.create().eval()

    @property
    def images(self) -> Float[Tensor, "n c h w"]:
        """Random pixels."""
        return torch.rand(_N, *self.shape, generator=torch.Generator().manual_seed(0))

    def logits(self, images: Float[Tensor, "n c h w"]) -> Tensor:
        """Return what the network makes of images, which are a copy of their own."""
        with torch.no_grad():
            logits = self.network(images.clone())
        hold(isinstance(logits, Tensor), f"{type(logits).__name__} came back")
        return logits  # type: ignore[no-any-return]

    def outlined(self, **choices: object) -> tuple[Any, Tensor]:
        """Return a network and images that have shapes and no values."""
        with torch.device("meta"):
            return self.create(pretrained=False, **choices).eval(), torch.rand(2, *self.shape)


def check_model(
    network: nn.Module | Create,
    *,
    shape: tuple[int, int, int],
    n_classes: int,
    name: str = "the model",
    timm: bool = False,
    excused: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
) -> None:
    """Assert that a network is an image classifier as ``MODEL_LAWS`` say.

    Args:
        network: It, which is left in evaluation mode; or for ``timm`` what makes it and takes the
            arguments of ``timm.create_model``.
        shape: Channels, height and width of its images.
        n_classes: How many logits it returns.
        name: What messages call it.
        timm: Whether to hold it to timm's protocol too.
        excused: Laws that it does not keep, each with the reason.
        only: Names of laws; all by default.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
    """

    def given(**_: object) -> nn.Module:
        assert isinstance(network, nn.Module), "for timm's protocol, give what makes the network"
        return network

    case = ModelCase(
        name=name,
        create=given if isinstance(network, nn.Module) else network,
        shape=shape,
        n_classes=n_classes,
        timm=timm,
        excused=excused or {},
    )
    check(MODEL_LAWS, case, only)


def returns_its_classes(case: ModelCase) -> None:
    """One finite logit comes back for each class of each image, for one image and for several."""
    for n in (1, _N):
        logits = case.logits(case.images[:n])
        hold(logits.is_floating_point(), f"logits of {logits.dtype} came back")
        wanted, got = [n, case.n_classes], list(logits.shape)
        hold(got == wanted, f"logits {got} came back instead of {wanted}")
        hold(bool(logits.isfinite().all()), "a logit is not finite")


def leaves_its_images(case: ModelCase) -> None:
    """Images are not written into."""
    images = case.images
    with torch.no_grad():
        case.network(images)
    hold(torch.equal(images, case.images), "the images were written into")


def tells_images_apart(case: ModelCase) -> None:
    """Different images have different logits."""
    logits = case.logits(case.images)
    spread = float((logits.float().amax(dim=0) - logits.float().amin(dim=0)).max())
    hold(spread > 0, f"all {_N} images have the same logits")


def answers_the_same_twice(case: ModelCase) -> None:
    """In evaluation mode the same images have the same logits."""
    with torch.random.fork_rng(devices=[]):
        first, second = (case.logits(case.images) for _ in range(2))
    off = float((first - second).abs().max())
    hold(off == 0, f"logits differ by up to {off:.3g} the second time")


def answers_each_image_alone(case: ModelCase) -> None:
    """An image has the same logits alone, in a batch and in a reversed batch, but for rounding."""
    images = case.images
    with torch.random.fork_rng(devices=[]):
        whole, backwards = case.logits(images), case.logits(images.flip(0)).flip(0)
        alone = torch.cat([case.logits(image[None]) for image in images])
    for how, other in (("alone", alone), ("in a reversed batch", backwards)):
        off, largest = float((other - whole).abs().max()), float(whole.abs().max())
        hold(off <= _ROUNDING * largest, f"{how}, logits of up to {largest:.3g} move by {off:.3g}")


def has_a_gradient(case: ModelCase) -> None:
    """The logits of every image have a gradient at its pixels."""
    images = case.images.requires_grad_()
    logits = case.network(images * 1)  # some networks write into their input
    hold(logits.requires_grad, "there is no gradient at the images")
    (slope,) = torch.autograd.grad(
        logits.square().sum(), images, allow_unused=True, materialize_grads=True
    )
    hold(bool(slope.isfinite().all()), "the gradient is not finite")
    flat = int((slope.flatten(1).abs().amax(dim=1) == 0).sum())
    hold(flat == 0, f"the gradient is zero at {flat} of {_N} images")


def leaves_all_as_found(case: ModelCase) -> None:
    """Weights, buffers, modes, gradients, hooks and random numbers stay."""
    network = deepcopy(case.network).eval()
    with unchanged(network), torch.no_grad():
        network(case.images)


def declares_pixels(case: ModelCase) -> None:
    """Its configuration says the size of images, and that pixels need no normalisation."""
    told, channels = case.network.pretrained_cfg, case.shape[0]
    for key, wanted in {
        "input_size": case.shape,
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
        "num_classes": case.n_classes,
    }.items():
        hold(told[key] == wanted, f"{key} is {told[key]}, not {wanted}")


def logits_are_those_of_its_features(case: ModelCase) -> None:
    """The logits are the classifier's, of the pooled features, of the features."""
    network, images = case.network, case.images
    with torch.no_grad():
        features = network.forward_features(images)
        pooled = network.forward_head(features, pre_logits=True)
        logits, by_head = network(images), network.forward_head(features)
        by_classifier = network.get_classifier()(pooled)
    wanted, got = [_N, network.num_features], list(pooled.shape)
    hold(got == wanted, f"pooled features are {got}, not {wanted}")
    hold(torch.equal(by_head, logits), "forward_head gives other logits")
    hold(torch.equal(by_classifier, logits), "the classifier gives other logits")


def feature_maps_are_as_declared(case: ModelCase) -> None:
    """Feature maps have the widths and reductions that ``feature_info`` says."""
    network, images = case.network, case.images[:1]
    with torch.no_grad():
        last, maps = network.forward_intermediates(images)
        features = network.forward_features(images)
    hold(torch.equal(last, features), "the last one is not that of forward_features")
    found = [(one.shape[1], case.shape[2] // one.shape[-1]) for one in maps]
    told = [(info["num_chs"], info["reduction"]) for info in network.feature_info]
    hold(found == told, f"widths and reductions {found} instead of {told}")


def extracts_what_it_declares(case: ModelCase) -> None:
    """As an extractor of features it returns the maps that it declares, of the stages asked for."""
    stages = [0, len(case.network.feature_info) - 1]
    extractor, images = case.outlined(features_only=True, out_indices=stages)
    maps, told = extractor(images), extractor.feature_info
    widths = [one.shape[1] for one in maps]
    hold(widths == told.channels(), f"widths {widths} instead of {told.channels()}")
    reductions = [case.shape[2] // one.shape[-1] for one in maps]
    hold(reductions == told.reduction(), f"reductions {reductions} instead of {told.reduction()}")


def without_classes_returns_features(case: ModelCase) -> None:
    """Made with no classes, it returns the pooled features."""
    network, images = case.outlined(num_classes=0)
    wanted, got = [2, network.num_features], list(network(images).shape)
    hold(got == wanted, f"{got} came back instead of {wanted}")


def classifier_can_be_replaced(case: ModelCase) -> None:
    """After ``reset_classifier`` it returns as many logits as it was told."""
    network, images = case.outlined()
    with torch.device("meta"):
        network.reset_classifier(_OTHER_CLASSES)
    wanted, got = [2, _OTHER_CLASSES], list(network(images).shape)
    hold(got == wanted, f"{got} came back instead of {wanted}")
    told = network.num_classes
    hold(told == _OTHER_CLASSES, f"num_classes is {told}, not {_OTHER_CLASSES}")


_LAWS = (
    returns_its_classes,
    leaves_its_images,
    tells_images_apart,
    answers_the_same_twice,
    answers_each_image_alone,
    has_a_gradient,
    leaves_all_as_found,
)
_TIMM_LAWS = (
    declares_pixels,
    logits_are_those_of_its_features,
    feature_maps_are_as_declared,
    extracts_what_it_declares,
    without_classes_returns_features,
    classifier_can_be_replaced,
)
_OF_TIMM = tuple(law.__name__ for law in _TIMM_LAWS)

MODEL_LAWS: dict[str, Law[ModelCase]] = {law.__name__: law for law in (*_LAWS, *_TIMM_LAWS)}
"""What every classifier keeps, by name; the last ones are timm's protocol."""
