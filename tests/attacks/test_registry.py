from fractions import Fraction

import pytest
import torch

from clbench.attacks.grammar import ATTACKS, COMPONENTS, runners_of
from clbench.attacks.registry import BACKENDS, bind, plan_attack
from clbench.schema.attack_spec import AttackSpec, Component
from clbench.schema.errors import BadValueError, InstallationError, UnknownNameError
from clbench.schema.protocol import protocols
from clbench.schema.threat_model import ThreatModel

LINF = ThreatModel("Linf", Fraction(1, 10))


def test_every_component_is_run_by_a_backend_in_every_norm_that_it_covers():
    assert set(COMPONENTS) <= set(ATTACKS)
    for name, row in COMPONENTS.items():
        assert name == row.name
        for norm in row.norms:
            assert any(backend.runs(name, norm) for backend in BACKENDS.values()), (name, norm)


def test_names_alone_tell_which_backends_have_a_component():
    for name, row in COMPONENTS.items():
        having = {
            one.name for one in BACKENDS.values() for norm in row.norms if one.runs(name, norm)
        }
        assert set(runners_of(name)) == having
    assert runners_of("net.py:attack") == ("own",)
    assert runners_of("transfer") == ("native",)


@pytest.mark.parametrize("protocol", protocols().values(), ids=lambda protocol: protocol.name)
def test_every_protocol_names_an_attack_that_can_be_planned(protocol):
    plan = plan_attack(protocol.attack, protocol.threat_model.norm, 10)
    assert plan.spec.name == protocol.attack.split(",")[0]


def test_options_replace_defaults_and_are_typed():
    plan = plan_attack("pgd, steps=7 ,step_size=1/4,restarts=2,start=zero", "Linf", 10)
    assert plan.spec.parameters == {
        "pgd": {"steps": 7, "step_size": 0.25, "restarts": 2, "start": "zero"}
    }


def test_a_step_size_not_given_is_in_proportion_to_eps():
    assert plan_attack("pgd,steps=10", "L2", 10).spec.parameters["pgd"]["step_size_per_eps"] == 0.25


def test_the_standard_cascade_spells_out_every_parameter():
    plan = plan_attack("autoattack", "Linf", 10)
    assert list(plan.spec.parameters) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert plan.spec.parameters["apgd-t"] == {
        "n_iter": 100, "n_restarts": 1, "eot_iter": 1, "rho": 0.75, "n_target_classes": 9,
    }  # fmt: skip
    assert plan.spec.parameters["square"]["n_queries"] == 5000
    assert plan.spec.flags == ()


def test_targets_are_no_more_than_the_other_classes():
    plan = plan_attack("autoattack", "Linf", 5)
    assert plan.spec.parameters["apgd-t"]["n_target_classes"] == 4
    assert plan.spec.parameters["fab-t"]["n_target_classes"] == 4


@pytest.mark.parametrize(
    ("name", "n_classes", "steps"),
    [
        ("autoattack", 3, ["apgd-ce", "fab-t", "square"]),
        ("autoattack-rand", 2, ["apgd-ce"]),
        ("autoattack-plus", 3, ["apgd-ce", "apgd-dlr", "fab", "square", "fab-t"]),
    ],
)
def test_steps_that_need_more_classes_are_left_out_and_flagged(name, n_classes, steps):
    plan = plan_attack(name, "Linf", n_classes)
    assert [one.name for one in plan.spec.components] == steps
    assert plan.spec.flags == ("few_classes",)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("name", ["autoattack", "autoattack-plus", "autoattack-rand"])
@pytest.mark.parametrize("n_classes", [2, 3, 5, 6, 9, 10, 100])
def test_a_cascade_is_the_same_whoever_runs_it(name, norm, n_classes):
    ours, theirs = (plan_attack(name, norm, n_classes, by) for by in ("native", "pyautoattack"))
    assert ours.spec == theirs.spec
    assert ours.spec.hash == theirs.spec.hash
    for component in ours.spec.components:
        most = {("apgd-t", "autoattack", "L1"): 5}.get((component.name, name, norm), 9)
        targets = component.parameters.get("n_target_classes", min(most, n_classes - 1))
        assert targets == min(most, n_classes - 1)


