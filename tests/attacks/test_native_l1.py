"""APGD in L1 takes the steps of AutoAttack's package."""

import math
from fractions import Fraction

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import nn

from clbench.attacks.native.apgd_l1 import APGDL1
from clbench.attacks.native.pool_attack import Ball, Example, targets_of
from clbench.attacks.native.pooled import DirectNetwork, Pooled
from clbench.attacks.norms import is_inside
from clbench.schema.threat_model import ThreatModel

N, CLASSES = 12, 6
BALL = ThreatModel("L1", Fraction(3, 2))


@pytest.fixture
def network():
    layers = nn.Conv2d(2, 6, 3), nn.Softplus(), nn.Flatten(), nn.Linear(216, CLASSES)
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    network[3].weight *= 4
    return network


@pytest.fixture
def images(network):
    """Images at which rounding seldom decides which pixels count as changed, in the package too.

    It adds a change and takes it away again before it counts.
    """
    return torch.randint(1, 3, (N, 2, 8, 8)) / 2


def begun(attack, images, labels, logits=None):
    one, ball = torch.ones(1), Ball.of(BALL, 5, "test")
    targets = [None] * N if logits is None else targets_of(attack, logits, labels)
    items = [
        attack.begin(
            Example(images[i : i + 1], labels[i : i + 1], torch.tensor([i]), one, targets[i]), ball
        )
        for i in range(N)
    ]
    return type(items[0]).join(items), ball


def agree(found, expected):
    """Losses, of all items but one at most: one pixel more or less is another way up."""
    near = (found - expected).abs() <= 1e-5 * (1 + expected.abs())
    return near.sum() >= N - 1


def to_the_end(attack, network, items, ball):
    done = torch.zeros(len(items), dtype=torch.bool)
    broken = done.clone()
    while not done.all():
        step = attack.step(DirectNetwork(network), items, ball)
        items, done, broken = step.items, step.done, broken | step.found
    return items, broken


def theirs_of(network, attack, **settings):
    kind = APGDAttack_targeted if attack.n_target_classes else APGDAttack
    loss = {} if attack.n_target_classes else {"loss": attack.loss}
    return kind(network, norm="L1", eps=float(BALL.eps), device="cpu", **loss, **settings)


def run_of_the_package(theirs, images, labels, start, n_iter, monkeypatch):
    """Its three balls, from the start given."""
    theirs.init_hyperparam(images)
    monkeypatch.setattr(torch, "randn_like", lambda x: start - x)
    first = math.ceil(0.3 * n_iter)
    radii = [factor * float(BALL.eps) for factor in (3, 2, 1)]
    return theirs.decr_eps_pgd(images, labels, radii, [first, first, n_iter - 2 * first])


@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("n_iter", [2, 10, 50, 100])
def test_every_ball_is_left_with_the_loss_of_the_package(
    network, images, monkeypatch, loss, n_iter
):
    labels, attack = network(images).argmax(1), APGDL1(loss, n_iter=n_iter)
    first, ball = begun(attack, images, labels)
    last, broken = to_the_end(attack, network, first, ball)
    theirs = theirs_of(network, attack)
    _, right, losses, _ = run_of_the_package(theirs, images, labels, first.x, n_iter, monkeypatch)
    assert agree(last.best_loss, losses)
    assert (broken == ~right).sum() >= N - 1


def test_targets_end_with_the_loss_of_the_package(network, images, monkeypatch):
    logits = network(images)
    labels, attack = logits.argmax(1), APGDL1("dlr-targeted", n_iter=40, n_target_classes=3)
    first, ball = begun(attack, images, labels, logits)
    last, broken = to_the_end(attack, network, first, ball)
    theirs = theirs_of(network, attack)
    for attempt in range(3):
        here = first.attempt == attempt
        theirs.y_target = logits.argsort(dim=1)[:, -attempt - 2]
        assert torch.equal(theirs.y_target, first.target[here])
        with monkeypatch.context() as patch:
            _, right, losses, _ = run_of_the_package(
                theirs, images, labels, first.x[here], 40, patch
            )
        assert agree(last.best_loss[here], losses)
        assert (broken[here] == ~right).sum() >= N - 1


@pytest.mark.parametrize("n_iter", [1, 10, 40, 100])
def test_one_ball_is_left_with_the_loss_of_the_package(network, images, monkeypatch, n_iter):
    labels = network(images).argmax(1)
    attack = APGDL1("ce", n_iter=n_iter, use_largereps=False)
    first, ball = begun(attack, images, labels)
    last, broken = to_the_end(attack, network, first, ball)
    theirs = theirs_of(network, attack, n_iter=n_iter)
    theirs.init_hyperparam(images)
    monkeypatch.setattr(torch, "randn", lambda _shape: first.x - images)
    _, right, losses, _ = theirs.attack_single_run(images, labels)
    assert agree(last.best_loss, losses)
    assert (broken == ~right).sum() >= N - 1


@pytest.mark.parametrize("use_largereps", [True, False])
@pytest.mark.parametrize("n_restarts", [1, 3])
def test_points_that_count_lie_in_the_ball(network, images, use_largereps, n_restarts):
    labels = network(images).argmax(1)
    attack = APGDL1("ce", n_iter=10, n_restarts=n_restarts, use_largereps=use_largereps)
    items, ball = begun(attack, images, labels)
    one_restart = attack.n_steps // n_restarts
    starts = []
    for number in range(attack.n_steps):
        if number % one_restart == 0:
            starts.append(items.x)
        if number % one_restart >= (3 + 1) * 2 or not use_largereps:
            assert is_inside(items.x, images, BALL).all()
        assert 0 <= items.x.min() <= items.x.max() <= 1
        step = attack.step(DirectNetwork(network), items, ball)
        assert bool(step.done.all()) == (number + 1 == attack.n_steps)
        items = step.items
    assert len(torch.stack(starts).unique(dim=0)) == n_restarts


class Unbreakable(nn.Module):
    """Says 0 whatever it sees, and counts how often it is asked."""

    n_calls = 0

    def forward(self, images):
        self.n_calls += 1
        brightness = images.mean(dim=(1, 2, 3))
        return torch.stack([9 + brightness, brightness**2, -brightness], dim=1)


@pytest.mark.parametrize("n_iter", [2, 3, 7, 40, 100])
def test_passes_are_those_of_the_package(images, n_iter):
    labels, ours, theirs = torch.zeros(N, dtype=torch.int64), Unbreakable(), Unbreakable()
    attack = Pooled("test", APGDL1("ce", n_iter=n_iter, n_restarts=2))
    attack(ours, images, labels, BALL, seed=0, index=torch.arange(N))
    settings = {"n_iter": n_iter, "n_restarts": 2, "use_largereps": True}
    theirs_of(theirs, attack.attack, **settings).perturb(images, labels)
    assert ours.n_calls == theirs.n_calls - 1 == 2 * (n_iter + 3)


def test_a_restart_finds_what_the_first_start_did_not(network):
    images = torch.rand(60, 2, 8, 8)
    labels = network(images).argmax(1)
    counts = []
    for n_restarts in (1, 4):
        attack = Pooled("test", APGDL1("ce", n_iter=6, n_restarts=n_restarts))
        found = attack(network, images, labels, BALL, seed=0, index=torch.arange(60))
        counts.append(int((network(found).argmax(1) != labels).sum()))
        assert is_inside(found, images, BALL).all()
    assert 5 < counts[0] < counts[1] < 60
