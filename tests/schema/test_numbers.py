import math

import numpy as np
import pytest

from clbench.schema.errors import BadValueError
from clbench.schema.numbers import LARGEST, read_batch_size, share, whole


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


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), ("1", 1), (".5", 0.5), ("0.584", 0.584), (0.25, 0.25), (0, 0), (1, 1), (1e-9, 1e-9)],
)
def test_a_share_is_a_number_from_0_to_1(value, expected):
    assert share("--robust-acc", value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-0.1",
        "1.1",
        "1e-1",
        "0,5",
        "1/2",
        "nan",
        "inf",
        "\u0660.\u0665",
        " 0.5",
        True,
        None,
        math.nan,
        [],
        2,
    ],
)
def test_what_is_no_share_is_refused_with_what_came(value):
    with pytest.raises(BadValueError, match=r"^--robust-acc must be a share from 0 to 1, got "):
        share("--robust-acc", value)


def test_a_percentage_is_asked_about():
    with pytest.raises(BadValueError, match=r"got '58.4'; did you mean 0.584\?$"):
        share("--robust-acc", "58.4")
