import random

import pytest

from clbench.schema.errors import BadValueError
from clbench.schema.files import seal, unseal
from clbench.testing.damage import flipped

DATA = bytes(range(256)) * 3 + b"\n\n"


@pytest.mark.parametrize("data", [b"", b"\n", DATA])
def test_what_was_sealed_comes_back(data):
    assert unseal(seal(data)) == data


def test_every_flipped_bit_is_found():
    sealed = seal(DATA)
    for place in range(8 * len(sealed)):
        with pytest.raises(BadValueError, match=r"its (content|last line)"):
            unseal(flipped(sealed, place))


def test_every_truncation_is_found():
    sealed = seal(DATA)
    for length in range(len(sealed)):
        with pytest.raises(BadValueError, match=r"its (content|last line)"):
            unseal(sealed[:length])


def test_zeroed_and_exchanged_blocks_are_found():
    sealed, chance = seal(DATA), random.Random(0)
    for _ in range(50):
        start = chance.randrange(len(sealed) - 64)
        zeroed = sealed[:start] + bytes(64) + sealed[start + 64 :]
        with pytest.raises(BadValueError, match=r"its (content|last line)"):
            unseal(zeroed)


def test_what_was_never_sealed_is_refused():
    with pytest.raises(BadValueError, match=r"^its last line holds no checksum$"):
        unseal(DATA)
