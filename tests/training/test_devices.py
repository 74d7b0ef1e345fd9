import pytest
import torch

from clbench.schema.errors import BadValueError
from clbench.training.devices import make_fabric


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda", "cuda:1", ""])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = rf"^--device must be auto or one of cpu here, got '{device}'$"
    with pytest.raises(BadValueError, match=message):
        make_fabric(device, "float32")
    assert make_fabric("auto", "float32").device.type == "cpu"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_products_have_the_precision_asked_for(precision, dtype):
    fabric = make_fabric("cpu", precision)
    with fabric.autocast():
        assert (torch.rand(2, 2) @ torch.rand(2, 2)).dtype == dtype
    assert fabric.world_size == 1
