"""What numbers must agree in to be ranked together."""

from fractions import Fraction
from typing import NamedTuple


class Group(NamedTuple):
    """Content and number of the images, threat model and attack; "" where nothing was attacked.

    The name of the data does not count: two files of one name may hold different images, and one
    set of images may bear two names.
    """

    data_sha256: str
    n_examples: int
    norm: str
    eps: Fraction
    attack_hash: str
