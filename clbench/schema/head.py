"""Classifiers fitted on encoders: what their folders say, and what records tell of them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.numbers import whole
from clbench.schema.text import shown

ENTRY, WEIGHTS, CARD, SUMMARY, CODE = (
    "head.json",
    "weights.safetensors",
    "card.md",
    "summary.json",
    "code",
)
"""The files of the folder of a seed, the summary beside these folders, and the folder of a user's
own code in each."""

OWN_CODE = "code"
"""The family of a network that is built by a user's own code, or by a package's."""

HeadMethod = Literal["slf", "alf", "aff"]

METHODS: dict[HeadMethod, str] = {
    "slf": "standard linear finetuning",
    "alf": "adversarial linear finetuning",
    "aff": "adversarial full finetuning",
}
"""The field's protocols for an encoder without a classifier."""


_MOST_SEEDS = 1000


def read_method(text: object) -> HeadMethod:
    """Return the protocol that a text names, in capitals or not.

    Raises:
        UnknownNameError: There is no such.
        BadValueError: It is no text.
    """
    if not isinstance(text, str):
        raise BadValueError(f"method must be {', '.join(METHODS)}, got {shown(text)}")
    return look_up({name: name for name in METHODS}, text, "method of a head")


def read_n_seeds(value: object) -> int:
    """Return a number of seeds.

    Raises:
        BadValueError: It is none.
    """
    return whole("--seeds", value, 1, _MOST_SEEDS)


@dataclass(frozen=True)
class HeadEntry:
    """What a record tells of a classifier that was fitted on an encoder.

    Attributes:
        method: The protocol, which alone moves robust accuracy by some points.
        seeds: Of all classifiers that were fitted together; this one's is the model's own.
        encoder: What the encoder is called.
        encoder_sha256: Of its state, the classifier left out.
    """

    method: HeadMethod
    seeds: tuple[int, ...]
    encoder: str
    encoder_sha256: str


@dataclass(frozen=True)
class Seen:
    """What is done to images in [0, 1] before a network, in this order, as a part of it.

    Attributes:
        scaled: The length of the shorter side, or of both; none where images are not resized.
        size: Height and width of what is cut out of the middle; none where nothing is cut off.
        interpolation: How images are resized.
        mean: Subtracted then, a number per channel; none where nothing is.
        std: What they are divided by then.
        words: What records say of it; None where only the network's own code tells.
    """

    scaled: tuple[int, ...] = ()
    size: tuple[int, ...] = ()
    interpolation: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    words: str | None = None


@dataclass(frozen=True)
class HeadModel:
    """The entry of a folder with an encoder and its classifier: add fields at the end only.

    Attributes:
        name: What records call it.
        head: How it was fitted.
        seed: Of this one.
        encoder_source: Where the encoder came from, in words.
        family: Of its architecture, or ``OWN_CODE``.
        architecture: Its name in that family; for code, ``FILE.py:FACTORY`` below the folder's
            ``CODE``, ``pkg.mod:FACTORY``, or the name that a package registered.
        options: What the family builds it from.
        classifier: The name of the last layer; "" where it stands behind a network of code.
        n_features: What enters it.
        n_classes: Outputs.
        shape: Channels, height and width of the images that it was fitted on.
        seen: What stands before the network.
        weights_sha256: Of the network's state.
        recipe_sha256: What tells how it was fitted from other ways, whatever the seed.
        backbone: What records call the architecture.
        versions: Of the packages.
        created: In UTC.
        schema_version: Raised when a field changes its meaning or goes.
    """

    name: str
    head: HeadEntry
    seed: int
    encoder_source: str
    family: str
    architecture: str
    options: dict[str, Any]
    classifier: str
    n_features: int
    n_classes: int
    shape: tuple[int, ...]
    seen: Seen
    weights_sha256: str
    recipe_sha256: str
    backbone: str
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    schema_version: Literal[1] = 1


@dataclass(frozen=True)
class Figures:
    """One accuracy over seeds, each in [0, 1].

    Attributes:
        by_seed: In the order of the seeds.
        mean: Of them.
        std: Their standard deviation, by n - 1; None of a single one.
    """

    by_seed: tuple[float, ...]
    mean: float
    std: float | None = None

    def __post_init__(self) -> None:
        if not self.by_seed:
            raise BadValueError("figures are of one seed at least, got none")


@dataclass(frozen=True)
class HeadSummary:
    """What all seeds of a head reached together: add fields at the end only.

    Attributes:
        model: What records call it.
        method: The protocol.
        encoder: What the encoder is called.
        encoder_sha256: Of its state, the classifier left out.
        data: What it was fitted on.
        n_train: Images fitted on.
        n_validation: Images that chose the epochs, and that the accuracies are of.
        seeds: Of all, in their order.
        attack: What robust accuracy is under.
        clean_acc: On validation images.
        robust_acc: The same under the attack.
        schema_version: Raised when a field changes its meaning or goes.
    """

    model: str
    method: HeadMethod
    encoder: str
    encoder_sha256: str
    data: str
    n_train: int
    n_validation: int
    seeds: tuple[int, ...]
    attack: str
    clean_acc: Figures
    robust_acc: Figures
    schema_version: Literal[1] = 1
