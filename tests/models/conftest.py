"""Small networks and files of weights."""

import pytest
import torch

from clbench.models import build_backbone, save_weights


@pytest.fixture
def make_network():
    """Return a factory of small networks in eval mode, different for each seed."""

    def make(seed=0, in_chans=1, num_classes=10):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_backbone("resnet18_w16", in_chans, num_classes).eval()

    return make


@pytest.fixture
def make_weights(make_network, tmp_path):
    """Return a factory of safetensors files with the weights of such a network."""

    def make(name="net.safetensors", *, half=False, **choices):
        save_weights(make_network(**choices), tmp_path / name, half=half)
        return tmp_path / name

    return make
