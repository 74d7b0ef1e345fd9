"""Debiased CKA of a Gaussian kernel: nearby examples count, as far as the typical distance.

The kernel is exp(-d^2 / (2 m^2)), with m the median distance between two of the examples that are
seen together, so the value does not depend on the scale of the features.

Source:
    Kornblith et al., 2019, arXiv:1905.00414, section 3 (with a bandwidth of 1.0 of the median).
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clbench.probes.similarity.gram import u_centred
from clbench.probes.similarity.rows import distances


def reduce(features: Float[Tensor, " n *shape"]) -> Float64[Tensor, "n n"]:
    """Return the U-centred matrix of the kernel; zero where no two examples differ."""
    apart = distances(features)
    one, other = torch.triu_indices(len(apart), len(apart), offset=1, device=apart.device)
    middle = apart[one, other].quantile(0.5) if len(one) else apart.new_tensor(0.0)
    if not middle > 0:
        return torch.zeros_like(apart)
    return u_centred(torch.exp(-0.5 * (apart / middle).square()))
