"""Whether a network and images mean the same classes."""

import logging
import shlex

from clbench.data.datasets import DATASETS, TEST_SETS
from clbench.data.image_set import ImageSet
from clbench.models.interface import LoadedModel
from clbench.schema.errors import DataError, ModelError

log = logging.getLogger(__name__)


def check_class_names(loaded: LoadedModel, images: ImageSet, n_outputs: int) -> None:
    """Check that images name as many classes as there are outputs, and as the network does.

    Raises:
        DataError: They do not, or the same ones in another order.
    """
    if not images.class_names:
        return
    if len(images.class_names) != n_outputs:
        raise DataError(
            f"the network has {n_outputs} outputs, and {images.name} names "
            f"{len(images.class_names)} classes, which are numbered in the order of their names; "
            "call each by the number of its output"
        )
    own = DATASETS[loaded.tag].class_names if loaded.tag in DATASETS else ()
    known = tuple(map(str.casefold, loaded.class_names or own))
    pairs = zip(map(str.casefold, images.class_names), known, strict=False)
    other = next(((k, *pair) for k, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    if other is None:
        return
    told = f"class {other[0]} of {images.name} is {other[1]!r}, of {loaded.name} {other[2]!r}"
    if set(map(str.casefold, images.class_names)) == set(known):
        raise DataError(f"{told}; number the classes as the network does")
    log.warning("%s; taken for the same class", told)


def no_classifier(model: object, loaded: LoadedModel, dataset: str | None) -> ModelError:
    """Return the error of an encoder, with the command that makes a classifier of it."""
    given = str(model)
    images = ["--dataset", dataset] if dataset else ["--data", "TRAINING_IMAGES"]
    images += ["--data-dir", "DIR"] if dataset and not TEST_SETS[dataset].packaged else []
    command = ["clbench", "head", given, "--method", "slf", *images, "--out", f"{given}-slf"]
    return ModelError(
        f"model {loaded.name!r} has no classifier: it is an encoder, {loaded.source}; fit one: "
        f"{shlex.join(command)} (or alf, aff), or compare its features: clbench probe --comparison "
        "clean-clean"
    )