def test_the_hash_covers_names_and_parameters_in_their_order():
    def hash_of(name, *components):
        return AttackSpec(name, tuple(Component(*one) for one in components)).hash

    one, other = ("a", {"n": 1}), ("b", {"n": 1})
    hashes = {
        hash_of("x", one, other),
        hash_of("x", other, one),
        hash_of("y", one, other),
        hash_of("x", one),
        hash_of("x", ("a", {"n": 2}), other),
    }
    assert len(hashes) == 5
    assert hash_of("x", ("a", {"n": 1, "m": 2})) == hash_of("x", ("a", {"m": 2, "n": 1}))


def test_hashes_of_published_numbers_never_change():
    assert plan_attack("autoattack", "Linf", 10).spec.hash == "20883d1d0365"
    assert plan_attack("autoattack", "L2", 100).spec.hash == "20883d1d0365"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("autoatack", "unknown attack 'autoatack'; did you mean 'autoattack'?"),
        (
            "torchattacks:pgdd",
            "unknown attack 'torchattacks:pgdd'; did you mean 'torchattacks:PGD'?",
        ),
        ("pgd,stepz=4", "unknown option of attack 'pgd' 'stepz'; did you mean 'steps'?"),
    ],
)
def test_a_mistyped_name_suggests_the_right_one(text, message):
    with pytest.raises(UnknownNameError) as caught:
        plan_attack(text, "Linf", 10)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pgd,steps", "options of attack 'pgd' read like 'steps=40', got 'steps'"),
        ("pgd,", "options of attack 'pgd' read like 'steps=40', got ''"),
        ("pgd,steps=4,steps=5", "option 'steps' of attack 'pgd' is given twice"),
        (
            "pgd,steps=0",
            "option 'steps' of attack 'pgd' must be a count from 1 to 2147483647, got '0'",
        ),
        (
            "pgd,steps=1.5",
            "option 'steps' of attack 'pgd' must be a count from 1 to 2147483647, got '1.5'",
        ),
        (
            "pgd,step_size=-1",
            (
                "option 'step_size' of attack 'pgd' must be a number above 0 such as "
                "'1/100' or '0.01', got '-1'"
            ),
        ),
        (
            "pgd,step_size=1/0",
            (
                "option 'step_size' of attack 'pgd' must be a number above 0 such as "
                "'1/100' or '0.01', got '1/0'"
            ),
        ),
        (
            "pgd,start=here",
            "option 'start' of attack 'pgd' must be one of random, zero, got 'here'",
        ),
        (
            "torchattacks:PGD,random_start=maybe",
            "option 'random_start' of attack 'torchattacks:PGD' must be true or false, got 'maybe'",
        ),
        (
            "torchattacks:EADEN,max_iterations=5",
            (
                "option 'max_iterations' of attack 'torchattacks:EADEN' must be "
                "a count from 10 to 2147483647, got '5'"
            ),
        ),
        (
            "autoattack,n_iter=10",
            "attack 'autoattack' takes no options, got 'n_iter=10'; its parameters are fixed",
        ),
        (
            "torchattacks:AutoAttack",
            (
                "attack 'torchattacks:AutoAttack' is refused: it is not AutoAttack: its attacks "
                "run 10 iterations instead of 100; use --attack autoattack"
            ),
        ),
        ("torchattacks:JSMA", "attack 'torchattacks:JSMA' is refused: it covers L0 only"),
    ],
)
def test_a_bad_option_says_what_would_be_right(text, message):
    norm = "L2" if "EADEN" in text else "Linf"
    with pytest.raises(BadValueError) as caught:
        plan_attack(text, norm, 10)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize("value", ["0", "0.0", "0/5", ".0", "0e5", "1e-400"])
