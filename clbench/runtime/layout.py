"""How tensors lie in memory."""

from torch import Tensor


def row_major(tensor: Tensor) -> Tensor:
    """Return a tensor whose strides are in the order of its axes, the same one where they are.

    ``contiguous`` is not enough: of images with a single channel, those with the channel last count
    as contiguous too, and a convolution of them gives features that a ``view`` refuses.
    """
    return tensor.contiguous().reshape(-1).view(tensor.shape)
