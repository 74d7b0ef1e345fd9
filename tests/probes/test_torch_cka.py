"""The engine against the package that made the matrices of arXiv:2302.02502."""

import numpy as np
import torch
import torch_cka
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clbench.probes.layers import select_layers
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, Representation

LAYERS = ["conv", "act", "pool", "fc"]


class Plain(nn.Module):
    """Overwrites nothing: torch_cka keeps what later layers may change."""

    def __init__(self, width):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, width, 3), nn.Tanh()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(2), nn.Linear(4 * width, 5)

    def forward(self, x):
        return self.fc(self.pool(self.act(self.conv(x))).flatten(1))


def test_values_are_those_of_torch_cka_on_an_ordered_loader(seen_together):
    networks = {"rows": Plain(6).eval(), "columns": Plain(8).eval()}
    images = torch.randn(192, 3, 8, 8)
    representations = [
        Representation(name, network, Inputs(images), select_layers(network, LAYERS))
        for name, network in networks.items()
    ]
    block = compare(representations, device=torch.device("cpu"), batch_size=32).matrix(
        "rows", "columns"
    )
    theirs = torch_cka.CKA(*networks.values(), *networks, LAYERS, LAYERS, device="cpu")
    loader = DataLoader(TensorDataset(images[torch.cat(seen_together(192, 32))]), batch_size=32)
    with torch.no_grad():
        theirs.compare(loader, loader)
    assert block.rows.layers == block.columns.layers == tuple(LAYERS)
    assert np.abs(block.values - theirs.export()["CKA"].numpy()).max() < 1e-4
    assert block.values.min() < 0.9
