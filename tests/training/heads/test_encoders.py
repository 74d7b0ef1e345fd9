"""Encoders of every kind: their features are what the folder of a head classifies, to the bit."""

import logging

import pytest
import safetensors.torch
import torch

from clbench.data.load import training_set
from clbench.models import load_model
from clbench.models.backbones.architecture import Architecture
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.encoder import load_encoder
from clbench.models.weights import save_weights
from clbench.training.loop import train

IMAGES = training_set("digits", "validation").head(6).images.clone()

CODE = {
    # name in nets.py: the layer that is taken off, the features
    "features": ("", 12),
    "maps": ("", 12),
    "direct": ("", 12),
    "linear": ("1", 12),
    "without_bias": ("1", 12),
    "pointwise": ("1", 12),
    "projector": ("3", 8),
    "normalised": ("1", 12),
}


def logits_of(folder):
    loaded = load_model(str(folder), n_classes=10, shape=(1, 8, 8))
    with torch.no_grad():
        return loaded.network(IMAGES)


def classified(features, folder, layer):
    """Return what the classifier in a folder makes of features, in torch's own words."""
    state = safetensors.torch.load_file(folder / "weights.safetensors")
    weight, bias = state[f"{layer}.weight"], state.get(f"{layer}.bias")
    return torch.nn.functional.linear(features, weight.flatten(1), bias)


def features_of(network, layer):
    """Return what enters a layer, or comes out of the network."""
    found = []
    network.eval()
    if layer:
        network.get_submodule(layer).register_forward_pre_hook(
            lambda _module, inputs: found.append(inputs[0])
        )
    with torch.no_grad():
        answer = network(IMAGES)
    return (found[-1] if layer else answer).flatten(1)


@pytest.mark.parametrize("name", CODE)
def test_a_head_on_code_of_ones_own_is_linear_in_its_features(name, nets, fit, tmp_path):
    layer, width = CODE[name]
    fitted = fit(f"{nets}:{name}", tmp_path)
    own = load_model(f"{nets}:{name}", n_classes=2, shape=(1, 8, 8)).network
    features = features_of(own, layer)
    assert features.shape == (6, width)
    found = logits_of(fitted.out / "seed-0")
    assert found.shape == (6, 10)
    torch.testing.assert_close(found, classified(features, fitted.out / "seed-0", layer or "fc"))


@pytest.mark.parametrize("name", ["features", "linear"])
def test_the_folder_of_a_head_has_the_code_that_its_network_is_made_of(
    name, nets, fit, tmp_path, monkeypatch
):
    folder = tmp_path / "moved"
    fit(f"{nets}:{name}", tmp_path / "heads")
    before = logits_of(tmp_path / "heads" / "seed-0")
    (tmp_path / "heads" / "seed-0").rename(folder)
    monkeypatch.chdir(tmp_path)
    loaded = load_model(str(folder), n_classes=10, shape=(1, 8, 8))
    with torch.no_grad():
        assert torch.equal(loaded.network(IMAGES), before)
    assert set(loaded.code.files()) == {"nets.py", "parts.py"}
    assert str(nets.parent) not in (folder / "head.json").read_text()


IMPORTED = ("narrow", "with classes", "preact", "wide", "vit", "timm")


@pytest.mark.parametrize("name", IMPORTED)
@pytest.mark.parametrize("normalised", [False, True])
def test_a_head_on_an_imported_network_is_linear_in_its_features(
    name, normalised, imported, fit, tmp_path
):
    folder = imported(name, *((0.3, 0.5) if normalised else ()))
    fitted = fit(folder, tmp_path)
    own = load_model(str(folder), n_classes=2, shape=(1, 8, 8)).network
    features = features_of(own, "fc" if name == "with classes" else "")
    seed, layer = fitted.out / "seed-0", "head" if name == "vit" else "fc"
    torch.testing.assert_close(logits_of(seed), classified(features, seed, layer))


