import numpy as np
import pytest

from clbench.schema.errors import BadValueError
from clbench.schema.numbers import LARGEST, read_batch_size, whole


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0),
        ("12", 12),
        (12, 12),
        (np.int64(5), 5),
        (np.uint8(5), 5),
        ("007", 7),
        ("-3", -3),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_plain_digits_are_a_number(value, number):
    assert whole("--n", value, -9, LARGEST) == number


@pytest.mark.parametrize(
    "value",
    [
        *("", " 1", "1 ", "+1", "1.0", "1e3", "0x10", "0b1", "1_000", "--1", "-", "one", "nan"),
        *("１２", "١٢", "²", "9" * 20, "1" * 6000, "1\n", "\x1b1"),  # noqa: RUF001
        *(
            2**63,
            2**70,
            -10,
            True,
            1.5,
            16.0,
            None,
            np.float32(2),
            np.True_,
            [3],
            pytest.param(10**6000, id="6001 digits"),
        ),
    ],
)
def test_anything_else_is_refused_in_a_short_line_that_says_the_range(value):
    with pytest.raises(BadValueError, match=r"^--n must be a whole number from -9 up, got") as one:
        whole("--n", value, -9, LARGEST)
    assert len(str(one.value)) < 150


def test_a_range_is_said():
    with pytest.raises(BadValueError, match=r"^--n must be a whole number from 0 to 7, got '8'$"):
        whole("--n", "8", 0, 7)


def test_a_batch_size_may_be_left_open():
    assert [read_batch_size(one) for one in (None, "auto", "4", 4)] == [None, None, 4, 4]
