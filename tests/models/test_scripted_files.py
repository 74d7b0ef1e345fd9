"""Files that torch.jit and torch.export wrote, named as a model."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import clbench
from clbench.models.argument import read_argument
from clbench.models.interface import LoadedModel
from clbench.models.names import graph_first
from clbench.models.preprocessing import read_preprocessing
from clbench.models.resolve import check_model
from clbench.schema.errors import BadValueError, ModelError, UnknownNameError, WeightsError
from clbench.schema.record_files import record_files
from tests.models.strange import (
    FixedView,
    compiled_in_place,
    exported,
    exported_for_any_batch,
    plain,
)

SOME = 20
GIVEN = {"data": "d.npz", "eps": "3/100", "attack": "pgd,steps=3"}


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = plain()

    def forward(self, x):
        return {"z": self.inner(x), "f": x.flatten(1)}


WRITTEN = {
    "scripted": (lambda: torch.jit.script(plain()), {}),
    "traced": (lambda: torch.jit.trace(plain(), torch.rand(2, 1, 8, 8)), {}),
    "traced for five images": (
        lambda: torch.jit.trace(FixedView().eval(), torch.rand(5, 1, 8, 8)),
        {},
    ),
    "frozen": (lambda: torch.jit.freeze(torch.jit.script(plain())), {}),
    "in training mode": (lambda: torch.jit.script(plain().train()), {}),
    "in double precision": (lambda: torch.jit.script(plain().double()), {}),
    "returns a dictionary": (lambda: torch.jit.script(Two()), {"output": "z"}),
}


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = torch.rand(SOME, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        labels = plain()(images).argmax(1)
    np.savez("d.npz", x=images.permute(0, 2, 3, 1).numpy(), y=labels.numpy())
    return tmp_path


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_of_torch_jit_is_the_network_that_it_was_written_from(name, there):
    make, own = WRITTEN[name]
    torch.jit.save(make(), "net.pt")
    done = clbench.evaluate("net.pt", out="out", **GIVEN, **own)
    wanted = clbench.evaluate(plain(), **GIVEN)
    assert list(done.examples.broken_by) == list(wanted.examples.broken_by)
    assert 0 < done.record.measure("robust_acc").value < 1
    assert done.record.flags == ()
    model = done.record.model
    assert (model.name, model.backbone) == ("net.pt", "TorchScript")
    (path,) = record_files(there / "out")
    assert clbench.verify(path, level=2, model="net.pt", data="d.npz").problems == ()


@pytest.mark.parametrize("ending", ["pt", "pth", "ts", "torchscript", "bin"])
def test_what_it_is_called_does_not_matter(ending, there):
    torch.jit.save(torch.jit.script(plain()), f"net.{ending}")
    loaded = clbench.evaluate(f"mine=./net.{ending}", probe=False, **GIVEN).record.model
    assert loaded.name == "mine"


def test_two_files_are_two_runs(there):
    other = plain()
    with torch.no_grad():
        other.fc.bias += 1
    torch.jit.save(torch.jit.script(plain()), "a.pt")
    torch.jit.save(torch.jit.script(other), "b.pt")
    one, two = (clbench.evaluate(f"net={file}.pt", probe=False, **GIVEN) for file in "ab")
    assert one.record.run.hash != two.record.run.hash


def test_it_is_found_before_several_are_run(there):
    torch.jit.save(torch.jit.script(plain()), "net.pt")
    for name in ("net.pt", "mine=net.pt"):
        check_model(name, dataset=None)


def test_what_is_said_to_stand_before_it_becomes_a_part_of_it(there):
    torch.jit.save(torch.jit.script(plain()), "net.pt")
    done = clbench.evaluate("net.pt", mean="0.5", std="0.5", **GIVEN).record
    seen = nn.Sequential(Shifted(), plain()).eval()
    wanted = clbench.evaluate(seen, **GIVEN).record
    assert done.model.preprocessing == "normalised by mean 0.5 and std 0.5, by hand"
    for name in ("clean_acc", "robust_acc"):
        assert done.measure(name).value == wanted.measure(name).value


class Shifted(nn.Module):
    def forward(self, x):
        return (x - 0.5) / 0.5


OTHERS = {
    "compiled": lambda: torch.compile(plain(), backend="aot_eager"),
    "compiled in place": compiled_in_place,
    "exported for four images": lambda: exported(4),
    "exported for any number": exported_for_any_batch,
    "symbolically traced": lambda: torch.fx.symbolic_trace(plain()),
    "traced": lambda: torch.jit.trace(plain(), torch.rand(2, 1, 8, 8)),
    "data parallel": lambda: nn.DataParallel(plain()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_it_becomes_a_part_of_other_graphs_too(name, there):
    images = torch.rand(4, 1, 8, 8)
    loaded = LoadedModel(OTHERS[name](), name)
    seen = loaded.seeing(read_preprocessing(mean="0.5", std="0.25"), 1)
    with torch.no_grad():
        found, wanted = seen.network(images), plain()((images - 0.5) / 0.25)
    assert torch.allclose(found, wanted, atol=1e-5)


def write_exported():
    torch.export.save(torch.export.export(plain(), (torch.rand(2, 1, 8, 8),)), "net.pt2")


def write_cut_off():
    torch.jit.save(torch.jit.script(plain()), "whole.pt")
    data = Path("whole.pt").read_bytes()
    Path("net.pt2").write_bytes(data[: len(data) // 2])


def write_altered():
    torch.jit.save(torch.jit.script(plain()), "whole.pt")
    with zipfile.ZipFile("whole.pt") as old, zipfile.ZipFile("net.pt2", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"def forward", b"fed forward"))


REFUSED = {
    "of torch.export": (
        write_exported,
        ModelError,
        "torch.export.load('net.pt2').module()",
    ),
    "cut off": (write_cut_off, UnknownNameError, "net.pt2"),
    "altered": (write_altered, ModelError, "of torch.jit cannot be read"),
    "weights": (
        lambda: torch.save(plain().state_dict(), "net.pt2"),
        UnknownNameError,
        "net.pt2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_is_refused_in_one_line(name, there):
    write, error, says = REFUSED[name]
    write()
    with pytest.raises(error, match=re.escape(says)) as caught:
        clbench.evaluate("net.pt2", **GIVEN)
    assert "\n" not in str(caught.value)


def test_weights_beside_it_are_refused(there):
    torch.jit.save(torch.jit.script(plain()), "net.pt")
    torch.save(plain().state_dict(), "w.pt")
    with pytest.raises(BadValueError, match=r"has its weights, got w\.pt too"):
        clbench.evaluate("net.pt", weights="w.pt", **GIVEN)


def test_it_is_no_file_of_weights(there):
    torch.jit.save(torch.jit.script(plain()), "net.pt")
    with pytest.raises(WeightsError, match=r"compiled by torch\.jit with its code"):
        clbench.evaluate("simclr_at", weights="net.pt", n_examples=4)
    given = read_argument("mine=w.pt")
    torch.save(plain().state_dict(), "w.pt")
    assert graph_first(given) == given