@pytest.mark.parametrize("name", ["simclr_at", "simclr_at.digits", "supervised_st", "mine"])
def test_a_head_on_a_network_of_the_zoo_is_linear_in_its_features(name, fit, tmp_path):
    zoos = "simclr_at" if name == "mine" else name
    fitted = fit("mine=simclr_at" if name == "mine" else name, tmp_path)
    own = load_model(zoos, dataset="digits").network
    seed = fitted.out / "seed-0"
    torch.testing.assert_close(logits_of(seed), classified(features_of(own, "fc"), seed, "fc"))
    expected = name if name == "mine" else f"{zoos.partition('.')[0]}.digits"
    assert fitted.summary.model == f"{expected}-slf"


@pytest.mark.parametrize("name", ["simclr_st.digits", "resnet10t"])
def test_a_head_on_a_network_of_timm_is_linear_in_its_features(name, fit, tmp_path):
    weights = tmp_path / "own.safetensors"
    options = {"in_chans": 1, "num_classes": 5}
    if name == "simclr_st.digits":
        own, given = load_model(f"timm:{name}", dataset="digits").network, {}
    else:
        network = Architecture("timm", name, options).build().eval()
        save_weights(network, weights, half=False)
        given = {"weights": weights}
    if given:
        loaded = load_model(f"timm:{name}", n_classes=2, shape=(1, 8, 8), weights=weights)
        own = loaded.network
    fitted = fit(f"timm:{name}", tmp_path / "heads", **given)
    seed = fitted.out / "seed-0"
    torch.testing.assert_close(logits_of(seed), classified(features_of(own, "fc"), seed, "fc"))


def test_of_a_training_the_encoder_is_the_pretrained_backbone(fit, tmp_path, pictures):
    changes = {"backbone": "resnet10_w16", "validation.steps": "1", "pretraining.epochs": "1"}
    changes |= {"pretraining.adversary.steps": "1", "finetuning.adversary.steps": "1"}
    changes |= {"pretraining.batch_size": "16", "finetuning.epochs": "1"}
    changes |= {"finetuning.batch_size": "16"}
    train("simclr_full_at", out=tmp_path / "run", changes=changes, data=[pictures])
    fitted = fit(tmp_path / "run", tmp_path / "heads")
    own = Architecture(
        "cifar",
        "resnet10_w16",
        {"block": "basic", "layers": [1, 1, 1, 1], "width": 16, "in_chans": 1, "num_classes": 0},
    ).build()
    load_checkpoint(own, tmp_path / "run" / "backbone.safetensors")
    seed = fitted.out / "seed-0"
    torch.testing.assert_close(logits_of(seed), classified(features_of(own, ""), seed, "fc"))
    finetuned = load_model(str(tmp_path / "run"), dataset="digits").network
    assert not torch.allclose(features_of(finetuned, "fc"), features_of(own, ""))


def test_a_head_on_a_head_is_one_on_its_encoder(fit, tmp_path, imported):
    folder = imported("narrow", 0.3, 0.5)
    first = fit(folder, tmp_path / "first")
    second = fit(first.out / "seed-0", tmp_path / "second")
    assert first.summary.encoder_sha256 == second.summary.encoder_sha256
    assert torch.equal(logits_of(first.out / "seed-0"), logits_of(second.out / "seed-0"))


@pytest.mark.parametrize(("name", "said"), [("linear", True), ("features", False)])
def test_it_is_said_which_classifier_is_taken_off(name, said, nets, caplog):
    caplog.set_level(logging.INFO, "clbench")
    load_encoder(f"{nets}:{name}", images=IMAGES, n_classes=3)
    told = [line for line in caplog.messages if "is taken off" in line]
    assert told == (["classifier '1' of nets.py:linear is taken off: 12 features"] if said else [])


def test_the_sum_of_an_encoder_does_not_depend_on_its_classifier(nets):
    sums = {
        load_encoder(f"{nets}:{name}", images=IMAGES, n_classes=n).sha256
        for name in ("linear", "without_bias")
        for n in (2, 7)
    }
    assert len(sums) == 1
    other = load_encoder(f"{nets}:direct", images=IMAGES, n_classes=2)
    assert other.sha256 not in sums


def test_fresh_networks_share_nothing(nets):
    encoder = load_encoder(f"{nets}:linear", images=IMAGES, n_classes=3)
    first, second = encoder.fresh(), encoder.fresh()
    mine = {parameter.data_ptr() for parameter in first.parameters()}
    assert mine.isdisjoint(parameter.data_ptr() for parameter in second.parameters())