@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        ("pgd,step_size", "Linf"),
        ("pgd,alpha", "Linf"),
        ("torchattacks:MIFGSM,alpha", "Linf"),
        ("torchattacks:PGD,step_size", "Linf"),
        ("torchattacks:PGDL2,alpha", "L2"),
        ("torchattacks:PIFGSM,amplification", "Linf"),
        ("torchattacks:SPSA,lr", "Linf"),
        ("torchattacks:SPSA,delta", "Linf"),
        ("torchattacks:CW,c", "L2"),
        ("torchattacks:CW,lr", "L2"),
        ("torchattacks:EADEN,initial_const", "L2"),
        ("torchattacks:Jitter,scale", "Linf"),
        ("fab,eta", "Linf"),
        ("torchattacks:FAB,eta", "L2"),
    ],
)
def test_an_attack_that_would_not_move_is_refused(attack, norm, value):
    with pytest.raises(BadValueError, match="must be a number above 0 such as"):
        plan_attack(f"{attack}={value}", norm, 10)


@pytest.mark.parametrize(
    ("text", "norm"),
    [
        ("torchattacks:MIFGSM,decay=0", "Linf"),
        ("torchattacks:VMIFGSM,beta=0", "Linf"),
        ("torchattacks:CW,kappa=0", "L2"),
        ("torchattacks:DIFGSM,diversity_prob=0", "Linf"),
        ("torchattacks:Jitter,std=0", "Linf"),
        ("torchattacks:DeepFool,overshoot=0", "L2"),
        ("apgd-ce,rho=0", "Linf"),
        ("pgd,step_size=1/1000", "Linf"),
    ],
)
def test_what_may_be_zero_may_be_zero(text, norm):
    assert plan_attack(text, norm, 10)


def test_a_norm_that_the_attack_does_not_cover_is_refused():
    with pytest.raises(BadValueError, match="'torchattacks:FGSM' covers Linf only, got L2"):
        plan_attack("torchattacks:FGSM", "L2", 10)


@pytest.mark.parametrize(("text", "least"), [("apgd-t", 4), ("torchattacks:APGDT", 4)])
def test_too_few_classes_for_one_attack_are_refused(text, least):
    with pytest.raises(BadValueError, match=f"'{text}' needs at least {least} classes, got 3"):
        plan_attack(text, "Linf", 3)


def test_a_backend_must_be_known_have_the_attack_and_be_installed():
    assert plan_attack("autoattack", "Linf", 10, "pyautoattack").backend == "pyautoattack"
    assert plan_attack("pgd", "Linf", 10, "clbench").backend == "native"
    assert "torchattacks" in BACKENDS
    with pytest.raises(UnknownNameError, match="unknown backend 'pyautoatack'; did you mean"):
        plan_attack("autoattack", "Linf", 10, "pyautoatack")
    with pytest.raises(BadValueError, match="'pgd' runs on native only, got backend 'torchattacks"):
        plan_attack("pgd", "Linf", 10, "torchattacks")
    with pytest.raises(InstallationError, match="'autoattack' is not the one installed here"):
        plan_attack("autoattack", "Linf", 10, "autoattack")


def test_numbers_may_be_fractions_or_decimals():
    plans = [plan_attack(f"pgd,step_size={text}", "Linf", 10) for text in ("1/100", "0.01", "1e-2")]
    assert {plan.spec.parameters["pgd"]["step_size"] for plan in plans} == {float(Fraction(1, 100))}


def test_whole_numbers_that_stand_for_real_ones_may_be_fractions():
    assert (
        plan_attack("torchattacks:CW,c=1/2", "L2", 10).spec.parameters["torchattacks:CW"]["c"]
        == 0.5
    )


