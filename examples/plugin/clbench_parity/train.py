"""``python -m clbench_parity.train``: makes the weights, in a few seconds."""

import torch
from safetensors.torch import save_file

from clbench_parity.data import training_images
from clbench_parity.model import WEIGHTS, network

EPOCHS, RATE = 300, 1e-2


def train() -> None:
    """Fit the network to all training images at once, and write its weights."""
    torch.manual_seed(0)
    images, labels = map(torch.from_numpy, training_images())
    trained = network()
    optimizer = torch.optim.Adam(trained.parameters(), RATE)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(trained(images), labels).backward()
        optimizer.step()
    save_file(trained.state_dict(), WEIGHTS)


if __name__ == "__main__":
    train()
