"""Small networks, and folders that an installer could have written."""

import base64
import hashlib

import pytest
import torch
from torch import nn


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution into a folder at the front of the path.

    ``files`` are written and recorded; a later one overwrites an earlier one's, as with pip.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def add(name, version, files, requires=()):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        record = ""
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
            record += f"{path},sha256={_digest(text.encode())},{len(text)}\n"
        (info / "RECORD").write_text(record)
        return folder

    return add


@pytest.fixture
def network():
    """A small network on images of 3x8x8, ten classes, in eval mode."""
    layers = nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10)
    return nn.Sequential(*layers).eval()


@pytest.fixture
def images():
    return torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels(network, images):
    """What the network says, but for the first image."""
    with torch.no_grad():
        predicted = network(images).argmax(dim=1)
    predicted[0] = (predicted[0] + 1) % 10
    return predicted
