import sys
from typing import NamedTuple

import numpy as np
import pytest


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def clbench(monkeypatch, capsys):
    """Return a function that runs the command as a shell would, in this process."""

    def run(*arguments, columns=200):
        from clbench.cli import main

        monkeypatch.setattr(sys, "argv", ["clbench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture
def images(tmp_path):
    """Return a function that writes 8x8 images with four classes that a linear model can tell."""

    def write(name="images.npz", **changes):
        x = np.zeros((12, 8, 8, 1), dtype=np.float32)
        y = np.arange(12) % 4
        for i, label in enumerate(y):
            x[i, 2 * label : 2 * label + 2] = 0.9
        np.savez(tmp_path / name, **({"x": x, "y": y} | changes))
        return tmp_path / name

    return write


@pytest.fixture
def net(tmp_path):
    """Return a function that writes a file with a factory, and returns its ``FILE.py:FACTORY``."""

    def write(body="return Bands()"):
        file = tmp_path / "net.py"
        file.write_text(f"""
import torch

class Bands(torch.nn.Module):
    '''How bright each of the four bands of the image is.'''

    def forward(self, images):
        return images.reshape(len(images), 4, 16).mean(dim=2)

class Noise(torch.nn.Module):
    def forward(self, logits):
        return logits + 0.1 * torch.randn_like(logits)

def make_net():
    {body}
""")
        return f"{file}:make_net"

    return write
