"""clbench's own attacks take the steps of AutoAttack's package, wherever both can be compared."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_projections import projection_l1, projection_l2, projection_linf
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import nn

from clbench.attacks.native.apgd import APGD
from clbench.attacks.native.fab import FAB
from clbench.attacks.native.hyperplane import step_to_hyperplane
from clbench.attacks.native.pool_attack import Ball, Example, targets_of
from clbench.attacks.native.pooled import DirectNetwork
from clbench.attacks.native.square import Square
from clbench.attacks.native.windows import patterns, sides
from clbench.schema.threat_model import ThreatModel

N, CLASSES = 12, 6
EPS = {"Linf": Fraction(1, 50), "L2": Fraction(1, 4), "L1": Fraction(2)}
ORDER = {"Linf": float("inf"), "L2": 2, "L1": 1}
both_norms = pytest.mark.parametrize("norm", ["Linf", "L2"])
every_norm = pytest.mark.parametrize("norm", EPS)


@pytest.fixture(autouse=True)
def in_double_precision():
    """So that rounding does not decide the sign of a slope."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def network(in_double_precision):
    layers = nn.Conv2d(2, 6, 3), nn.Softplus(), nn.Flatten(), nn.Linear(216, CLASSES)
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    network[3].weight *= 4
    return network


@pytest.fixture
def images(network):
    return torch.rand(N, 2, 8, 8) * 0.9 + 0.05


def begun(attack, images, labels, ball, logits):
    """Return the items of all examples, attempt by attempt."""
    one = torch.ones(1)
    aims = attack.n_target_classes > 0
    targets = targets_of(attack, logits, labels) if aims else [None] * len(images)
    items = [
        attack.begin(
            Example(images[i : i + 1], labels[i : i + 1], torch.tensor([i]), one, targets[i]), ball
        )
        for i in range(len(images))
    ]
    return type(items[0]).join(items)


def to_the_end(attack, network, images, labels, norm, eps):
    """Return all items before their first step and after their last one, with none leaving."""
    ball = Ball.of(ThreatModel(norm, eps), 5, "test")
    first = begun(attack, images, labels, ball, network(images))
    items, done = first, torch.zeros(len(first), dtype=torch.bool)
    while not done.all():
        step = attack.step(DirectNetwork(network), items, ball)
        items, done = step.items, step.done
    return first, items


@both_norms
@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("n_iter", [7, 40])
def test_apgd_finds_the_losses_of_the_package(network, images, norm, loss, n_iter):
    labels = network(images).argmax(1)
    first, last = to_the_end(APGD(loss, n_iter=n_iter), network, images, labels, norm, EPS[norm])
    theirs = APGDAttack(
        network, n_iter=n_iter, norm=norm, eps=float(EPS[norm]), loss=loss, device="cpu"
    )
    theirs.init_hyperparam(images)
    _, _, losses, _ = theirs.attack_single_run(images, labels, x_init=first.x)
    assert last.best_loss == pytest.approx(losses.numpy(), rel=1e-6)


@both_norms
def test_targeted_apgd_finds_the_losses_of_the_package(network, images, norm):
    labels, attack = network(images).argmax(1), APGD("dlr-targeted", n_iter=40, n_target_classes=3)
    first, last = to_the_end(attack, network, images, labels, norm, EPS[norm])
    theirs = APGDAttack_targeted(network, n_iter=40, norm=norm, eps=float(EPS[norm]), device="cpu")
    theirs.init_hyperparam(images)
    for attempt in range(3):
        here = first.attempt == attempt
        theirs.y_target = network(images).argsort(dim=1)[:, -attempt - 2]
        assert torch.equal(theirs.y_target, first.target[here])
        _, _, losses, _ = theirs.attack_single_run(images, labels, x_init=first.x[here])
        assert last.best_loss[here] == pytest.approx(losses.numpy(), rel=1e-6)


