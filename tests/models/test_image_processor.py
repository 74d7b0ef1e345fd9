"""What Hugging Face's file beside weights says is done, said and recorded; or refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from clbench.models.image_processor import read_image_processor
from clbench.models.load import load_model
from clbench.models.preprocessing import PROCESSOR, of_words, read_preprocessing
from clbench.schema.errors import ModelError

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
VIT = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "ViTImageProcessor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 24, "width": 24},
} | HALF
CLIP = {
    "crop_size": {"height": 20, "width": 20},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": {"shortest_edge": 24},
}
MEAN_OF_CLIP = "mean 0.48145466,0.4578275,0.40821073 and std 0.26862954,0.26130258,0.27577711"
BY = "by preprocessor_config.json"
NORMALISED = "normalised by mean 0.5,0.5,0.5 and std 0.25,0.25,0.25"
SQUARE, WIDE = (3, 16, 16), (3, 16, 20)

READ = {
    "a ViT's": (VIT, SQUARE, f"resized to 24x24 (bilinear), {NORMALISED}, {BY}"),
    "a ViT's, of wide images": (VIT, WIDE, f"resized to 24x24 (bilinear), {NORMALISED}, {BY}"),
    "CLIP's": (
        CLIP,
        WIDE,
        f"resized to 24 (bicubic), cropped to 20, normalised by {MEAN_OF_CLIP}, {BY}",
    ),
    "an older one's": (
        HALF | {"size": 24, "resample": 0, "do_resize": True, "do_normalize": True},
        SQUARE,
        f"resized to 24 (nearest), {NORMALISED}, {BY}",
    ),
    "an older crop": (
        CLIP | {"crop_size": 20} | HALF,
        SQUARE,
        f"resized to 24 (bicubic), cropped to 20, {NORMALISED}, {BY}",
    ),
    "nothing resized": (VIT | {"do_resize": False}, SQUARE, f"{NORMALISED}, {BY}"),
    "a size alone": (
        {"size": {"shortest_edge": 24}, "resample": 2},
        SQUARE,
        f"resized to 24 (bilinear), {BY}",
    ),
    "not normalised": (
        VIT | {"do_normalize": False},
        SQUARE,
        f"resized to 24x24 (bilinear), {BY}",
    ),
    "a mean alone": (HALF, SQUARE, f"{NORMALISED}, {BY}"),
    "a mean of bytes": (
        HALF | {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [63.75] * 3},
        SQUARE,
        f"{NORMALISED}, {BY}",
    ),
    "grey": (
        {"image_mean": [0.5], "image_std": [0.25]},
        (1, 16, 16),
        f"normalised by mean 0.5 and std 0.25, {BY}",
    ),
    "cut alone": (
        {"do_center_crop": True, "crop_size": {"height": 8, "width": 8}},
        SQUARE,
        f"cropped to 8, {BY}",
    ),
    "whole numbers": (
        {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]},
        SQUARE,
        f"normalised by mean 0.0,0.0,0.0 and std 1.0,1.0,1.0, {BY}",
    ),
    "what another library wrote besides, and is off": (
        HALF
        | {"do_pad": False, "pad_size": None, "do_flip_channel_order": False, "crop_pct": None},
        SQUARE,
        f"{NORMALISED}, {BY}",
    ),
    "nothing at all": ({"do_normalize": False, "do_resize": False}, SQUARE, None),
    "an empty one": ({}, SQUARE, None),
}


@pytest.fixture
def file(tmp_path):
    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / PROCESSOR).write_text(text)
        return tmp_path / PROCESSOR

    return write


@pytest.mark.parametrize("case", READ)
def test_what_the_file_says_is_read(file, case):
    content, shape, words = READ[case]
    found = read_image_processor(file(content), shape)
    assert (None if found is None else str(found)) == words
    assert of_words(words) == found  # as whoever verifies a record reads it


REFUSED = {
    "no JSON": ("{", "is cut off or no JSON"),
    "deep": ("[" * 10**5, "is cut off or no JSON"),
    "a list": ("[]", "must be a table, got"),
    "ConvNeXt's crop": (CLIP | {"crop_pct": 0.875}, "says 'crop_pct': 0.875, which is not done"),
    "other colours": (HALF | {"do_flip_channel_order": True}, "says 'do_flip_channel_order': True"),
    "black around": (HALF | {"do_pad": True}, "says 'do_pad': True"),
    "a later field": (HALF | {"do_sharpen": 2}, "says 'do_sharpen': 2"),
    "another way to resize": (VIT | {"resample": 1}, "says 'resample': 1"),
    "no way to resize": (VIT | {"resample": None}, "says 'resample': None"),
    "true": (VIT | {"resample": True}, "says 'resample': True"),
    "no size": (VIT | {"size": None}, "says 'size': None"),
    "another size": (VIT | {"size": {"longest_edge": 8}}, "says 'size': {'longest_edge': 8}"),
    "two sizes": (VIT | {"size": {"shortest_edge": 8, "longest_edge": 9}}, "says 'size': {'long"),
    "size 0": (VIT | {"size": {"shortest_edge": 0}}, "says 'size': 0"),
    "half a side": (VIT | {"size": {"shortest_edge": 8.5}}, "says 'size': {'shortest_edge': 8.5}"),
    "no square": (CLIP | {"crop_size": {"height": 8, "width": 9}}, "says 'crop_size': {'height'"),
    "a larger crop": (CLIP | {"crop_size": 25}, "says 'crop_size': 25"),
    "no crop": (CLIP | {"crop_size": None}, "says 'crop_size': None"),
    "no mean": (VIT | {"image_mean": None}, "says 'image_mean': None"),
    "a mean of one": (VIT | {"image_mean": [0.5], "image_std": [1]}, "says 'image_mean': [0.5]"),
    "a word": (VIT | {"image_mean": "x"}, "says 'image_mean': 'x'"),
    "no deviation": (VIT | {"image_std": [0, 0, 0]}, "says 'image_mean': [0.5, 0.5, 0.5]"),
    "huge": (VIT | {"image_mean": [10**400, 0, 0]}, "says 'image_mean': ["),
    "another scale": (VIT | {"rescale_factor": 0.5}, "says 'rescale_factor': 0.5"),
    "raw bytes": ({"do_rescale": False}, "says 'do_rescale': False"),
    "a word for on": (VIT | {"do_resize": "yes"}, "says 'do_resize': 'yes'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_named_in_one_line(file, case):
    content, says = REFUSED[case]
    with pytest.raises(ModelError) as caught:
        read_image_processor(file(content), SQUARE)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_number_for_wide_images_says_too_little(file):
    path = file(HALF | {"size": 24, "resample": 2})
    with pytest.raises(ModelError, match="says 'size': 24, which is not done here"):
        read_image_processor(path, WIDE)


def picture(height, width):
    """A smooth picture, as bytes: noise would tell rounding in resizing from nothing else."""
    small = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth[0] * 255).round().to(torch.uint8)


@pytest.mark.parametrize(("content", "size", "cut"), [(VIT, (24, 24), None), (CLIP, (24, 30), 20)])
def test_pillow_does_the_same(file, content, size, cut):
    images = picture(16, 20)[None] / 255
    network = torch.nn.Identity()
    read_image_processor(file(content), WIDE).put_before(network, 3)
    pil = Image.fromarray(picture(16, 20).permute(1, 2, 0).numpy())
    larger = pil_to_tensor(pil.resize(size[::-1], content["resample"])) / 255
    top, left = ((side - (cut or side)) // 2 for side in size)
    middle = larger[:, top : top + (cut or size[0]), left : left + (cut or size[1])]
    mean, std = (torch.tensor(content[key])[:, None, None] for key in ("image_mean", "image_std"))
    tolerance = 2.5 / 255 / float(std.min())
    torch.testing.assert_close(network(images)[0], (middle - mean) / std, rtol=0, atol=tolerance)


# beside weights

NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(16, 5))
"""


