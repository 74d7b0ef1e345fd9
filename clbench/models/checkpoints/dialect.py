"""What a dialect of checkpoints is, as data: how one project writes its weights down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple


class Normalisation(NamedTuple):
    """A mean and a standard deviation for each channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        """Return both, as the options have them; "none" where nothing is normalised."""
        if set(self.mean) == {0.0} and set(self.std) == {1.0}:
            return "none"
        mean, std = (",".join(f"{one:g}" for one in part) for part in self)
        return f"mean {mean} std {std}"


NO_NORMALISATION = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10 = Normalisation((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
CIFAR10_KUANGLIU = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100 = Normalisation((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Outside(NamedTuple):
    """What the loader of a project normalised by, for a kind of network or data.

    The first that holds is it; of those that are ``unsure`` only images or the user can tell.
    """

    by: Normalisation
    dataset: str = ""
    stem: int = 0
    n_classes: int = 0
    unsure: bool = False


class Dropped(NamedTuple):
    """Names that are no part of the network which is evaluated, and why."""

    names: str
    why: str


@dataclass(frozen=True)
class Dialect:
    """One project's checkpoints.

    Names are regular expressions from their beginning, after what torch's wrappers put into them
    (``module.``, ``_orig_mod.``) is gone.

    Attributes:
        name: What ``--dialect`` calls it.
        project: Who writes so.
        source: Where that can be read: repository and commit.
        tables: Where in the file the weights may be, by dots; "" is the file itself. The first that
            is there is taken.
        keys: What else the file holds; all of them.
        without: What else the file does not hold.
        wrapped: Whether torch's wrappers must have, or must not have, put their names in.
        marks: Names of weights, one each of which must be there; with ``keys``, the evidence.
        absent: Names that must not be there.
        prefix: What the names of the network begin with.
        renames: Patterns in the names that are left, and what is put there.
        drops: What is left out.
        inside: Names of the mean and deviation that stand in the file.
        outside: What stood before the network, where the file has none of these.
        classifier: Another table, which holds the classifier.
        facts: What no tensor tells of the network; see ``infer``.
        dataset_at: Where the file may say what it was trained on.
    """

    name: str
    project: str
    source: str
    tables: tuple[str, ...] = ("",)
    keys: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    wrapped: bool | None = None
    marks: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    prefix: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    drops: tuple[Dropped, ...] = ()
    inside: tuple[str, str] | None = None
    outside: tuple[Outside, ...] = ()
    classifier: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    dataset_at: tuple[str, ...] = ()
