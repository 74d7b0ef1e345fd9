"""Signs of masked gradients and wrong normalisations: raised where they are, silent elsewhere."""

from fractions import Fraction

import pytest
import timm
import torch
from torch import nn

import clbench.models  # noqa: F401 - registers the zoo
from clbench.attacks.norms import NORMS
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.data.load import load_test_set
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.confirm import Batch
from clbench.evaluation.masking import Survivors, far
from clbench.evaluation.run import evaluate
from clbench.models.normalization import Normalise
from clbench.schema.flags import FLAGS
from clbench.schema.threat_model import ThreatModel

N = 24
IMAGES = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        layers = nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4)
        self.layers = nn.Sequential(*layers)

    def forward(self, images):
        return self.layers(images)


class Stepped(Plain):
    """Sees a few levels of brightness, so that no gradient is left."""

    def forward(self, images):
        return super().forward((images * 3).round() / 3)


class OnlySigns(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return images.view_as(images)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.sign()


class Signed(Plain):
    """Its gradient is 1 or -1 everywhere."""

    def forward(self, images):
        return super().forward(OnlySigns.apply(images))


class Placed(Plain):
    """Answers the last images of a batch otherwise."""

    def forward(self, images):
        last = torch.arange(len(images)) >= len(images) - 2
        return super().forward(images) * torch.where(last, -1.0, 1.0)[:, None]


def found(network, attack="pgd,steps=5", norm="Linf", eps="1/20"):
    network.eval()
    with torch.no_grad():
        labels = Plain().eval()(IMAGES).argmax(1)
    images = make_image_set("some", IMAGES, labels, 4)
    steps, threat = bind(plan_attack(attack, norm, 4), 4), ThreatModel(norm, Fraction(eps))
    return evaluate(network, images, steps, threat, seed=0, batch_size=8, device="cpu")


RAISED = {
    "short steps": (Plain, "pgd,steps=1,step_size=1/10000,start=zero", "single_step_improves"),
    "no steps": (Plain, "pgd,steps=1,step_size=1/10000,start=zero", "noise_improves"),
    "levels": (Stepped, "pgd,steps=5,start=zero", "noise_improves"),
    "levels, far": (Stepped, "pgd,steps=5", "robust_at_any_eps"),
    "signs": (Signed, "pgd,steps=5", "few_gradients"),
    "places": (Placed, "pgd,steps=5", "verdicts_change"),
}


@pytest.mark.parametrize(("network", "attack", "flag"), RAISED.values(), ids=RAISED)
def test_a_sign_of_masking_raises_its_flag(network, attack, flag):
    eps = "1/4" if flag == "noise_improves" else "1/20"
    result = found(network(), attack, eps=eps)
    flags = {one.name: one for one in result.flags}
    assert flag in flags, flags
    assert flags[flag].value > flags[flag].threshold
    assert result.unreliable
    assert FLAGS[flag].unreliable


@pytest.mark.parametrize(("norm", "eps"), [("Linf", "1/20"), ("L2", "1/4"), ("L1", "1")])
@pytest.mark.parametrize("attack", ["pgd,steps=10", "apgd-ce,n_iter=10"])
def test_an_ordinary_network_raises_none(norm, eps, attack):
    result = found(Plain(), attack, norm, eps)
    assert 0 < result.robust_acc.value < 1
    assert result.flags == ()


def test_zoo_networks_raise_none_under_a_short_attack():
    images = load_test_set("digits", n_examples=64, data_dir=None)
    steps = bind(plan_attack("pgd,steps=10", "Linf", 10), 10)
    threat = ThreatModel("Linf", Fraction(1, 6))
    for name in ("simclr_st", "supcon_at"):
        network = timm.create_model(f"{name}.digits", pretrained=True)
        result = evaluate(network, images, steps, threat, seed=0, batch_size=None, device="cpu")
        assert result.flags == ()


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_every_image_has_one_without_content_that_far_away(norm):
    corners = (IMAGES > 0.5).float()
    grey = torch.full_like(corners, 0.5)
    assert (NORMS[norm].distance(corners, grey) <= float(far(norm, corners.shape[1:])) + 1e-6).all()


def test_what_it_costs_is_not_counted_and_little():
    seen = []
    network = Plain().eval()
    network.register_forward_pre_hook(lambda _module, asked: seen.append(len(asked[0])))
    model = AttackedModel(network)
    images = make_image_set("some", IMAGES, network(IMAGES).argmax(1), 4)
    batch = Batch.at(images, torch.arange(8), torch.device("cpu"))
    seen.clear()
    signs = Survivors(
        model, batch, torch.ones(8, dtype=torch.bool), ThreatModel("Linf", Fraction(1, 20)), 0
    )
    signs.signs()
    assert model.forward_passes == model.backward_passes == 0
    assert sum(seen) <= 30 * 8  # AutoAttack makes 7,852 of each image that stands


def test_signs_are_counted_once_over_cuts(tmp_path):
    whole = found(Stepped(), "pgd,steps=5,start=zero", eps="1/4")
    file = tmp_path / "progress" / "some.npz"
    file.parent.mkdir()
    first, again = run_with_progress(file), run_with_progress(file)  # then everything is done
    assert whole.flags == first.flags == again.flags != ()


def run_with_progress(file):
    network = Stepped().eval()
    with torch.no_grad():
        labels = Plain().eval()(IMAGES).argmax(1)
    images = make_image_set("some", IMAGES, labels, 4)
    steps = bind(plan_attack("pgd,steps=5,start=zero", "Linf", 4), 4)
    threat = ThreatModel("Linf", Fraction(1, 4))
    settings = {"seed": 0, "batch_size": 8, "device": "cpu", "progress_file": file}
    return evaluate(network, images, steps, threat, **settings)


TWICE = {
    "MNIST's twice": Normalise([0.1307], [0.3081]),
    "halves twice": Normalise([0.5], [0.5]),
    "bytes": lambda _module, inputs: (inputs[0] * 255,),
}
MISSING = {
    "MNIST's missing": lambda _module, inputs: (inputs[0] * 0.3081 + 0.1307,),
    "bytes missing": lambda _module, inputs: (inputs[0] / 255,),
}


@pytest.mark.parametrize("hook", [*TWICE.values(), *MISSING.values()], ids=[*TWICE, *MISSING])
def test_a_wrong_normalisation_is_suspected(hook):
    network = timm.create_model("supervised_at.digits", pretrained=True).eval()
    images = load_test_set("digits", n_examples=64, data_dir=None)
    with torch.no_grad():
        clean = (network(images.tensor()).argmax(1) == images.labels).sum()
    network.register_forward_pre_hook(hook)
    steps, threat = (
        bind(plan_attack("pgd,steps=1", "Linf", 10), 10),
        ThreatModel("Linf", Fraction(0)),
    )
    result = evaluate(network, images, steps, threat, seed=0, batch_size=None, device="cpu")
    gained = {one.name: one.value for one in result.flags}.get("normalisation_suspect", 0)
    right = int((result.clean_pred == result.labels).sum())
    assert right < 0.9 * clean
    assert gained == clean - right
