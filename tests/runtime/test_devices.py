import pytest
import torch

from clbench.runtime.devices import device_name, find_device
from clbench.schema.errors import BadValueError


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(
        BadValueError, match=r"^--device must be auto or one of cpu.* here, got 'x'"
    ):
        find_device("x")


def test_the_cuda_device_needs_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(
        BadValueError, match=r"^--device must be auto or one of cpu here, got 'cuda'"
    ):
        find_device("cuda")
    assert find_device("auto").type == "cpu"


def test_devices_are_taken_where_they_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("auto") == torch.device("cuda:0")
    assert find_device("cuda:1") == torch.device("cuda:1")


def test_a_cpu_has_no_other_name():
    assert device_name(torch.device("cpu")) == "cpu"
