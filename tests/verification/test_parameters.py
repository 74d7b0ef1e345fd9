"""What attacks set their parameters to is no problem, and every other spelling of it is one."""

import numpy as np
import pytest

from clbench.attacks.grammar import COMPONENTS, read_attack
from clbench.attacks.torchattacks_rows import PREFIX
from clbench.evaluation.evidence import Evidence
from clbench.schema.attack_spec import attack_hash
from clbench.schema.records import AttackEntry, ThreatEntry
from clbench.verification.findings import Stored
from clbench.verification.parameters import of_packaged, of_parameters

CASES = [(name, norm) for name, row in COMPONENTS.items() for norm in row.norms]


def spellings(value):
    """Return values that mean the same to a reader, and others that mean nothing."""
    same = {int: (float, str), float: (str,), bool: (int, str), str: (str.upper, "{} ".format)}
    others = (-1, -0.5, float("nan"), float("inf"), 10**12, "x", "")
    is_one = type(value) is int and value == 1
    return [*(of(value) for of in same[type(value)]), *others, *([True] * is_one)]


@pytest.fixture
def problems(make_record, tmp_path):
    """Return a function that says what is wrong with a component's parameters for ten classes."""
    none = np.zeros(0, int)
    evidence = Evidence("", none, none, none, none, none.astype("U"), logits=np.zeros((0, 10)))

    def of(name, norm, parameters):
        said = {name: parameters}
        attack = AttackEntry(name, "native", said, attack_hash(name, said))
        record = make_record(attack=attack, threat_model=ThreatEntry(norm, "1/2"))
        look = of_packaged if name.startswith(PREFIX) else of_parameters
        return list(map(str, look(Stored(tmp_path / "one.json", record, tmp_path, evidence))))

    return of


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_what_an_attack_sets_is_no_problem_and_all_else_is(problems, name, norm):
    (settled,) = read_attack(name, norm, 10).parameters.values()
    assert problems(name, norm, settled) == []
    for key, value in settled.items():
        field = f"one.json: attack.parameters.{name}.{key} is "
        assert any(field in one for one in problems(name, norm, _without(settled, key))), key
        for other in spellings(value):
            told = problems(name, norm, settled | {key: other})
            assert told, (key, other)
            assert all(f"one.json: attack.parameters.{name}" in one for one in told)
    (told,) = problems(name, norm, settled | {"momentums": 0.5})
    assert told.endswith(f"{name}.momentums is 0.5, expected none")


def _without(settled, key):
    return {one: value for one, value in settled.items() if one != key}


OPTIONS = [
    "pgd,steps=7,step_size=1/100", "pgd,start=zero,restarts=3", "pgd,step_size=2",
    "apgd-ce,n_iter=7,rho=0.5", "apgd-t,n_target_classes=200", "fab-t,eta=1,beta=0.25",
    "square,n_queries=7,p_init=1", "apgd-margin,n_restarts=3", "pgd-targets,n_nearest=99",
    "torchattacks:PGD,steps=7,alpha=1/100", "torchattacks:FGSM",
    "torchattacks:Square,n_queries=9,loss=ce", "torchattacks:APGD,loss=dlr,rho=0.5",
]  # fmt: skip


@pytest.mark.parametrize("text", OPTIONS)
def test_options_that_are_given_are_no_problem(problems, text):
    spec = read_attack(text, "Linf", 10)
    for name, settled in spec.parameters.items():
        assert problems(name, "Linf", settled) == []


@pytest.mark.parametrize("evidence", ["", "a" * 64, f"{'a' * 64} {'b' * 64}"])
def test_sources_of_images_are_no_problem(problems, evidence):
    assert problems("transfer", "Linf", {"evidence": evidence}) == []


@pytest.mark.parametrize(
    "given", [{}, {"runs": "a" * 64}, {"evidence": "A" * 64}, {"evidence": "x"}, {"evidence": 3}]
)
def test_what_names_no_evidence_is_a_problem(problems, given):
    (told,) = problems("transfer", "Linf", given)
    assert told.endswith("expected evidence, a sha256 of each source")
