"""Square does not ask what it knows, and goes exactly where it goes when it asks everything."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.attacks.native.pool_attack import Ball, Example
from clbench.attacks.native.pooled import DirectNetwork
from clbench.attacks.native.square import Square
from clbench.attacks.native.square_items import BLOCK, SquareItems
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.run import evaluate
from clbench.schema.threat_model import ThreatModel

N, CLASSES = 4, 5
SHAPES = [(1, 6, 6), (1, 8, 8), (1, 5, 9), (1, 9, 5), (2, 8, 8), (3, 6, 6), (1, 1, 12)]
UNSEEN = (4, 17, 16)  # more numbers than are remembered


@pytest.fixture(autouse=True)
def in_double_precision():
    """So that rows and columns of a batch add up alike, wherever an image lies."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_network(shape):
    torch.manual_seed(1)
    n = shape[0] * shape[1] * shape[2]
    layers = nn.Flatten(), nn.Linear(n, 40), nn.Tanh(), nn.Linear(40, CLASSES)
    return nn.Sequential(*layers).eval().requires_grad_(False)


def begun(attack, network, shape, ball):
    images = torch.rand(N, *shape, generator=torch.Generator().manual_seed(3))
    labels, one = network(images).argmax(1), torch.ones(1)
    parts = [
        attack.begin(Example(images[[k]], labels[[k]], torch.tensor([k]), one, None), ball)
        for k in range(N)
    ]
    return SquareItems.join(parts)


def steps_of(attack, network, items, ball, ahead):
    """Yield the items after every call, to the end, and how many answers they needed."""
    row = torch.arange(N * ahead)
    for _ in range(attack.n_steps):
        made = attack.look_ahead(network, items, ball, row % N, row // N)
        items = made.items
        yield items, made.asked
        if made.done.all():
            return
    pytest.fail("it does not end")


@pytest.mark.parametrize("shape", [*SHAPES, UNSEEN], ids=str)
@pytest.mark.parametrize(
    ("n_queries", "p_init", "rescale"),
    [(3, 0.8, False), (100, 0.1, True), (101, 0.8, False), (420, 0.2, True)],
)
def test_what_is_not_asked_would_have_changed_nothing(shape, n_queries, p_init, rescale):
    attack = Square(n_queries=n_queries, p_init=p_init, resc_schedule=rescale)
    ball = Ball.of(ThreatModel("Linf", Fraction(1, 20)), 5, "test")
    network = make_network(shape)
    items, seen = begun(attack, network, shape, ball), {}
    for every, _ in steps_of(attack, DirectNetwork(network), items, ball, 1):
        for row, step in enumerate(every.step.tolist()):
            seen[row, step] = every.best[row], float(every.margin[row])
    asked = torch.zeros(N, dtype=torch.int64)
    for some, answers in steps_of(attack, DirectNetwork(network, True), items, ball, 3):
        asked += answers
        for row, step in enumerate(some.step.tolist()):
            best, margin = seen[row, step]
            assert torch.equal(some.best[row], best)
            assert float(some.margin[row]) == pytest.approx(margin, abs=1e-12)
    assert (asked <= attack.n_steps).all()
    if shape == UNSEEN:
        assert (asked == attack.n_steps).all()
    elif n_queries > 4 * BLOCK and max(shape) < 10:
        assert asked.sum() < 0.9 * N * attack.n_steps


@pytest.mark.parametrize("norm", ["L2", "L1"])
def test_in_other_norms_everything_is_asked(norm):
    attack, ball = Square(n_queries=150), Ball.of(ThreatModel(norm, Fraction(1, 2)), 5, "test")
    network = make_network((1, 8, 8))
    items = begun(attack, network, (1, 8, 8), ball)
    steps = steps_of(attack, DirectNetwork(network, True), items, ball, 3)
    assert sum(answers for _, answers in steps).tolist() == [attack.n_steps] * N


def test_restarts_ask_everything():
    """Attempts of an example have to end together."""
    attack, ball = Square(n_queries=150, n_restarts=2), Ball.of(LINF, 5, "test")
    network = make_network((1, 8, 8))
    images = torch.rand(1, 1, 8, 8)
    example = Example(images, network(images).argmax(1), torch.tensor([0]), torch.ones(1), None)
    items = attack.begin(example, ball)
    for _ in range(attack.n_steps):
        made = attack.step(DirectNetwork(network, True), items, ball)
        items = made.items
        assert made.asked.tolist() == [1, 1]
    assert made.done.all()


LINF = ThreatModel("Linf", Fraction(1, 30))


def asked_of(network, n_queries=400):
    torch.set_default_dtype(torch.float32)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network(images).argmax(1)
    steps = bind(plan_attack(f"square,n_queries={n_queries}", "Linf", CLASSES), CLASSES)
    images = make_image_set("six", images, labels, CLASSES)
    found = evaluate(network, images, steps, LINF, seed=0, batch_size=4, device="cpu")
    return found.broken_by.count(""), found.forward_passes


class Jittering(nn.Module):
    """Answers a little otherwise every time."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images) + 1e-3 * torch.rand(1, dtype=images.dtype)


class Ordered(Jittering):
    """Answers the first image of a batch otherwise."""

    def forward(self, images):
        logits = self.inner(images)
        return logits * (1 + 1e-3 * (torch.arange(len(images)) == 0))[:, None]


@pytest.mark.parametrize("wrapped", [Jittering, Ordered])
def test_a_network_that_does_not_repeat_itself_is_asked_everything(wrapped):
    plain = make_network((1, 8, 8)).float()
    plain[3].bias[0] += 5  # so that it is never broken
    robust, passes = asked_of(plain)
    robust_too, all_passes = asked_of(wrapped(plain))
    assert robust == robust_too == 6
    assert all_passes - 6 * 401 in range(100)  # those before the attack
    assert passes < 0.7 * all_passes
