"""What is compared: networks, each seen on one set of inputs, all of the same examples."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from clbench.data.stored import Images, parts
from clbench.probes.layers import Layer, find_layers
from clbench.schema.errors import BadValueError

_CHECKED = 256  # examples that show whether adversarial images are in the order of the clean ones
_HASHED = 256  # images at a time, since a copy of all of them may not fit into memory


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images in [0, 1], and which examples they are.

    ``examples`` names the examples and their order: the hash of the data set that the images are
    from, or were made from; by default the hash of the images. CKA is between equal ``examples``
    only. ``against`` is the model that adversarial images were made against, "" for other images.
    """

    images: Images
    examples: str = ""
    against: str = ""

    def __post_init__(self) -> None:
        if not self.examples:
            object.__setattr__(self, "examples", _content_hash(self.images))

    def __len__(self) -> int:
        return len(self.images)

    def attacked(self, adversarial: Images, *, against: str) -> "Inputs":
        """Return the adversarial images of the same examples, made against a model of that name.

        Raises:
            BadValueError: Another number or size of images, or they are nearer to the clean images
                of other examples than to their own, as they are in another order.
        """
        if adversarial.shape != self.images.shape:
            raise BadValueError(
                f"adversarial images must have the shape {list(self.images.shape)} "
                f"of the clean ones, got {list(adversarial.shape)}"
            )
        clean, changed = self.images[:_CHECKED], adversarial[:_CHECKED]
        own = float((changed - clean).abs().mean())
        next_one = float((changed - clean.roll(1, dims=0)).abs().mean())
        if own > next_one:
            raise BadValueError(
                "adversarial images must be in the order of the clean ones, got images that differ "
                f"by {own:.3g} from their own and by {next_one:.3g} from the next clean image"
            )
        return Inputs(adversarial, self.examples, against)


@dataclass(frozen=True, eq=False)
class Representation:
    """A network seen on one set of inputs, under a name that results are found by.

    ``layers`` are those of ``find_layers`` where none are given; ``select_layers`` finds others.
    Representations of one network share nothing, so each network and set of inputs should be one
    representation.
    """

    name: str
    network: nn.Module
    inputs: Inputs
    layers: Mapping[str, Layer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers:
            object.__setattr__(self, "layers", find_layers(self.network))


def check_representations(representations: Sequence[Representation]) -> dict[str, Representation]:
    """Return representations by name, all of the same examples.

    Raises:
        BadValueError: There are none, two share a name, or two show different examples or another
            order of them.
    """
    by_name = {representation.name: representation for representation in representations}
    if not representations or len(by_name) < len(representations):
        names = [representation.name for representation in representations]
        raise BadValueError(
            f"representations must have different names, and be one at least, got {names}"
        )
    first = representations[0]
    for representation in representations[1:]:
        one, other = first.inputs, representation.inputs
        if (one.examples, len(one)) != (other.examples, len(other)):
            raise BadValueError(
                f"{first.name!r} and {representation.name!r} must show the same examples in the "
                f"same order, got {len(one)} of set {one.examples[:12]} and {len(other)} "
                f"of set {other.examples[:12]}"
            )
    return by_name


def _content_hash(images: Images) -> str:
    digest = hashlib.sha256(str(list(images.shape)).encode())
    for part in parts(images, _HASHED):
        digest.update(part.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
