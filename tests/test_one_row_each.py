"""What comes later is one row: a data set and a loss that nothing else knows of are used."""

import torch
from torch.nn import functional

import clbench
from clbench.data.datasets import DATASETS
from clbench.data.interface import DatasetInfo, Examples
from clbench.training.losses import LOSSES, Loss


def read_stripes(info, split, *, data_dir, download):
    """Images whose bright column says their class."""
    n = {"train": 40, "validation": 10, "test": 20}[split]
    labels = torch.arange(n) % 4
    images = torch.full((n, *info.shape), 0.2)
    for i, label in enumerate(labels):
        images[i, :, :, 2 * label] = 0.9
    return Examples(images, labels)


def margin(outputs, labels, weights):
    logits = outputs.float().flatten(0, 1)
    return functional.multi_margin_loss(logits, labels.repeat(len(outputs)))


def test_a_data_set_is_one_row(monkeypatch, tmp_path):
    row = DatasetInfo("stripes", (1, 8, 8), 4, 20, read_stripes, packaged=True)
    monkeypatch.setitem(DATASETS, "stripes", row)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    done = clbench.evaluate(
        network, data="stripes", eps="1/10", attack="pgd,steps=2", n_examples=12, out=tmp_path
    )
    assert (done.record.data.name, done.record.data.n) == ("stripes", 12)
    assert (tmp_path / "leaderboard.csv").read_text().count(",stripes,") == 1


def test_a_loss_is_one_row(monkeypatch, tmp_path):
    like = LOSSES["cross_entropy"]
    row = Loss(**{**vars(like), "compute": margin})
    monkeypatch.setitem(LOSSES, "margin", row)
    changes = {"pretraining.loss": "margin", "pretraining.epochs": "3"}
    told = []
    trained = clbench.train("supervised_st", out=tmp_path, changes=changes, on_epoch=told.append)
    assert trained.record.recipe["pretraining"]["loss"] == "margin"
    assert told[-1].loss < 0.9 * told[0].loss
