"""timm's networks see what their configuration says, with anybody's weights; eps is in pixels."""

import pytest
import timm
import torch

from clbench.models import load_model, save_weights

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NAMES = [
    *("test_byobnet", "test_efficientnet", "test_vit", "resnet10t", "mobilenetv3_small_050"),
    *("lcnet_035", "convnext_atto", "regnetx_002", "resnet18.a1_in1k"),
]
STATISTICS = {
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def build(name, **options):
    cfg = timm.get_pretrained_cfg(name)
    size = {"img_size": (64, 64)} if cfg.fixed_input_size else {}
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=10, **size, **options).eval()


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize("name", NAMES)
def test_a_users_weights_are_shown_normalised_images(name, kind, tmp_path):
    network, file = build(name), tmp_path / f"w.{kind}"
    if kind == "pth":
        torch.save({"state_dict": network.state_dict()}, file)
    else:
        save_weights(network, file, half=False)
    loaded = load_model(f"timm:{name}", n_classes=10, shape=(3, 64, 64), weights=file)
    mean, std = (
        torch.tensor(network.pretrained_cfg[key]).reshape(3, 1, 1) for key in ("mean", "std")
    )
    with torch.no_grad():
        assert torch.equal(loaded.network(IMAGES), network((IMAGES - mean) / std))
    assert loaded.preprocessing.startswith("normalised by mean ")
    assert loaded.entry.preprocessing == loaded.preprocessing


@pytest.mark.parametrize("case", STATISTICS)
def test_the_statistics_of_the_configuration_decide(case, tmp_path, monkeypatch):
    mean, std = STATISTICS[case]
    network = build("resnet10t", pretrained_cfg_overlay={"mean": mean, "std": std})
    save_weights(network, tmp_path / "w.safetensors", half=False)
    create = timm.create_model
    overlay = {"pretrained_cfg_overlay": {"mean": mean, "std": std}}
    monkeypatch.setattr(timm, "create_model", lambda *a, **o: create(*a, **o, **overlay))
    loaded = load_model(
        "timm:resnet10t", n_classes=10, shape=(3, 64, 64), weights=tmp_path / "w.safetensors"
    )
    images = IMAGES.clone().requires_grad_()
    inside = (images - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    assert torch.equal(loaded.network(images), network(inside))
    (wanted,) = torch.autograd.grad(network(inside).sum(), images, retain_graph=True)
    (found,) = torch.autograd.grad(loaded.network(images).sum(), images)
    assert torch.equal(found, wanted)  # of pixels in [0, 1], which eps counts in
    assert (loaded.preprocessing == "none") == (case == "none")


def test_another_size_than_the_configurations_is_said(tmp_path, caplog):
    save_weights(build("resnet10t"), tmp_path / "w.safetensors")
    size = timm.get_pretrained_cfg("resnet10t").input_size
    for shape, said in (((3, 64, 64), True), (size, False)):
        caplog.clear()
        load_model("timm:resnet10t", n_classes=10, shape=shape, weights=tmp_path / "w.safetensors")
        height, width = size[1:]
        line = f"configured for images of {height}x{width}, it sees these as they are, 64x64"
        assert (line in caplog.text) == said
