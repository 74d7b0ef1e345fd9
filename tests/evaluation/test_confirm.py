import random
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pgd import PGD
from clbench.attacks.norms import is_inside
from clbench.evaluation.attacked_model import AttackedModel, classes_of
from clbench.evaluation.confirm import Batch, attack_and_confirm
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.seeding import randomness, step_seed
from clbench.schema.threat_model import ThreatModel

LINF, L2 = ThreatModel("Linf", Fraction(1, 10)), ThreatModel("L2", Fraction(1, 2))


class Brightness(nn.Module):
    """Says 1 where the mean pixel is above one half, else 0."""

    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


@pytest.fixture
def batch():
    images = torch.full((4, 1, 4, 4), 0.45)
    return Batch(images, torch.zeros(4, dtype=torch.int64), torch.arange(4), torch.zeros(4).long())


def step(change, **settings):
    """A step whose attack returns ``change(images)``."""

    def attack(model, images, labels, threat_model, *, seed, index):
        return change(images)

    return AttackStep("test", attack, **settings)


def test_a_valid_success_breaks(batch):
    done = attack_and_confirm(
        step(lambda images: images + 0.09), AttackedModel(Brightness()), batch, LINF, 0
    )
    assert done.broken.all()
    assert done.predicted.tolist() == [1] * 4
    assert torch.allclose(done.adversarial, batch.images + 0.09)
    assert done.flags == {}


def test_a_claim_that_the_plain_network_does_not_confirm_breaks_nothing(batch):
    done = attack_and_confirm(
        step(lambda images: images + 0.01), AttackedModel(Brightness()), batch, LINF, 0
    )
    assert not done.broken.any()


@pytest.mark.parametrize(
    ("threat_model", "change"),
    [(LINF, lambda images: images + 0.11), (L2, lambda images: images + 0.126)],
)
def test_leaving_the_ball_breaks_nothing_and_is_flagged(batch, threat_model, change):
    done = attack_and_confirm(step(change), AttackedModel(Brightness()), batch, threat_model, 0)
    assert not done.broken.any()
    assert done.flags == {"out_of_bounds": 4}
    assert torch.equal(done.adversarial, batch.images)


def test_leaving_the_ball_is_no_defect_of_an_unbounded_attack(batch):
    done = attack_and_confirm(
        step(lambda images: images + 0.3, bounded=False),
        AttackedModel(Brightness()),
        batch,
        LINF,
        0,
    )
    assert not done.broken.any()
    assert done.flags == {}


def test_leaving_the_pixel_range_breaks_nothing_and_is_flagged(batch):
    images = torch.full((4, 1, 4, 4), 0.01)
    dark = replace(batch, images=images, labels=torch.ones(4, dtype=torch.int64))
    done = attack_and_confirm(
        step(lambda images: images - 0.02), AttackedModel(Brightness()), dark, LINF, 0
    )
    assert done.flags == {"out_of_bounds": 4}
    assert torch.equal(done.adversarial, images)


def test_pixels_that_are_no_numbers_break_nothing_and_are_flagged(batch):
    def spoil(images):
        images = images + 0.09
        images[0], images[1] = torch.nan, torch.inf
        return images

    done = attack_and_confirm(step(spoil), AttackedModel(Brightness()), batch, LINF, 0)
    assert done.broken.tolist() == [False, False, True, True]
    assert done.flags == {"nan_adversarial": 2}
    assert done.adversarial.isfinite().all()


def test_an_answer_that_is_no_number_is_wrong_and_flagged(batch):
    class Fragile(Brightness):
        def forward(self, images):
            return super().forward(images).where(images.mean() < 0.5, torch.nan)

    done = attack_and_confirm(
        step(lambda images: images + 0.09), AttackedModel(Fragile()), batch, LINF, 0
    )
    assert done.broken.all()
    assert done.predicted.tolist() == [-1] * 4
    assert done.flags == {"nan_logits": 4}


def test_rounding_at_the_edge_of_the_ball_is_allowed():
    centres = torch.rand(200, 3, 8, 8)
    noise = torch.randn(200, 3, 8, 8)
    for threat_model, offset in (
        (LINF, 0.1 * noise.sign()),
        (L2, 0.5 * noise / noise.flatten(1).norm(dim=1)[:, None, None, None]),
    ):
        assert is_inside((centres + offset).clamp(0, 1), centres, threat_model).all()
        beyond = (centres + 1.001 * offset).clamp(0, 1) if threat_model is LINF else None
        assert beyond is None or not is_inside(beyond, centres, threat_model).any()