OWN = """
from dataclasses import dataclass
import torch

def noise(model, images, labels, threat_model, *, seed, index):
    \'\'\'Add what the ball allows.\'\'\'
    return images + float(threat_model.eps)

@dataclass(frozen=True)
class Stripes:
    \'\'\'Change every so many rows.\'\'\'
    every: int = 2
    norms = ("Linf",)
    black_box = True

    def __call__(self, model, images, labels, threat_model, *, seed, index):
        images = images.clone()
        images[..., :: self.every, :] += float(threat_model.eps)
        return images

not_callable = 3

@dataclass
class NoDefault:
    steps: int
    def __call__(self): ...
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    return file


def test_an_attack_of_ones_own_is_named_by_file_and_function(own):
    plan = plan_attack(f"{own}:noise", "L2", 10)
    (step,) = bind(plan, 10)
    assert plan.backends == ("own",)
    assert (step.bounded, step.black_box) == (True, False)
    threat_model = ThreatModel("L2", Fraction(1, 4))
    images = torch.zeros(1, 1, 2, 2)
    labels = torch.zeros(1, dtype=torch.int64)
    found = step.attack(torch.nn.Identity(), images, labels, threat_model, seed=0, index=labels)
    assert torch.equal(found, images + 0.25)


def test_the_fields_of_a_dataclass_are_options(own):
    plan = plan_attack(f"{own}:Stripes,every=3", "Linf", 10)
    ((name, parameters),) = plan.spec.parameters.items()
    assert name == plan.spec.name == "mine.py:Stripes"
    assert parameters["every"] == 3
    assert parameters["source"].startswith("mine.py:Stripes sha256:")
    (step,) = bind(plan, 10)
    assert step.black_box
    with pytest.raises(BadValueError, match="covers Linf only, got L2"):
        plan_attack(f"{own}:Stripes", "L2", 10)


def test_a_hash_does_not_depend_on_the_folder_of_the_file(own, tmp_path, monkeypatch):
    other = tmp_path / "elsewhere" / "mine.py"
    other.parent.mkdir()
    other.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    names = (f"{own}:noise", f"{other}:noise", "mine.py:noise", "elsewhere/mine.py:noise")
    assert len({plan_attack(name, "Linf", 10).spec.hash for name in names}) == 1
    (step,) = bind(plan_attack(f"{other}:noise", "Linf", 10), 10)
    assert step.name == "mine.py:noise"
    both = plan_attack(f"{other}:Stripes + {own}:noise", "Linf", 10)
    assert [one.name for one in bind(both, 10)] == ["mine.py:Stripes", "mine.py:noise"]
    with pytest.raises(BadValueError, match=r"got 'mine\.py:noise' twice"):
        plan_attack(f"{other}:noise + {own}:noise", "Linf", 10)


def test_an_edited_attack_has_another_hash(own):
    before = plan_attack(f"{own}:noise", "Linf", 10).spec.hash
    own.write_text(OWN.replace("images + float", "images - float"))
    assert plan_attack(f"{own}:noise", "Linf", 10).spec.hash != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_callable", "must be a function or a dataclass that attacks, got int"),
        ("nois", "there is no 'nois' in it; did you mean 'noise'"),
        ("NoDefault", "options of an attack must have a default .* 'steps' has none"),
    ],
)
def test_what_is_no_attack_is_refused(own, name, message):
    with pytest.raises(BadValueError, match=message):
        plan_attack(f"{own}:{name}", "Linf", 10)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "raise ValueError('boom')",
            "attack .*mine.py:attack' raised ValueError: boom .mine.py, line 2.$",
        ),
        ("return 3", r"attack .* must return images \[1, 1, 2, 2\], got int"),
        ("return images[0]", r"must return images \[1, 1, 2, 2\], got \[1, 2, 2\]"),
    ],
)
def test_an_attack_of_ones_own_that_fails_is_named(tmp_path, body, message):
    file = tmp_path / "mine.py"
    file.write_text(
        f"def attack(model, images, labels, threat_model, *, seed, index):\n    {body}\n"
    )
    (step,) = bind(plan_attack(f"{file}:attack", "Linf", 10), 10)
    images, labels = torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(BadValueError, match=message):
        step.attack(torch.nn.Identity(), images, labels, LINF, seed=0, index=labels)
