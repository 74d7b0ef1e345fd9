"""Sets of corrupted images as they are published: whose pictures, which corruptions, how strong."""

from dataclasses import dataclass

SEVERITIES = (1, 2, 3, 4, 5)

COMMON = (
    *("shot_noise", "motion_blur", "snow", "pixelate", "gaussian_noise", "defocus_blur"),
    *("brightness", "fog", "zoom_blur", "frost", "glass_blur", "impulse_noise", "contrast"),
    *("jpeg_compression", "elastic_transform"),
)
"""Hendrycks and Dietterich, 2019, arXiv 1903.12261; the four extra ones are not counted."""

IN_3D = (
    *("near_focus", "far_focus", "bit_error", "color_quant", "flash", "fog_3d", "h265_abr"),
    *("h265_crf", "iso_noise", "low_light", "xy_motion_blur", "z_motion_blur"),
)
"""Kar, Yeo, Atanov and Zamir, 2022, arXiv 2203.01441."""


@dataclass(frozen=True)
class CorruptedSet:
    """A set of images, each with every corruption in every severity.

    ``threat_model`` is RobustBench's name for it, ``folder`` where its files lie, below the folder
    of the data; ``suffix`` ends the names of its measures.
    """

    name: str
    dataset: str
    threat_model: str
    folder: str
    corruptions: tuple[str, ...]
    n_examples: int

    @property
    def suffix(self) -> str:
        """What its measures end with, as in RobustBench's files."""
        return self.threat_model.removeprefix("corruptions")

    @property
    def protocol(self) -> str:
        """What an evaluation on all of it is called."""
        return f"{self.dataset}-{self.threat_model.replace('_', '-')}"


_COMMON = "corruptions"

CORRUPTED: dict[str, CorruptedSet] = {
    row.name: row
    for row in (
        CorruptedSet("cifar10-c", "cifar10", _COMMON, "CIFAR-10-C", COMMON, 10_000),
        CorruptedSet("cifar100-c", "cifar100", _COMMON, "CIFAR-100-C", COMMON, 10_000),
        CorruptedSet("imagenet-c", "imagenet", _COMMON, "ImageNet-C", COMMON, 5_000),
        CorruptedSet("imagenet-3dcc", "imagenet", "corruptions_3d", "ImageNet-3DCC", IN_3D, 5_000),
    )
}

ACCURACY, RELATIVE = "corruptions_acc", "corruptions_mce"
"""Measures: the share of all corrupted images that are classified rightly; the mean corruption
error, each corruption's divided by that of a baseline."""


def of_corruption(name: str) -> str:
    """Return the measure of the accuracy on one corruption."""
    return f"acc_{name}"