def test_an_empty_ball_is_not_attacked(batch):
    def attack(model, images, labels, threat_model, *, seed, index):
        raise AssertionError("attacked")

    empty = ThreatModel("Linf", Fraction(0))
    done = attack_and_confirm(
        AttackStep("test", attack), AttackedModel(Brightness()), batch, empty, 0
    )
    assert not done.broken.any()


def test_passes_are_counted_by_image(batch):
    model = AttackedModel(Brightness())
    attack_and_confirm(AttackStep("pgd", PGD(steps=5, start="zero")), model, batch, LINF, 0)
    confirmation = 1
    assert model.forward_passes == 4 * (5 + 1 + confirmation)
    assert model.backward_passes == 4 * (5 + 1)


def test_input_gradients_are_contiguous():
    class Permuting(nn.Module):
        def forward(self, images):
            return images.contiguous(memory_format=torch.channels_last).square().mean((2, 3))

    images = torch.rand(2, 3, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(AttackedModel(Permuting())(images).sum(), images)
    assert gradient.is_contiguous()


def test_networks_that_cut_the_gradient_off_have_a_zero_gradient():
    class Cut(Brightness):
        def forward(self, images):
            return super().forward(images.detach())

    images = torch.rand(2, 3, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(AttackedModel(Cut())(images).sum(), images)
    assert not gradient.any()


def test_an_attack_cannot_put_the_network_into_training_mode():
    network = nn.Sequential(nn.Dropout()).eval()
    AttackedModel(network).train()
    assert not network[0].training


def test_a_victim_leaves_the_mode_of_its_network():
    assert AttackedModel(nn.Dropout()).network.training


def test_python_generator_is_restored():
    with randomness(5):
        state = random.getstate()
        with randomness(6):
            random.random()
        assert random.getstate() == state


def test_tracing_is_left_alone(batch):
    def trace(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        attack_and_confirm(step(lambda images: images), AttackedModel(Brightness()), batch, LINF, 0)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)


def test_arithmetic_is_exact_for_a_while():
    def settings():
        cudnn = torch.backends.cudnn
        tf32 = torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32
        return tf32, cudnn.deterministic, cudnn.benchmark

    before = settings()
    with exact_arithmetic():
        assert settings() == ((False, False), True, False)
    assert settings() == before


class SeesPrecision(Brightness):
    """Answers 1 for every image in low precision, and notes in which it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, images):
        low = torch.is_autocast_enabled("cpu")
        self.asked.append((low, len(images)))
        return super().forward(images) + torch.tensor([0.0, 9.0 * low])


def test_attacks_may_run_in_low_precision_and_verdicts_never(batch):
    class Noting(Brightness):
        asked = ()

        def forward(self, images):
            self.asked = (*self.asked, torch.is_autocast_enabled("cpu"))
            return super().forward(images)

    network = Noting()
    pgd = AttackStep("pgd", PGD(steps=2))
    done = attack_and_confirm(pgd, AttackedModel(network, "bfloat16"), batch, LINF, 0)
    assert network.asked == (True, True, True, True, False)
    assert done.broken.all()


def test_images_misjudged_in_low_precision_alone_are_attacked_in_float32(batch):
    network = SeesPrecision()
    pgd = AttackStep("pgd", PGD(steps=2))
    done = attack_and_confirm(pgd, AttackedModel(network, "bfloat16"), batch, LINF, 0)
    assert network.asked == [(True, 4), (False, 4), (False, 4), (False, 4), (False, 4)]
    assert done.broken.all()


def test_the_class_of_the_highest_logit_is_returned_and_none_for_nan():
    logits = torch.tensor([[0.0, 1.0], [2.0, 1.0], [torch.nan, 3.0]])
    assert classes_of(logits).tolist() == [1, 0, -1]


def test_step_seeds_depend_on_seed_attack_and_first_example_alone():
    index = torch.tensor([3, 4, 5])
    seed = step_seed(0, "pgd", index)
    assert seed == step_seed(0, "pgd", index[:1]) < 2**32
    others = {step_seed(1, "pgd", index), step_seed(0, "x", index), step_seed(0, "pgd", index + 1)}
    assert len(others | {seed}) == 4
