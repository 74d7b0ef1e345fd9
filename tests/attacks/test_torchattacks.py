import inspect
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
import torchattacks
from torch import nn

from clbench.attacks.grammar import ATTACKS, norms_of
from clbench.attacks.registry import attack_of, bind, plan_attack
from clbench.attacks.torchattacks_rows import PREFIX, REFUSED
from clbench.data.image_set import make_image_set
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.run import evaluate
from clbench.runtime.seeding import randomness, step_seed
from clbench.schema.errors import InstallationError
from clbench.schema.threat_model import ThreatModel


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


@pytest.fixture
def batch(network):
    images = torch.rand(5, 3, 8, 8)
    return images, network(images).argmax(1)


def test_every_class_of_the_library_is_covered_or_refused():
    ours = {name.removeprefix(PREFIX) for name in ATTACKS if name.startswith(PREFIX)}
    assert ours | set(REFUSED) == set(torchattacks.__all__)
    assert not ours & set(REFUSED)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name.startswith(PREFIX)])
def test_every_parameter_of_the_library_is_recorded(name):
    parameters = plan_attack(name, norms_of(name)[0], 10).spec.parameters[name]
    cls = getattr(torchattacks, name.removeprefix(PREFIX))
    wanted = set(inspect.signature(cls).parameters)
    wanted -= {"model", "norm", "eps", "max_epsilon", "seed", "verbose"}
    assert {key.removesuffix("_per_eps") for key in parameters} == wanted


def test_at_the_library_s_own_eps_its_defaults_come_out(network, batch):
    images, labels = batch
    plan = plan_attack("torchattacks:PGD", "Linf", 5)
    index, threat_model = torch.arange(5), ThreatModel("Linf", Fraction(8, 255))
    with randomness(1):
        theirs = torchattacks.PGD(network)(images, labels)
    with randomness(1):
        ours = attack_of(plan)(network, images, labels, threat_model, seed=0, index=index)
    assert torch.allclose(theirs, ours, atol=1e-7)


def test_the_step_size_keeps_its_proportion_to_eps(network, batch):
    images, labels = batch
    plan = plan_attack("torchattacks:PGD,random_start=false,steps=1", "Linf", 5)
    threat_model = ThreatModel("Linf", Fraction(2, 5))
    attack = attack_of(plan)
    found = attack(network, images, labels, threat_model, seed=0, index=torch.arange(5))
    assert (found - images).abs().max() == pytest.approx(0.1, abs=1e-6)


def test_a_step_size_given_is_taken_as_it_is(network, batch):
    images, labels = batch
    plan = plan_attack("torchattacks:PGD,random_start=false,steps=1,alpha=1/20", "Linf", 5)
    assert plan.spec.parameters["torchattacks:PGD"]["alpha"] == 0.05
    threat_model, attack = ThreatModel("Linf", Fraction(2, 5)), attack_of(plan)
    found = attack(network, images, labels, threat_model, seed=0, index=torch.arange(5))
    assert (found - images).abs().max() == pytest.approx(0.05, abs=1e-6)


def test_seeds_and_classes_reach_the_library(network, batch):
    images, labels = batch
    plan, index = plan_attack("torchattacks:APGDT,steps=2", "L2", 5), torch.tensor([9, 3, 1, 4, 5])
    threat_model = ThreatModel("L2", Fraction(1))
    assert plan.spec.parameters["torchattacks:APGDT"]["n_classes"] == 5
    ours = attack_of(plan)(network, images, labels, threat_model, seed=2, index=index)
    seed = step_seed(2, "torchattacks:APGDT", index)
    settings = {"norm": "L2", "eps": 1.0, "steps": 2, "n_classes": 5, "seed": seed}
    with randomness(0):
        theirs = torchattacks.APGDT(network, **settings)(images, labels)
    assert torch.equal(ours, theirs)


def test_perturbations_beyond_eps_break_nothing_and_are_no_defect(network, batch):
    images, labels = batch
    plan = plan_attack("torchattacks:DeepFool", "L2", 5)
    steps = bind(plan, 5)
    assert not steps[0].bounded
    settings = {"seed": 0, "batch_size": 5, "device": "cpu"}
    image_set = make_image_set("five", images, labels, 5)
    outcomes = [
        evaluate(network, image_set, steps, ThreatModel("L2", Fraction(eps)), **settings)
        for eps in ("1/10000", "8")
    ]
    assert outcomes[0].robust_acc.value == 1
    assert outcomes[1].robust_acc.value < 0.5
    assert outcomes[0].flags == ()
    assert "out_of_bounds" not in outcomes[1].flag_names


def test_networks_without_weights_are_attacked_in_silence(capsys):
    class Mean(nn.Module):
        def forward(self, images):
            mean = images.mean((1, 2, 3))
            return torch.stack([0.5 - mean, mean - 0.5], 1)

    images, labels = torch.full((2, 1, 8, 8), 0.49), torch.zeros(2, dtype=torch.int64)
    attack = attack_of(plan_attack("torchattacks:FGSM", "Linf", 2))
    threat_model = ThreatModel("Linf", Fraction(1, 10))
    found = attack(
        AttackedModel(Mean()), images, labels, threat_model, seed=0, index=torch.arange(2)
    )
    assert torch.allclose(found, images + 0.1)
    assert capsys.readouterr() == ("", "")


def test_a_missing_library_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    from clbench.attacks.torchattacks_rows import signature

    signature.cache_clear()
    with pytest.raises(InstallationError, match=r"need torchattacks .*; pip install torchattacks"):
        plan_attack("torchattacks:PGD", "Linf", 10)
    assert plan_attack("pgd", "Linf", 10).spec.name == "pgd"


def test_listing_attacks_imports_no_attack_package():
    code = (
        "import sys, clbench.attacks.registry\n"
        "print([name for name in sys.modules if 'torchattacks' == name or 'robustbench' in name])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
