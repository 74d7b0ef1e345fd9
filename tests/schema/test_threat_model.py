import inspect
import math
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from clbench.schema.errors import BadValueError
from clbench.schema.text import shown
from clbench.schema.threat_model import ThreatModel, format_eps, parse_eps, parse_norm


@pytest.mark.parametrize(
    ("text", "eps"),
    [("8/255", Fraction(8, 255)), ("0.5", Fraction(1, 2)), (".25", Fraction(1, 4)), ("0", 0)],
)
def test_eps_is_read_exactly(text, eps):
    assert parse_eps(text) == eps


@pytest.mark.parametrize("text", ["8/255px", "", "eight", "1/0", "8//255", "1e-2", "nan"])
def test_eps_that_is_no_number_is_refused(text):
    with pytest.raises(BadValueError, match=r"^eps must read like '8/255' or '0.5', got "):
        parse_eps(text)


@pytest.mark.parametrize("eps", ["1/255", "2/255", "3/255", "5/255", "8/255", "16/255"])
def test_small_eps_is_shown_in_pixel_steps(eps):
    assert format_eps(parse_eps(eps)) == eps


@pytest.mark.parametrize(("eps", "shown"), [("0.5", "1/2"), ("1/6", "1/6"), ("0", "0"), ("1", "1")])
def test_other_eps_is_shown_reduced(eps, shown):
    assert format_eps(parse_eps(eps)) == shown


def test_negative_eps_is_refused():
    with pytest.raises(BadValueError, match=r"^eps must not be negative, got '-8/255'$"):
        ThreatModel("Linf", parse_eps("-8/255"))


def test_linf_eps_above_the_pixel_range_is_refused_with_the_likely_meaning():
    with pytest.raises(BadValueError, match=r"got '8'; did you mean '8/255'\?$"):
        ThreatModel("Linf", parse_eps("8"))


def test_l2_eps_above_one_is_allowed():
    assert str(ThreatModel("L2", parse_eps("1.5"))) == "L2 3/2"


def test_unknown_norm_is_refused():
    with pytest.raises(BadValueError, match=r"^norm must be one of Linf, L2, L1, got 'L3'$"):
        parse_norm("L3")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("parse_eps(8 / 255)", "eps must be a text such as '8/255', or a Fraction, "),
        ("parse_eps(8 / 255)", "got 0.03137254901960784; did you mean '8/255'?"),
        ("ThreatModel('Linf', 0.03)", "eps must be exact, such as Fraction(8, 255), got 0.03"),
        ("ThreatModel('L3', Fraction(1, 2))", "norm must be one of Linf, L2, L1, got 'L3'"),
    ],
)
def test_what_is_not_exact_is_refused_also_where_no_types_are_checked(code, message):
    lines = "from fractions import Fraction\nfrom clbench.schema.threat_model import *\n"
    command = [sys.executable, "-c", lines + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("number", "meant"),
    [
        (8 / 255, "; did you mean '8/255'?"),
        (2 / 255, "; did you mean '2/255'?"),
        (np.float32(8 / 255), "; did you mean '8/255'?"),
        (np.float64(1 / 6), "; did you mean '1/6'?"),
        (0.5, "; did you mean '1/2'?"),
        (0.03, "; did you mean '3/100'?"),
        (Decimal("0.5"), "; did you mean '1/2'?"),
        (0, "; did you mean '0'?"),
        (8, "; did you mean '8/255', or in L2 and L1 '8'?"),
        (1.0, "; did you mean '1/255', or in L2 and L1 '1'?"),
        *((value, "") for value in (0.1234567, 0.031, 1.5, 255, -8, -0.5, 10**400, 1e-12)),
        *((value, "") for value in (math.nan, math.inf, True, None, b"8/255", ["8/255"])),
    ],
)
def test_a_number_that_is_not_exact_is_met_with_the_text_for_it(number, meant):
    parse = inspect.unwrap(parse_eps)  # without the tests' check of types
    with pytest.raises(BadValueError) as refused:
        parse(number)
    assert str(refused.value) == (
        "eps must be a text such as '8/255', or a Fraction, which are exact as no float is, "
        f"got {shown(number)}{meant}"
    )