@every_norm
@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("beta", [0.9, 0.6])
def test_fab_finds_the_distances_of_the_package(network, images, norm, targeted, beta):
    torch.set_default_dtype(torch.float32)  # which the package always takes
    network, images = network.float(), images.float()
    labels = network(images).argmax(1)
    attack = FAB(n_target_classes=2 if targeted else 0, n_iter=20, beta=beta, to_the_end=True)
    _, last = to_the_end(attack, network, images, labels, norm, EPS[norm])
    theirs = FABAttack_PT(network, norm=norm, n_iter=20, eps=1.0, beta=beta, device="cpu")
    for attempt in range(attack.attempts):
        theirs.target_class = attempt + 2
        found = theirs.attack_single_run(images, labels, is_targeted=targeted)
        theirs_far = (found - images).flatten(1).norm(ORDER[norm], dim=1)
        ours_far = last.distance[last.attempt == attempt]
        assert ours_far.isfinite().float().mean() >= 0.9
        assert ours_far == pytest.approx(
            theirs_far.where(ours_far.isfinite(), torch.inf).numpy(), rel=1e-3
        )


PROJECTIONS = {"Linf": projection_linf, "L2": projection_l2, "L1": projection_l1}


@pytest.mark.parametrize("norm", PROJECTIONS)
@pytest.mark.parametrize("way", [0.01, 0.5, 3.0, 1e4])
def test_the_step_to_a_hyperplane_is_that_of_the_package(norm, way):
    points, normal = torch.rand(40, 3, 5, 5), torch.randn(40, 3, 5, 5)
    points[::3] = points[::3].round()  # pixels that can move one way only
    normal[::4] *= torch.rand(10, 3, 5, 5) < 0.2
    gap = way * torch.randn(40)
    ours = step_to_hyperplane(points, normal, gap, norm)
    at = gap + (normal * points).sum((1, 2, 3))
    theirs = PROJECTIONS[norm](points.flatten(1), normal.flatten(1), at).reshape(points.shape)
    assert (points + ours).min() > -1e-9
    assert (points + ours).max() < 1 + 1e-9
    gained = (normal * ours).sum((1, 2, 3))
    reachable = gap.abs() <= (
        normal.abs() * torch.where(normal * gap[:, None, None, None] > 0, 1 - points, points)
    ).sum((1, 2, 3))
    assert gained[reachable] == pytest.approx(gap[reachable].numpy(), rel=2e-6)
    mine, other = (one.flatten(1).norm(ORDER[norm], dim=1)[reachable] for one in (ours, theirs))
    assert mine == pytest.approx(other.numpy(), rel=1e-4)


@pytest.mark.parametrize("n_queries", [100, 5000])
@pytest.mark.parametrize("rescale", [False, True])
def test_windows_shrink_as_those_of_the_package(n_queries, rescale):
    theirs = SquareAttack(None, n_queries=n_queries, resc_schedule=rescale, eps=1.0, device="cpu")
    shares = [theirs.p_selection(query) for query in range(n_queries)]
    expected = [max(round(np.sqrt(share * 32 * 32)), 1) for share in shares]
    assert sides(n_queries, 0.8, (32, 32), rescale=rescale, odd=False).tolist() == expected


@pytest.mark.parametrize(("norm", "power"), [("L2", 2), ("L1", 4)])
def test_patterns_are_those_of_the_package(norm, power):
    theirs = SquareAttack(None, norm=norm, eps=1.0, device="cpu")
    for side in (3, 5, 6, 9, 14):
        while True:  # half of the time it is transposed
            pattern = theirs.eta(side)
            if abs(float(pattern[0].sum())) > abs(float(pattern[:, 0].sum())):
                break
        ours = patterns(16, power)[side, :side, :side]
        assert ours.numpy() == pytest.approx(pattern.float().numpy(), abs=1e-6)


