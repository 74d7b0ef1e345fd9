"""Networks of the zoo: ``scheme_scenario[.tag]``."""

import timm

from clbench.models.backbones.resnet import build_backbone
from clbench.models.interface import LoadedModel, Wanted, seed_in
from clbench.models.weights import availability, load_weights, read_about
from clbench.models.zoo import find_spec


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return the zoo's network, with its own weights or with a user's.

    Raises:
        BadValueError: The name's tag is of another data set.
        WeightsError: The weights are missing, damaged, or of another network.
    """
    spec = find_spec(name, wanted.dataset)
    backbone = spec.backbone
    if wanted.weights:
        # a recipe may have trained another backbone than the row's, and its weights tell which
        about = read_about(wanted.weights)
        backbone = about.get("backbone", backbone)
        network = build_backbone(backbone, spec.info.shape[0], spec.info.n_classes)
        sha256, source = load_weights(network, wanted.weights), wanted.weights.name
    else:
        network = timm.create_model(spec.full_name, pretrained=True)
        assert spec.weights, "timm's door refuses a row without weights"
        about, sha256, source = vars(spec.weights), spec.weights.sha256, availability(spec)
    return LoadedModel(
        network=network,
        name=spec.name,
        scheme=spec.scheme,
        scenario=spec.scenario,
        backbone=backbone,
        tag=spec.dataset,
        weights_sha256=sha256,
        source=source,
        training_seed=seed_in(about),
        recipe_sha256=about.get("recipe_sha256", ""),
    )
