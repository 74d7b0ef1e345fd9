import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.native.pgd import PGD
from clbench.attacks.norms import NORMS
from clbench.schema.threat_model import ThreatModel

BALLS = [
    ThreatModel("Linf", Fraction(1, 10)),
    ThreatModel("L2", Fraction(1, 2)),
    ThreatModel("L1", Fraction(3)),
]
every_norm = pytest.mark.parametrize("threat_model", BALLS, ids=str)


@pytest.fixture
def network():
    layers = nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    return nn.Sequential(*layers).eval()


@pytest.fixture
def batch(network):
    images = torch.rand(12, 2, 8, 8)
    return images, network(images).argmax(1)


@every_norm
def test_random_starts_fill_the_ball(network, threat_model):
    images = torch.full((400, 2, 8, 8), 0.5)
    labels, index = torch.zeros(400, dtype=torch.int64), torch.arange(400)
    start = PGD(steps=1, step_size=0.0)(network, images, labels, threat_model, seed=0, index=index)
    reach = NORMS[threat_model.norm].distance(start, images) / float(threat_model.eps)
    assert reach.max() <= 1 + 1e-4
    # the radius of a point drawn uniformly from a d-ball exceeds r with probability 1 - r**d
    assert reach.min() > 0.9
    assert (start - images).mean().abs() < 0.01


@every_norm
def test_starts_belong_to_examples_and_not_to_batches(network, batch, threat_model):
    images, labels = batch
    attack = PGD(steps=1, step_size=0.0)

    def start(where):
        parts = images[where], labels[where]
        return attack(network, *parts, threat_model, seed=4, index=torch.arange(12)[where])

    together = start(slice(0, 12))
    apart = torch.cat([start(slice(i, i + 5)) for i in (0, 5, 10)])
    assert torch.equal(together, apart)


@every_norm
def test_results_do_not_depend_on_the_batch_size(network, batch, threat_model):
    images, labels = batch

    def run(size):
        attack = PGD(steps=10, restarts=2)
        return torch.cat([
            attack(network, images[part], labels[part], threat_model, seed=1, index=part)
            for part in torch.arange(12).split(size)
        ])  # fmt: skip

    assert torch.allclose(run(12), run(5), atol=1e-5)
    assert torch.allclose(run(12), run(1), atol=1e-5)


def test_restarts_begin_elsewhere(network, batch):
    images, labels = batch
    index, arguments = torch.arange(12), (BALLS[0],)
    one = PGD(1, step_size=0.0)(network, images, labels, *arguments, seed=0, index=index)
    two = PGD(1, step_size=0.0)(network, images, labels, *arguments, seed=1, index=index)
    assert not torch.equal(one, two)


@every_norm
def test_more_restarts_never_break_fewer(network, batch, threat_model):
    images, labels = batch

    def broken(restarts):
        attack = PGD(steps=3, restarts=restarts)
        found = attack(network, images, labels, threat_model, seed=0, index=torch.arange(12))
        return network(found).argmax(1) != labels

    assert (broken(1) <= broken(4)).all()


def test_the_point_of_highest_loss_is_kept_where_nothing_breaks(network, batch):
    images, labels = batch
    tiny = ThreatModel("Linf", Fraction(1, 10_000))
    index, seen = torch.arange(12), []

    def watch(module, images, logits):
        seen.append(nn.functional.cross_entropy(logits, labels, reduction="none"))

    handle = network.register_forward_hook(watch)
    found = PGD(steps=5)(network, images, labels, tiny, seed=0, index=index)
    handle.remove()
    loss = nn.functional.cross_entropy(network(found), labels, reduction="none")
    assert len(seen) == 6
    assert torch.allclose(loss, torch.stack(seen).amax(0), atol=1e-6)


def test_misclassified_points_win_over_points_of_higher_loss():
    class Steps(nn.Module):
        """Sure below 0.4, wrong by little up to 0.7, above it right by less: the highest loss."""

        def forward(self, images):
            pixel = images.flatten(1)
            logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.2, -20.0], [0.03, 0.0, 0.0]])
            upwards = (pixel - pixel.detach()) * torch.tensor([-1.0, 1.0, 0.0])
            return logits[(pixel > 0.4).long() + (pixel > 0.7)].flatten(1) + upwards

    images = torch.full((1, 1, 1, 1), 0.1)
    labels = torch.zeros(1, dtype=torch.int64)
    attack = PGD(steps=4, step_size=0.2, start="zero")
    threat_model = ThreatModel("Linf", Fraction(4, 5))
    found = attack(Steps(), images, labels, threat_model, seed=0, index=torch.arange(1))
    assert float(found) == pytest.approx(0.5)


def test_a_network_without_gradient_leaves_the_start(batch):
    class Constant(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3] * 0.0

    images, _ = batch
    labels = torch.zeros(12, dtype=torch.int64)
    for threat_model in BALLS:
        attack = PGD(steps=3, start="zero")
        found = attack(Constant(), images, labels, threat_model, seed=0, index=torch.arange(12))
        assert torch.equal(found, images)


def test_networks_that_answer_nan_leave_the_clean_image(batch):
    class Broken(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3] * math.nan

    images, _ = batch
    labels = torch.ones(12, dtype=torch.int64)
    found = PGD(steps=2)(Broken(), images, labels, BALLS[0], seed=0, index=torch.arange(12))
    assert found.isfinite().all()