@pytest.fixture
def there(tmp_path, monkeypatch, file):
    """A network, its weights and what stands beside them, and images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    space = {}
    exec(NET, space)
    torch.save(space["make"]().state_dict(), "w.pt")
    file(HALF)
    pixels = torch.rand(10, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images = (pixels * 255).round().to(torch.uint8)
    np.savez("images.npz", x=images.permute(0, 2, 3, 1).numpy(), y=np.arange(10) % 5)
    return images / 255


def load(name="net.py:make", weights="w.pt", **options):
    return load_model(
        name, n_classes=5, shape=(3, 12, 12), weights=Path(weights), **options
    )  # fmt: skip


def test_a_network_sees_what_stands_beside_its_weights(there, caplog):
    loaded = load()
    by_hand = load_model(
        "net.py:make", n_classes=5, shape=(3, 12, 12),
        preprocessing=read_preprocessing(mean="0.5,0.5,0.5", std="0.25,0.25,0.25"),
    )  # fmt: skip
    assert torch.equal(loaded.network(there), by_hand.network(there))
    assert loaded.preprocessing == f"{NORMALISED}, {BY}"
    assert caplog.messages == [f"net.py:make sees images {NORMALISED}, {BY} beside its weights"]


@pytest.mark.usefixtures("there")
def test_by_hand_goes_before_and_the_conflict_is_said(caplog, file):
    given = read_preprocessing(mean="0.1,0.1,0.1", std="0.2,0.2,0.2")
    assert load(preprocessing=given).preprocessing == str(given)
    assert "preprocessor_config.json beside w.pt says normalised by mean 0.5" in caplog.text
    caplog.clear()
    same = read_preprocessing(mean="0.5,0.5,0.5", std="0.25,0.25,0.25")
    assert load(preprocessing=same).preprocessing == str(same)
    assert caplog.text == ""
    file("{")  # what is replaced need not be sound
    assert load(preprocessing=given).preprocessing == str(given)


@pytest.mark.usefixtures("there")
def test_a_network_of_timm_sees_it_instead_of_its_configuration(caplog):
    torch.save(timm.create_model("resnet10t", num_classes=5).state_dict(), "t.pt")
    loaded = load("timm:resnet10t", "t.pt")
    assert loaded.preprocessing == f"{NORMALISED}, {BY}"
    assert len(loaded.network._forward_pre_hooks) == 1
    assert f"timm:resnet10t sees images {NORMALISED}, {BY} beside" in caplog.text


def test_where_it_is_known_otherwise_that_is_said(there, caplog):
    network = timm.create_model("simclr_at.cifar10")
    torch.save(network.state_dict(), "zoo.pt")
    loaded = load_model("simclr_at", dataset="cifar10", weights=Path("zoo.pt"))
    assert loaded.preprocessing == "none"
    assert (
        f"what simclr_at sees is known (images as they are), not {NORMALISED}, {BY}" in caplog.text
    )
    large = torch.nn.functional.interpolate(there, (32, 32))
    assert torch.equal(loaded.network(large), network.eval()(large))
