"""What chance alone gives: orders, values in them, p-values, and the share of the heaviest."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from clbench.probes.similarity.cka import linear_cka
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.gram import centred_gram
from clbench.probes.similarity.measures import MEASURES
from clbench.probes.similarity.null import Shuffle, null_of
from clbench.probes.similarity.permutations import Triangles
from clbench.probes.similarity.representations import Inputs, Representation
from clbench.schema.errors import BadValueError, UnknownNameError

CPU = torch.device("cpu")

# --- the orders ---


@pytest.mark.parametrize("classes", [None, torch.tensor([0, 1, 2] * 8)])
def test_orders_hold_every_example_once_and_are_those_of_the_seed(classes):
    examples = torch.arange(24)
    orders = Shuffle(50, 3, classes).orders(examples)
    assert orders.sort(dim=1).values.equal(examples.expand(50, -1))
    assert len(orders.unique(dim=0)) == 50
    assert orders.equal(Shuffle(50, 3, classes).orders(examples))
    assert not orders.equal(Shuffle(50, 4, classes).orders(examples))


def test_examples_keep_their_class_where_classes_are_given():
    classes = torch.tensor([3, 0, 0, 7, 3, 0, 7, 7, 3, 1])
    examples = torch.tensor([9, 2, 0, 4, 8, 1, 5, 3])
    orders = Shuffle(200, 0, classes).orders(examples)
    here = classes[examples]
    assert here[orders].equal(here.expand(200, -1))
    assert (orders[:, 0] == 0).all()  # the only one of its class
    for place in range(1, 8):
        mates = {other for other in range(8) if here[other] == here[place]}
        assert set(orders[:, place].tolist()) == mates


def test_every_place_is_as_likely():
    orders = Shuffle(6000, 0).orders(torch.arange(6))
    counts = torch.stack([(orders == example).sum(dim=0) for example in range(6)])
    assert counts.double().sub(1000).abs().max() < 5 * math.sqrt(1000 * 5 / 6)


# --- values in other orders are those of features in these orders ---


def represented(name, features, layers=1):
    network = nn.Sequential(*(nn.Identity() for _ in range(layers)))
    return Representation(name, network, Inputs(features[:, :, None, None], "the same"))


def related(n, *, noise=1.0, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=drawn, dtype=torch.float64)
    y = x @ torch.randn(6, 4, generator=drawn, dtype=torch.float64)
    return x, y + noise * torch.randn(n, 4, generator=drawn, dtype=torch.float64)


def test_values_of_other_orders_are_those_of_reordered_features(slow, seen_together):
    x, y = related(53)
    shuffle, kept = Shuffle(7, 1), Triangles()
    pieces = seen_together(53, 16)
    assert len({len(piece) for piece in pieces}) > 1
    for piece in pieces:
        grams = {
            name: centred_gram(side[piece]).flatten()[None]
            for name, side in zip("xy", (x, y), strict=True)
        }
        kept.add(grams, piece)
    draws = kept.draws([("x", "y"), ("y", "y")], shuffle)
    orders = [shuffle.orders(piece) for piece in pieces]
    for k in range(7):
        for pair, side in (("x", x), ("y", y)):
            batches = [
                (side[piece].numpy(), y[piece][order[k]].numpy())
                for piece, order in zip(pieces, orders, strict=True)
            ]
            expected = slow.minibatch_cka(batches)
            assert float(draws[pair, "y"][k, 0, 0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", [name for name, row in MEASURES.items() if not row.accumulates])
def test_a_measure_of_all_examples_is_asked_in_other_orders(name):
    x, y = related(40)
    sides = [represented("x", x), represented("y", y)]
    found = compare(sides, [("x", "y")], device=CPU, measure=name, permutations=19)
    matrix, measure = found.matrix("x", "y").take(["logits"]), MEASURES[name]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    seen = [measure.reduce(side[order]) for side in (x, y)]
    draws = np.array(
        [
            float(measure.score(seen[0], measure.permute(seen[1], other)))
            for other in Shuffle(19, 0).orders(order)
        ]
    )
    one = matrix.null("any")
    sign = np.sign(measure.value_range[1] - measure.value_range[0])
    reached = (sign * draws >= sign * matrix.values[0, 0]).sum()
    assert one.p_value[0, 0] == pytest.approx((1 + reached) / 20)
    pool = sorted(sign * np.append(draws, matrix.values[0, 0]))
    assert one.level[0, 0] == pytest.approx(sign * pool[18])


# --- p-values ---

UPWARDS, DOWNWARDS = (0.0, 1.0), (1.0, 0.0)


def test_p_values_count_the_order_that_was_found_too():
    values, draws = np.array([[0.5]]), np.linspace(0.1, 0.9, 9)[:, None, None]
    found = null_of("any", values, draws, UPWARDS)
    assert (found.n, found.shuffled) == (9, "any")
    assert found.p_value[0, 0] == pytest.approx((1 + 5) / 10)
    assert found.p_adjusted[0, 0] == found.p_value[0, 0]
    less = null_of("any", 1 - values, 1 - draws, DOWNWARDS)
    assert less.p_value == pytest.approx(found.p_value)
    assert less.level == pytest.approx(1 - found.level)


def test_what_is_far_above_chance_has_the_smallest_p_value_and_no_smaller():
    draws = np.random.default_rng(0).normal(0, 0.1, (99, 2, 3))
    found = null_of("any", np.full((2, 3), 5.0), draws, UPWARDS)
    assert (found.p_value == 0.01).all()
    assert (found.p_adjusted == 0.01).all()
    assert (found.level > draws.mean()).all()


def test_cells_of_any_spread_count_alike_in_the_largest():
    """A cell that varies a hundred times as much must not hide what another one shows."""
    drawn = np.random.default_rng(0)
    draws = np.stack([drawn.normal(0, 1, 999), drawn.normal(0, 0.01, 999)], axis=1)[:, None, :]
    found = null_of("any", np.array([[0.0, 0.1]]), draws, UPWARDS)
    assert found.p_adjusted[0, 1] == pytest.approx(0.001)
    assert found.p_adjusted[0, 0] > 0.5


def test_what_is_undefined_has_no_p_value():
    draws = np.zeros((9, 1, 3))
    draws[:, 0, 0], draws[4, 0, 1] = np.linspace(0, 1, 9), np.nan
    found = null_of("any", np.array([[0.5, 0.5, np.nan]]), draws, UPWARDS)
    assert np.isnan(found.p_value[0]).tolist() == [False, True, True]
    assert np.isnan(found.p_adjusted[0]).tolist() == [False, True, True]
    assert np.isnan(found.level[0]).tolist() == [False, True, True]


def test_unrelated_matrices_raise_an_alarm_in_one_of_twenty():
    alarms, trials = 0, 400
    shuffle = Shuffle(99, 0)
    for trial in range(trials):
        drawn = torch.Generator().manual_seed(trial)
        kept = Triangles()
        stacks = {}
        for name in "xy":
            features = torch.randn(24, 3, generator=drawn, dtype=torch.float64)
            layers = [
                features @ torch.randn(3, 5, generator=drawn, dtype=torch.float64) for _ in range(4)
            ]
            stacks[name] = torch.stack([centred_gram(layer.relu()).flatten() for layer in layers])
        kept.add(stacks, torch.arange(24))
        draws = kept.draws([("x", "y")], shuffle)["x", "y"].numpy()
        length = stacks["x"].norm(dim=1)[:, None] * stacks["y"].norm(dim=1)[None]
        values = (stacks["x"] @ stacks["y"].T / length).numpy()
        alarms += bool((null_of("any", values, draws, UPWARDS).p_adjusted <= 0.05).any())
    assert 0.02 < alarms / trials < 0.08


# --- from networks ---


def of_clusters(n=200, *, shared):
    """Two sides that share which cluster an example is in, and within it what ``shared`` says."""
    drawn = torch.Generator().manual_seed(5)
    classes = torch.arange(n) % 5
    centres = 3 * torch.randn(5, 8, generator=drawn, dtype=torch.float64)
    one, other = (torch.randn(n, 8, generator=drawn, dtype=torch.float64) for _ in "ab")
    return classes, centres[classes] + one, centres[classes] + shared * one + (1 - shared) * other


@pytest.mark.parametrize(("shared", "above"), [(0.0, False), (1.0, True)])
def test_within_classes_only_more_than_classes_is_above_chance(shared, above):
    classes, x, y = of_clusters(shared=shared)
    sides = [represented("x", x), represented("y", y)]
    found = compare(sides, [("x", "y")], device=CPU, permutations=199, classes=classes)
    matrix = found.matrix("x", "y").take(["logits"])
    assert matrix.values[0, 0] > 0.5
    assert matrix.null("any").p_adjusted[0, 0] == pytest.approx(1 / 200)
    assert matrix.null("any").level[0, 0] < 0.1
    assert (matrix.null("classes").p_adjusted[0, 0] <= 0.05) == above
    assert matrix.null("classes").level[0, 0] > 0.5


def test_without_permutations_there_is_no_null():
    sides = [represented("x", torch.rand(20, 4))]
    matrix = compare(sides, device=CPU).matrix("x", "x")
    assert matrix.nulls == ()
    assert matrix.heaviest is None
    with pytest.raises(UnknownNameError, match="unknown null 'any'"):
        matrix.null("any")


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_an_estimator_of_tiles_cannot_shuffle_and_says_which_can(estimator):
    side = represented("x", torch.rand(20, 4))
    message = f"permutations must be 0 for the estimator '{estimator}', got 9; choose debiased-mini"
    with pytest.raises(BadValueError, match=message):
        compare([side], device=CPU, estimator=estimator, permutations=9)


def test_a_null_is_transposed_and_taken_with_its_matrix():
    x, y = related(60)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    sides = [
        Representation("x", network, Inputs(x[:, :, None, None], "the same")),
        represented("y", y),
    ]
    found = compare(sides, [("x", "y")], device=CPU, permutations=29)
    whole, turned = found.matrix("x", "y"), found.matrix("y", "x")
    for name in ("level", "p_value", "p_adjusted"):
        table = getattr(whole.null("any"), name)
        assert table.shape == whole.values.shape
        assert getattr(turned.null("any"), name) == pytest.approx(table.T)
        part = whole.take(["logits"], ["logits"]).null("any")
        assert getattr(part, name) == pytest.approx(table[-1:, -1:])


# --- the heaviest examples ---


def test_an_outlier_carries_nearly_all_and_even_examples_carry_their_share():
    even = torch.randn(400, 30, dtype=torch.float64)
    far = even.clone()
    far[17] *= 300
    shares = {}
    for name, x in (("even", even), ("far", far)):
        sides = [represented(side, x) for side in "ab"]
        found = compare(sides, [("a", "b")], device=CPU, permutations=1).matrix("a", "b")
        (shares[name],) = found.take(["logits"]).heaviest
    assert 0.01 < shares["even"] < 0.03
    assert shares["far"] > 0.45


def test_the_share_is_that_of_the_definition(seen_together):
    x, y = related(130)
    sides = [represented("x", x), represented("y", y)]
    found = compare(sides, [("x", "y")], device=CPU, permutations=1, precision="float64").matrix(
        "x", "y"
    )
    carried = torch.cat(
        [
            (centred_gram(x[piece]) * centred_gram(y[piece])).sum(dim=1)
            / (len(piece) * (len(piece) - 3))
            for piece in seen_together(130)
        ]
    )
    expected = carried.topk(2).values.sum() / carried.sum()
    assert found.take(["logits"]).heaviest[0] == pytest.approx(float(expected), abs=1e-6)
    assert linear_cka(x, y) == pytest.approx(found.entry("logits", "logits").value, abs=0.1)
