"""Every zoo model keeps the whole timm protocol, and the names and figures that it declares."""

import warnings
from functools import lru_cache, partial

import pytest
import timm
import torch

from clbench.data.datasets import DATASETS
from clbench.models import BACKBONES, ZOO, load_model, load_weights
from clbench.models.register import ROBUSTBENCH_DATASETS, robustbench_name
from clbench.models.zoo import WEIGHTS_DIR
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import WeightsError
from clbench.schema.files import sha256_of_file
from clbench.schema.names import SCENARIOS, SCHEMES
from clbench.testing.law import check
from clbench.testing.models import MODEL_LAWS, ModelCase

MOST_BYTES = 1_500_000

every_row = pytest.mark.parametrize("spec", ZOO, ids=lambda spec: spec.full_name)
packaged = [spec for spec in ZOO if spec.weights is not None]
every_packaged_row = pytest.mark.parametrize("spec", packaged, ids=lambda spec: spec.full_name)
unpublished = [spec for spec in ZOO if spec.weights is None]
every_unpublished_row = pytest.mark.parametrize("spec", unpublished, ids=lambda s: s.full_name)
of_robustbench = [spec for spec in ZOO if spec.dataset in ROBUSTBENCH_DATASETS]
every_robustbench_row = pytest.mark.parametrize("spec", of_robustbench, ids=robustbench_name)


def shapes_of(spec, **choices):
    """Return the network of a row and images for it that have shapes but no values."""
    with torch.device("meta"):
        return timm.create_model(spec.full_name, **choices).eval(), torch.rand(2, *spec.info.shape)


def images_for(spec, n=1):
    return torch.rand(n, *spec.info.shape, generator=torch.Generator().manual_seed(0))


@lru_cache(maxsize=1)  # a network is large, and the laws of one come after each other
def case_of(spec):
    pretrained = spec.weights is not None
    return ModelCase(
        name=spec.full_name,
        create=partial(timm.create_model, spec.full_name, pretrained=pretrained),
        shape=spec.info.shape,
        n_classes=spec.info.n_classes,
        timm=True,
    )


LAWFUL = [
    pytest.param(spec, law, id=f"{spec.full_name}-{law}") for spec in ZOO for law in MODEL_LAWS
]


@pytest.mark.parametrize(("spec", "law"), LAWFUL)
def test_every_model_keeps_the_laws(spec, law):
    with warnings.catch_warnings(action="error"):
        check(MODEL_LAWS, case_of(spec), [law])


@every_row
def test_stages_are_those_of_the_backbone(spec):
    network, _ = shapes_of(spec)
    assert network.feature_info[0]["num_chs"] == BACKBONES[spec.backbone].width
    assert [info["reduction"] for info in network.feature_info] == [1, 1, 2, 4, 8]
    assert (network.num_classes, network.in_chans) == (spec.info.n_classes, spec.info.shape[0])


def test_the_zoo_has_ten_models_for_each_data_set():
    assert len({spec.full_name for spec in ZOO}) == len(ZOO) == 30
    assert {spec.dataset for spec in ZOO} == set(DATASETS)
    for dataset in DATASETS:
        assert sum(spec.dataset == dataset for spec in ZOO) == 10


@every_row
def test_name_is_scheme_and_scenario(spec):
    scheme, _, scenario = spec.name.partition("_")
    assert scheme in SCHEMES
    assert scenario in SCENARIOS
    assert spec.full_name == f"{spec.name}.{spec.dataset}"


@every_row
def test_model_is_registered_once_under_its_name(spec):
    assert timm.is_model(spec.name)
    assert timm.list_models(spec.name, include_tags=True).count(spec.full_name) == 1


@pytest.mark.parametrize("spec", packaged[:1], ids=lambda spec: spec.full_name)
@pytest.mark.parametrize("kind", ["list", "dict", "hook", "getter", "fx"])
def test_feature_extractor_gives_the_feature_maps(spec, kind):
    images = images_for(spec)
    network = timm.create_model(spec.full_name, pretrained=True).eval()
    expected = network.forward_intermediates(images, indices=[0, 2, 4], intermediates_only=True)
    extractor = timm.create_model(
        spec.full_name, pretrained=True, features_only=True, feature_cls=kind, out_indices=(0, 2, 4)
    ).eval()
    maps = extractor(images)
    maps = list(maps.values()) if isinstance(maps, dict) else maps
    assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))


@pytest.mark.filterwarnings("ignore:torch.utils.checkpoint:UserWarning")  # timm 1.0.9
@every_packaged_row
def test_gradient_checkpointing_changes_no_gradient(spec):
    network, gradients = timm.create_model(spec.full_name).eval(), []
    for enable in (False, True):
        network.set_grad_checkpointing(enable)
        images = images_for(spec).requires_grad_()
        network(images).sum().backward()
        gradients.append(images.grad)
    assert torch.equal(*gradients)


@every_packaged_row
def test_packaged_weights_are_the_ones_in_the_row(spec):
    file = WEIGHTS_DIR / spec.weights.file
    assert sha256_of_file(file) == spec.weights.sha256
    assert file.stat().st_size <= MOST_BYTES
    assert file.with_suffix(".md").exists()


@every_packaged_row
def test_both_doors_give_the_weights_of_the_file_bit_for_bit(spec):
    images = images_for(spec, n=4)
    by_hand = timm.create_model(spec.full_name).eval()
    load_weights(by_hand, WEIGHTS_DIR / spec.weights.file)
    by_timm = timm.create_model(spec.full_name, pretrained=True).eval()
    by_name = load_model(spec.name, dataset=spec.dataset)
    assert torch.equal(by_timm(images), by_hand(images))
    assert torch.equal(by_name.network(images), by_hand(images))
    assert {parameter.dtype for parameter in by_timm.parameters()} == {torch.float32}
    assert not by_name.network.training
    assert (by_name.scheme, by_name.scenario) == (spec.scheme, spec.scenario)
    assert (by_name.backbone, by_name.tag) == (spec.backbone, spec.dataset)
    assert by_name.weights_sha256 == state_sha256(by_hand)
    assert (by_name.file_sha256, by_name.source) == (spec.weights.sha256, "package")


@every_packaged_row
def test_timm_lists_packaged_weights(spec):
    assert spec.full_name in timm.list_models(f"{spec.scheme}*", pretrained=True)


@every_unpublished_row
def test_asking_for_weights_that_are_not_there_names_the_training_command(spec):
    message = (
        rf"^model '{spec.full_name}' has no weights yet; train it with "
        rf"'clbench train {spec.name} --dataset {spec.dataset} --out DIR' "
        "and give the file with --weights$"
    )
    with pytest.raises(WeightsError, match=message):
        timm.create_model(spec.full_name, pretrained=True)
    with pytest.raises(WeightsError, match=message):
        load_model(spec.name, dataset=spec.dataset)


@every_robustbench_row
def test_robustbench_name_is_the_same_architecture(spec):
    network, images = shapes_of(spec)
    with torch.device("meta"):
        other = timm.create_model(robustbench_name(spec), num_classes=spec.info.n_classes)
    assert other(images).shape == (2, spec.info.n_classes)
    for (name, one), (name_of_other, two) in zip(
        network.state_dict().items(), other.state_dict().items(), strict=True
    ):
        assert (name, one.shape) == (name_of_other, two.shape)
