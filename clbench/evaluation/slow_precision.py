"""A word where attacks take longer in the precision that was asked for."""

import logging

import torch
from torch import nn

from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.devices import device_name
from clbench.runtime.precision import is_slower, slowdown
from clbench.schema.names import PRECISIONS, Precision

log = logging.getLogger(__name__)

_MOST = 128


def tell_if_slow(
    network: nn.Module, images: ImageSet, device: torch.device, precision: str
) -> None:
    """Log by how much bfloat16 is slower, measured on the network itself; that is not counted.

    Raises:
        ModelError: The network fails in bfloat16.
    """
    if precision != "bfloat16":
        return
    network.to(device)
    some = images.images[:_MOST].to(device)
    models = {one: AttackedModel(network, one) for one in PRECISIONS}

    def passes(n: int, one: Precision) -> None:
        leaf = some[:n].clone().requires_grad_()
        torch.autograd.grad(models[one](leaf).sum(), leaf)

    with exact_arithmetic(), left_as_found(network), torch.enable_grad():
        ratio = slowdown(passes, device, most=len(some))
    if is_slower(ratio):
        log.warning(
            "attacks take %.1f times as long in bfloat16 as in float32 on this %s, measured on "
            "this network; --precision float32 is quicker",
            *(ratio, device_name(device)),
        )
