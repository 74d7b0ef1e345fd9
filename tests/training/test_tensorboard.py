import sys
from types import SimpleNamespace

import pytest

from clbench.schema.errors import InstallationError
from clbench.training.phases import Epoch
from clbench.training.tensorboard import tensorboard_writer


def test_without_tensorboard_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    message = r"^--tensorboard needs TensorBoard; pip install 'clbench\[tensorboard\]'$"
    with pytest.raises(InstallationError, match=message):
        tensorboard_writer(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_figure_of_an_epoch_is_a_scalar_of_its_phase(tmp_path, monkeypatch):
    written = []
    writer = SimpleNamespace(
        add_scalar=lambda *row: written.append(row), flush=lambda: written.append("flush")
    )
    folders = []

    def make(folder):
        folders.append(folder)
        return writer

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=make))
    write = tensorboard_writer(tmp_path)
    write(Epoch("pretraining", 3, 9, 0.1, 0.03, 1.5, None, None, 100.0, 2.0))
    write(Epoch("finetuning", 1, 9, 0.1, 0.0, 1.5, 0.9, 0.4, 100.0, 2.0))
    assert folders == [str(tmp_path / "tensorboard")]
    assert written == [
        ("pretraining/loss", 1.5, 3),
        ("pretraining/lr", 0.1, 3),
        ("pretraining/eps", 0.03, 3),
        ("pretraining/images_per_second", 100.0, 3),
        "flush",
        ("finetuning/loss", 1.5, 1),
        ("finetuning/lr", 0.1, 1),
        ("finetuning/eps", 0.0, 1),
        ("finetuning/clean_acc", 0.9, 1),
        ("finetuning/robust_acc", 0.4, 1),
        ("finetuning/images_per_second", 100.0, 1),
        "flush",
    ]