@every_norm
def test_square_never_leaves_the_ball_and_never_grows_worse(network, images, norm):
    labels, eps = network(images).argmax(1), {"Linf": 0.02, "L2": 0.3, "L1": 2.0}[norm]
    attack = Square(n_queries=60)
    ball = Ball.of(ThreatModel(norm, Fraction(str(eps))), 5, "test")
    items, margins = begun(attack, images, labels, ball, None), []

    def watch(_network, asked):
        far = ball.norm.distance(asked[0], images)
        assert far.max() <= eps * (1 + 1e-6)
        assert asked[0].min() >= 0
        assert asked[0].max() <= 1

    network.register_forward_pre_hook(watch)
    for _ in range(60):
        items = attack.step(DirectNetwork(network), items, ball).items
        margins.append(items.margin)
    falls = torch.stack(margins).diff(dim=0)
    assert (falls <= 0).all()
    assert (falls < 0).sum() > 3 * N


@every_norm
@pytest.mark.parametrize("ahead", [3, 7, 40])
def test_looking_ahead_leads_where_single_queries_lead(network, images, norm, ahead):
    labels, eps = network(images).argmax(1), {"Linf": "1/50", "L2": "3/10", "L1": "2"}[norm]
    attack, ball = Square(n_queries=230), Ball.of(ThreatModel(norm, Fraction(eps)), 5, "test")
    here = torch.tensor([0, 3, 4])
    one = begun(attack, images[here], labels[here], ball, None)
    few = one.take(slice(None))
    seen, calls, network = {}, 0, DirectNetwork(network)
    for _ in range(attack.n_steps):
        one = attack.step(network, one, ball).items
        for row, step in enumerate(one.step.tolist()):
            seen[row, step] = one.best[row], one.margin[row]
    row = torch.arange(3 * ahead - 1)  # the last item has one row less
    while (few.step < attack.n_steps).any():
        few, calls = attack.look_ahead(network, few, ball, row % 3, row // 3).items, calls + 1
        for place, step in enumerate(few.step.tolist()):
            best, least = seen[place, step]
            assert few.best[place].numpy() == pytest.approx(best.numpy(), abs=1e-12)
            assert few.margin[place] == pytest.approx(float(least), abs=1e-9)
    assert calls < 0.8 * attack.n_steps


def fed(numbers, monkeypatch):
    """Let torch.rand return these numbers, one after the other."""
    numbers = iter(numbers)

    def rand(shape):
        size = torch.Size(shape)
        return torch.tensor([next(numbers) for _ in range(size.numel())]).reshape(size)

    monkeypatch.setattr(torch, "rand", rand)


@pytest.mark.parametrize(("norm", "eps"), [("L2", "3/10"), ("L1", "3/2"), ("L1", "8")])
@pytest.mark.parametrize("example", range(4))
def test_square_with_the_numbers_of_the_package_goes_where_the_package_goes(
    network, images, norm, eps, example, monkeypatch
):
    torch.set_default_dtype(torch.float32)  # which the package's projection always takes
    network, images = network.float(), images.float()
    queries, (c, h, w) = 80, (2, 8, 8)
    clean, labels = images[example : example + 1], torch.tensor([example % CLASSES])
    network[3].bias[labels] += 50  # so that it is never broken
    attack, ball = Square(n_queries=queries), Ball.of(ThreatModel(norm, Fraction(eps)), 5, "test")
    items = attack.begin(Example(clean, labels, labels, torch.ones(1), None), ball)
    for _ in range(queries + 1):
        items = attack.step(DirectNetwork(network), items, ball).items
    start, n_move = ball.numbers.uniform(example, 0, 0, n=h * w * (1 + c)), 5 + c
    moves = ball.numbers.uniform(example, 0, 1, n=100 * n_move).reshape(100, n_move)[:queries]
    start[:: 1 + c] = 1 - start[:: 1 + c]  # the package turns a pattern by the other half
    moves[:, 4] = 1 - moves[:, 4]
    fed([*start.tolist(), *moves.flatten().tolist()], monkeypatch)
    theirs = SquareAttack(
        network, norm=norm, n_queries=queries, eps=float(Fraction(eps)), resc_schedule=False
    )
    theirs.init_hyperparam(clean)
    _, best = theirs.attack_single_run(clean, labels)
    assert (best - clean).abs().max() > 0.05
    assert items.best.numpy() == pytest.approx(best.numpy(), abs=1e-5)
