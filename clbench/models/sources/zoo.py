"""Networks of the zoo: ``scheme_scenario[.tag]``."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from clbench.data.datasets import DATASETS
from clbench.models.backbones.resnet import build_backbone
from clbench.models.checkpoints.read import read_about
from clbench.models.interface import LoadedModel, Wanted, seed_in
from clbench.models.register import create
from clbench.models.spec import ModelSpec
from clbench.models.weights import availability
from clbench.models.zoo import ZOO, find_spec
from clbench.schema.errors import BadValueError, WeightsError
from clbench.schema.files import sha256_of_file

log = logging.getLogger(__name__)


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return the zoo's network, with its own weights or with a user's.

    A user's weights that tell what they were trained as are called that, whatever the name.

    Raises:
        BadValueError: The name's tag is of another data set, or the row of another image size.
        WeightsError: The weights are missing, damaged, or of another network or data set.
    """
    spec = find_spec(name, wanted.dataset)
    check_shape(name, spec, wanted)
    return _with_a_users(name, spec, wanted.weights) if wanted.weights else _with_its_own(spec)


def check_shape(name: str, spec: ModelSpec, wanted: Wanted) -> None:
    """Check that images are of the size that a row's network was made and trained for.

    Raises:
        BadValueError: They are not. The network would run, and be right by chance only.
    """
    if wanted.shape != spec.info.shape:
        of, got = ("x".join(map(str, shape)) for shape in (spec.info.shape, wanted.shape))
        raise BadValueError(
            f"model {name!r} takes images of {of} (channels, height, width), as {spec.dataset} "
            f"has, got {got}; bring the images to that size, or train a network on them: "
            "clbench train --data FILE"
        )


def _with_its_own(spec: ModelSpec) -> LoadedModel:
    network = create(spec)
    assert spec.weights, "create refuses a row without weights"
    return LoadedModel(
        network=network,
        name=spec.name,
        scheme=spec.scheme,
        scenario=spec.scenario,
        backbone=spec.backbone,
        tag=spec.dataset,
        weights_sha256=spec.weights.sha256,
        source=availability(spec),
        training_seed=seed_in(vars(spec.weights)),
        recipe_sha256=spec.weights.recipe_sha256,
        preprocessing="none",
    )


def _with_a_users(name: str, spec: ModelSpec, weights: Path) -> LoadedModel:
    # a recipe may have trained another backbone than the row's, and its weights tell which
    about = read_about(weights)
    told = about | (_packaged(weights) if "model" not in about else {})
    backbone = about.get("backbone", spec.backbone)
    loaded = LoadedModel(
        network=build_backbone(backbone, spec.info.shape[0], spec.info.n_classes),
        name=spec.name,
        scheme=spec.scheme,
        scenario=spec.scenario,
        backbone=backbone,
        tag=spec.dataset,
        preprocessing="none",
    )
    return _as_told(name, loaded, told, weights).filled(weights)


def _packaged(weights: Path) -> dict[str, str]:
    """Return what is known of a file that is one of the zoo's own: those tell no name."""
    if not weights.is_file():
        return {}
    sha256 = sha256_of_file(weights)
    rows = (spec for spec in ZOO if spec.weights and spec.weights.sha256 == sha256)
    return next(({"model": spec.full_name} for spec in rows), {})


def _as_told(name: str, loaded: LoadedModel, told: Mapping[str, str], weights: Path) -> LoadedModel:
    """Return the model under the name, scheme and scenario that its weights tell, if they do.

    Raises:
        WeightsError: They are of another data set.
    """
    if "model" not in told:
        return loaded
    stem, _, tag = told["model"].partition(".")
    if tag in DATASETS and tag != loaded.tag:
        raise WeightsError(
            f"weights {weights} are of {told['model']!r}, trained on {tag}, the data is "
            f"{loaded.tag}; give --model {stem}.{tag} with images of {tag}"
        )
    row = next((spec for spec in ZOO if spec.name == stem), None)
    known = (
        stem,
        told.get("scheme", row.scheme if row else ""),
        told.get("scenario", row.scenario if row else ""),
    )
    if known == (loaded.name, loaded.scheme, loaded.scenario):
        return loaded
    scheme, scenario = (known[at] or "none" for at in (1, 2))
    log.warning(
        "weights %s were trained as %s (scheme %s, scenario %s), not as %s: recorded as that",
        *(weights, stem, scheme, scenario, name),
    )
    return replace(loaded, name=stem, scheme=known[1], scenario=known[2])
