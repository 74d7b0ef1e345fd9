"""What users write after ``--attack``."""

import subprocess
import sys

import pytest

from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.backends.native import NATIVE
from clbench.attacks.grammar import (
    ATTACKS,
    BACKEND_NAMES,
    NATIVE_ROWS,
    check_attack,
    read_attack,
)
from clbench.attacks.registry import BACKENDS, bind, plan_attack
from clbench.schema.errors import BadValueError, ClbenchError, UnknownNameError


def components(text, norm="Linf", n_classes=10):
    return read_attack(text, norm, n_classes).parameters


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("apgd-ce,n_iter=50 + square", ["apgd-ce", "square"]),
        ("apgd-ce+square", ["apgd-ce", "square"]),
        ("  pgd,steps=3  +  fab  ", ["pgd", "fab"]),
        ("autoattack + pgd", ["apgd-ce", "apgd-t", "fab-t", "square", "pgd"]),
        ("standard + pgd", ["apgd-ce", "apgd-t", "fab-t", "square", "pgd"]),
        ("PGD + Square", ["pgd", "square"]),
        ("torchattacks:mifgsm,steps=3 + pgd", ["torchattacks:MIFGSM", "pgd"]),
    ],
)
def test_several_attacks_are_a_cascade(text, names):
    spec = read_attack(text, "Linf", 10)
    assert [one.name for one in spec.components] == names
    assert " + ".join(spec.parameters) == spec.name or "autoattack" in spec.name
    assert [step.name for step in bind(plan_attack(text, "Linf", 10), 10)] == names


def test_the_options_of_each_attack_are_its_own():
    found = components("apgd-ce,n_iter=50 + square,n_queries=7 + pgd,steps=3")
    assert found["apgd-ce"]["n_iter"] == 50
    assert found["square"]["n_queries"] == 7
    assert found["pgd"]["steps"] == 3


def test_the_hash_of_a_cascade_is_its_own():
    texts = [
        *("pgd", "square", "pgd + square", "square + pgd", "pgd,steps=3 + square", "autoattack"),
        *("apgd-ce + apgd-t + fab-t + square", "autoattack + pgd", "pgd + autoattack"),
    ]
    assert len({read_attack(text, "Linf", 10).hash for text in texts}) == len(texts)
    spaced = {read_attack(text, "Linf", 10).hash for text in ("pgd+square", " pgd  +  square ")}
    assert spaced == {read_attack("pgd + square", "Linf", 10).hash}


def test_too_few_classes_are_flagged_in_a_cascade_too():
    spec = read_attack("autoattack + pgd", "Linf", 2)
    assert spec.flags == ("few_classes",)
    assert [one.name for one in spec.components] == ["apgd-ce", "square", "pgd"] or spec.components


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("pgd,n_iter=7", "pgd,steps=7"),
        ("pgd,alpha=1/100", "pgd,step_size=1/100"),
        ("pgd,n_restarts=2", "pgd,restarts=2"),
        ("apgd-ce,steps=7", "apgd-ce,n_iter=7"),
        ("apgd-t,restarts=2,steps=9", "apgd-t,n_restarts=2,n_iter=9"),
        ("fab,steps=7", "fab,n_iter=7"),
        ("square,restarts=2", "square,n_restarts=2"),
        ("torchattacks:PGD,n_iter=7,step_size=1/100", "torchattacks:PGD,steps=7,alpha=1/100"),
        ("torchattacks:pgd,steps=7", "torchattacks:PGD,steps=7"),
        ("AutoAttack", "autoattack"),
        ("standard", "autoattack"),
        ("Rand", "autoattack-rand"),
        ("APGD-CE,n_iter=3", "apgd-ce,n_iter=3"),
        ("pgd, steps = 7 , start = zero", "pgd,steps=7,start=zero"),
        ("pgd,step_size=1e-2", "pgd,step_size=0.01"),
    ],
)
def test_other_spellings_are_the_same_attack(text, same):
    check_attack(text)
    assert read_attack(text, "Linf", 10).hash == read_attack(same, "Linf", 10).hash


BAD = {
    "pgd + pgd,restarts=5": "a cascade has each attack once, got 'pgd' twice",
    "autoattack + square": "got 'square' twice",
    "pgd +": "--attack must read like 'apgd-ce,n_iter=50 + square', got 'pgd +'",
    "+ pgd": "--attack must read like",
    "pgd ++ square": "--attack must read like",
    "": "--attack must read like",
    "pgd + squar": "unknown attack 'squar'; did you mean 'square'?",
    "fgsm": "unknown attack 'fgsm'; did you mean 'torchattacks:FGSM'?",
    "apgd": "did you mean 'apgd-ce'?",
    "aa": "did you mean 'autoattack'?",
    "xyzzy": "unknown attack 'xyzzy'; clbench attacks lists them",
    "x" * 6000: "clbench attacks lists them",
    "pgd,steps=1,n_iter=2": "option 'steps' of attack 'pgd' is given twice",
    "pgd,n_queries=3": "unknown option of attack 'pgd' 'n_queries'",
    "pgd,steps=１２": "must be a count from 1 to 2147483647, got '１２'",  # noqa: RUF001
    "pgd,steps=1e3": "must be a count from 1 to 2147483647, got '1e3'",
    "pgd,steps=0x10": "must be a count",
    "pgd,steps=1_000": "must be a count",
    "pgd,steps=-1": "must be a count",
    "pgd,steps=4294967296": "must be a count",
    "pgd,steps=99999999999999999999": "must be a count",
    "pgd,steps=" + 6000 * "1": "must be a count",
    "pgd,step_size=１": "must be a number above 0",  # noqa: RUF001
    "pgd,step_size=1e999999999": "must be a number above 0",
    "pgd,step_size=" + 6000 * "1": "must be a number above 0",
    "pgd,step_size=1/0": "must be a number above 0",
    "pgd,step_size=inf": "must be a number above 0",
    "pgd,step_size=nan": "must be a number above 0",
    "pgd,step_size=-0.1": "must be a number above 0",
    "pgd,start=maybe": "must be one of random, zero, got 'maybe'",
    "pgd,steps": "read like 'steps=40', got 'steps'",
    "autoattack,n_iter=3": "takes no options",
    "torchattacks:autoattack": "it is not AutoAttack",
    "torchattacks:OnePixel": "covers L0 only",
    "fab\x1b[31m": r"unknown attack 'fab\x1b[31m'",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_text_is_met_with_one_line_before_and_after_torch(text):
    for read in (check_attack, lambda one: read_attack(one, "Linf", 10)):
        with pytest.raises((UnknownNameError, BadValueError)) as caught:
            read(text)
        assert BAD[text] in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_found_in_any_capitals(name):
    for text in (name.upper(), name.lower(), name.title()):
        try:
            check_attack(text)
        except ClbenchError as error:
            pytest.fail(str(error))


def test_every_native_attack_has_its_row():
    assert NATIVE.keys() == {row.name for row in (*AUTOATTACK, *NATIVE_ROWS)}


def test_backends_are_those_that_there_are():
    assert set(BACKEND_NAMES) == {"auto", "clbench", *BACKENDS}


def test_reading_an_attack_loads_no_torch():
    code = """
import sys
from clbench.attacks.grammar import check_attack
check_attack("apgd-ce,n_iter=50 + square + torchattacks:PGD,steps=3 + pgd")
assert not {"torch", "numpy", "torchattacks"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
