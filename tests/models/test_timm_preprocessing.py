"""timm's networks see what their configuration says, with anybody's weights; eps is in pixels."""

import pytest
import timm
import torch
from timm.data import create_transform
from torchvision.transforms.functional import to_pil_image

from clbench.models import load_model, save_weights
from clbench.models.normalization import normalise_inside, resize_inside
from clbench.schema.errors import WeightsError

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


def photograph(height, width):
    """A smooth picture, as bytes: noise would tell rounding in resizing from nothing else."""
    small = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth[0] * 255).round().to(torch.uint8)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("crop", "crop_mode"), [(0.875, "center"), (0.9, "squash"), (1.0, "center")]
)
@pytest.mark.parametrize("size", [(32, 32), (100, 100), (80, 60)])
def test_resizing_inside_is_what_timm_does_to_pictures(size, crop, crop_mode, mode):
    picture = photograph(*size)
    cfg = {
        "input_size": (3, 64, 64),
        "crop_pct": crop,
        "crop_mode": crop_mode,
        "interpolation": mode,
    }
    network = torch.nn.Identity()
    said = resize_inside(network, cfg)
    pil = to_pil_image(picture)
    transform = create_transform(
        (3, 64, 64),
        interpolation=mode,
        crop_pct=crop,
        crop_mode=crop_mode,
        mean=[0] * 3,
        std=[1] * 3,
    )
    found = network(picture[None] / 255)
    torch.testing.assert_close(found[0], transform(pil), rtol=0, atol=2.5 / 255)
    assert said == f"resized to 64x64 ({mode}, crop {crop:g})"
    images = (picture[None] / 255).requires_grad_()
    network(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_weights_of_a_fixed_size_see_resized_images(tmp_path, caplog):
    network = timm.create_model("test_vit", num_classes=10).eval()
    size = network.pretrained_cfg["input_size"][1:]
    assert size != IMAGES.shape[2:]
    torch.save(network.state_dict(), tmp_path / "w.pth")
    loaded = load_model(
        "timm:test_vit", n_classes=10, shape=(3, 64, 64), weights=tmp_path / "w.pth"
    )
    reference = torch.nn.Identity()
    resize_inside(reference, network.pretrained_cfg)
    normalise_inside(reference, network.pretrained_cfg, 3)
    assert torch.equal(loaded.network(IMAGES), network(reference(IMAGES)))
    assert loaded.preprocessing.startswith(f"resized to {size[0]}x{size[1]} (bicubic")
    assert ", resized, normalised, w.pth" in loaded.source
    assert "as they are" not in caplog.text


def test_weights_that_fit_no_size_say_what_does_not_fit(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="are of another network"):
        load_model("timm:test_vit", n_classes=10, shape=(3, 64, 64), weights=tmp_path / "w.pth")
