"""What a user says stands before a network becomes a part of it, of its record and its identity."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import clbench
from clbench.models.load import load_model
from clbench.models.preprocessing import of_words, read_preprocessing
from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.record_files import record_files

MEAN, STD = (0.49, 0.48, 0.44), (0.2, 0.19, 0.201)
NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(16, 5))


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = make()

    def forward(self, x):
        mean, std = (torch.tensor(one).reshape(3, 1, 1)
                     for one in ([0.49, 0.48, 0.44], [0.2, 0.19, 0.201]))
        return self.inner((x - mean) / std)
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    pixels = torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images = (pixels * 255).round().to(torch.uint8)
    labels = np.arange(30) % 5
    np.savez("images.npz", x=images.permute(0, 2, 3, 1).numpy(), y=labels)
    return images / 255


def load(name, **given):
    return load_model(
        name, n_classes=5, shape=(3, 12, 12), preprocessing=read_preprocessing(**given)
    )


def test_a_normalisation_is_that_of_a_network_that_does_it_itself(there):
    by_hand = load("net.py:make", mean=MEAN, std=STD)
    itself = load("net.py:Around")
    assert torch.allclose(by_hand.network(there), itself.network(there), atol=1e-5)
    assert by_hand.preprocessing.startswith("normalised by mean 0.49,0.48,0.44 and std")


def test_images_are_resized_and_cut_first(there):
    plain = load("net.py:make").network
    seen = load("net.py:make", resize=24, crop=20, interpolation="nearest").network(there)
    larger = there.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, 2:22, 2:22]
    assert torch.allclose(seen, plain(larger), atol=1e-6)


def test_gradients_pass(there):
    network = load("net.py:make", resize=24, mean=MEAN, std=STD).network
    images = there.clone().requires_grad_()
    network(images).sum().backward()
    assert (images.grad.flatten(1).abs().amax(1) > 0).all()


def test_a_network_of_timm_sees_it_instead_of_its_configuration(there):
    torch.manual_seed(0)
    mine = load_model(
        "timm:resnet10t", n_classes=5, shape=(3, 12, 12), weights=weights(),
        preprocessing=read_preprocessing(mean=MEAN, std=STD),
    )  # fmt: skip
    assert mine.preprocessing == str(read_preprocessing(mean=MEAN, std=STD))
    assert len(mine.network._forward_pre_hooks) == 1


def weights():
    torch.save(timm.create_model("resnet10t", num_classes=5).state_dict(), "w.pt")
    return Path("w.pt")


@pytest.mark.parametrize(
    "given",
    [
        {"mean": "0.5,0.4,0.3", "std": "0.1,0.2,0.3"},
        {"mean": [1 / 3], "std": [1e-7]},
        {"resize": 256, "crop": 224},
        {"resize": 256, "interpolation": "bicubic"},
        {"crop": 24},
        {"mean": (0.1,), "std": (0.2,), "resize": 32, "crop": 32, "interpolation": "nearest"},
    ],
)
def test_words_of_a_record_give_it_back(given):
    found = read_preprocessing(**given)
    assert of_words(str(found)) == found


@pytest.mark.parametrize("words", [None, "", "none", "normalised by mean 0.5 and std 0.5"])
def test_other_words_give_none(words):
    assert of_words(words) is None


WRONG = {
    "mean alone": ({"mean": "0.5"}, "give --mean and --std together, got no std"),
    "std alone": ({"std": "0.5"}, "give --mean and --std together, got no mean"),
    "no numbers": ({"mean": "a,b,c", "std": "1,1,1"}, "mean must be a number per channel"),
    "nothing": ({"mean": "", "std": ""}, "mean must be a number per channel"),
    "not finite": ({"mean": "nan", "std": "1"}, "mean must be a number per channel"),
    "other channels": ({"mean": "0.5", "std": "1,1"}, "std must be above 0, one number for each"),
    "no deviation": ({"mean": "0.5", "std": "0"}, "std must be above 0"),
    "of bytes": ({"resize": 0}, "--resize must be"),
    "huge": ({"resize": 10**6}, "--resize must be"),
    "half a side": ({"crop": "2.5"}, "--crop must be"),
    "cut larger than resized": ({"resize": 24, "crop": 32}, "--crop must be at most --resize, 24"),
    "nothing to interpolate": ({"interpolation": "bicubic"}, "no effect without --resize"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_in_one_line(case):
    given, says = WRONG[case]
    with pytest.raises(BadValueError, match=says) as caught:
        read_preprocessing(**given)
    assert "\n" not in str(caught.value)


def test_an_interpolation_that_there_is_not_is_refused():
    with pytest.raises(UnknownNameError, match="interpolation"):
        read_preprocessing(resize=8, interpolation="cubic")


def test_channels_must_be_those_of_the_images(there):
    with pytest.raises(BadValueError, match="--mean must be 3 numbers, one for each channel"):
        load("net.py:make", mean="0.5", std="0.5")


@pytest.mark.parametrize("name", ["supervised_at", "timm:supervised_at.cifar10"])
def test_where_it_is_known_it_is_refused(name):
    with pytest.raises(BadValueError, match=r"sees is known \(images as they are\), got"):
        load_model(name, dataset="cifar10", preprocessing=read_preprocessing(mean=MEAN, std=STD))


def test_a_network_in_memory_stays_as_it_is(there):
    network = load("net.py:make").network
    with pytest.raises(BadValueError, match=r"sees is known \(what it does itself\)"):
        clbench.evaluate(network, data="images.npz", eps="1/25", mean=MEAN, std=STD)
    assert not network._forward_pre_hooks


def test_a_record_tells_it_and_verify_asks_with_it(there, tmp_path):
    given = {"data": "images.npz", "eps": "1/25", "attack": "pgd,steps=3", "probe": False}
    seen = clbench.evaluate("net.py:make", mean=MEAN, std=STD, out="out", **given).record
    plain = clbench.evaluate("net.py:make", out="out", **given).record
    assert seen.model.preprocessing == str(read_preprocessing(mean=MEAN, std=STD))
    assert plain.model.preprocessing is None
    assert seen.run.hash != plain.run.hash
    for path in record_files(tmp_path / "out"):
        found = clbench.verify(path, level=2, model="net.py:make", data="images.npz")
        assert found.problems == ()
