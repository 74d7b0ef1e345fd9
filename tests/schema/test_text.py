import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some

from clbench.schema.names import closest, spelled, unknown
from clbench.schema.text import no_formula, visible

ANYTHING = some.text(
    some.characters(categories=None) | some.sampled_from("\x1b\n\r\t\u202e\u2066\udcff=+-@[/]")
)


@given(ANYTHING)
def test_what_is_visible_is_one_line_that_does_nothing(text):
    shown = visible(text)
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert isinstance(shown.encode(), bytes)
    assert visible(shown) == shown


@given(some.text(some.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_what_can_be_seen_stays(text):
    assert visible(text) == text


@given(ANYTHING)
def test_no_text_is_a_formula(text):
    assert not no_formula(text).lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("unbiased", ["debiased", "biased"], "debiased"),
        ("cifar10", ["cifar10-l2", "cifar10-linf", "cifar100-linf"], "cifar10-linf"),
        ("cifar100", ["cifar10-linf", "cifar100-linf"], "cifar100-linf"),
        ("digits", ["cifar10-linf", "digits-linf"], "digits-linf"),
        ("fgsm", ["pgd", "torchattacks:FGSM"], "torchattacks:FGSM"),
        ("MIFGSM", ["torchattacks:MIFGSM", "torchattacks:NIFGSM"], "torchattacks:MIFGSM"),
        ("squar", ["square", "torchattacks:Square"], "square"),
        ("simclr_att", ["supcon_at", "simclr_at"], "simclr_at"),
        ("xyzzy", ["simclr_at"], None),
        ("", ["simclr_at"], None),
        ("x" * 10**6, ["x"], None),
    ],
)
def test_a_hint_is_what_was_meant(name, known, expected):
    assert closest(name, known) == expected


def test_names_are_found_in_any_capitals_unless_two_are_alike():
    assert spelled("SIMCLR_AT", ["simclr_at"]) == "simclr_at"
    assert spelled("pgd", ["PGD", "Pgd"]) == "pgd"
    assert spelled("Pgd", ["PGD", "Pgd"]) == "Pgd"


def test_no_error_lists_seventy_names():
    names = [f"attack number {i}" for i in range(70)]
    assert str(unknown("x", names, "attack")) == "unknown attack 'x'; clbench attacks lists them"
    assert len(str(unknown("x", names, "colour"))) < 250
