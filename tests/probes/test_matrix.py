import math

import numpy as np
import pytest
from scipy.stats import t

from clbench.probes.similarity.matrix import Axis, Similarities, SimilarityMatrix
from clbench.probes.similarity.summaries import diagonal_mean, whole_mean
from clbench.schema.errors import UnknownNameError


@pytest.fixture
def matrix():
    values = np.array([[0.9, 0.3, 0.1], [0.2, 0.8, 0.4]])
    left_out = values + np.array([-0.02, 0.0, 0.01, 0.03])[:, None, None]
    rows = Axis("a adversarial", ("stem", "logits"), ("", ""), against="a")
    columns = Axis("a clean", ("stem", "pool", "logits"), ("", "", ""))
    return SimilarityMatrix(rows, columns, values, left_out, 40, "cka", "debiased-minibatch")


def test_an_entry_is_found_by_the_names_of_its_layers(matrix):
    found = matrix.entry("logits", "pool")
    assert (found.name, found.value, found.n) == ("logits", 0.8, 40)
    assert matrix.entry("logits", "pool", "cka").name == "cka"


def test_the_intervals_of_the_matrix_are_those_of_its_entries(matrix):
    for i, row in enumerate(matrix.rows.layers):
        for j, column in enumerate(matrix.columns.layers):
            found = matrix.entry(row, column)
            assert (matrix.low[i, j], matrix.high[i, j]) == pytest.approx((found.low, found.high))
            assert found.low < found.value < found.high


def test_the_diagonal_is_of_the_layers_that_both_sides_have(matrix):
    assert [(one.name, one.value) for one in matrix.diagonal()] == [("stem", 0.9), ("logits", 0.4)]


def test_a_summary_has_the_jackknife_interval_of_the_summary(matrix):
    found = matrix.estimate("mean", whole_mean)
    assert found.value == pytest.approx(matrix.values.mean())
    half = t.ppf(0.975, 3) * math.sqrt(3 * np.var([-0.02, 0.0, 0.01, 0.03]))
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_a_part_keeps_values_intervals_and_reasons_together(matrix):
    part = matrix.take(["logits"], ["logits", "stem"])
    assert part.values.tolist() == [[0.4, 0.2]]
    assert part.left_out[0, 0].tolist() == pytest.approx([0.38, 0.18])
    assert part.rows == Axis("a adversarial", ("logits",), ("",), "a")
    assert matrix.take(["stem", "logits"]).estimate("mean", diagonal_mean).value == pytest.approx(
        0.65
    )


def test_a_matrix_can_be_turned_over(matrix):
    turned = matrix.transposed
    assert turned.entry("pool", "logits").value == 0.8
    assert (turned.rows.representation, turned.columns.representation) == (
        "a clean",
        "a adversarial",
    )
    assert turned.transposed.values.tolist() == matrix.values.tolist()
    assert turned.low.T.tolist() == matrix.low.tolist()


def test_an_undefined_layer_makes_all_undefined_that_it_is_part_of_and_says_why(matrix):
    values = matrix.values.copy()
    values[:, 1] = math.nan
    columns = Axis("a clean", ("stem", "pool", "logits"), ("", "features do not vary", ""))
    broken = SimilarityMatrix(
        matrix.rows, columns, values, matrix.left_out, 40, "cka", "debiased-minibatch"
    )
    assert broken.entry("stem", "pool").reason == "features do not vary"
    assert broken.estimate("mean", whole_mean).reason == "pool: features do not vary"
    assert broken.take(["stem", "logits"]).estimate("mean", whole_mean).reason == ""


def test_one_group_leaves_no_interval(matrix):
    single = SimilarityMatrix(
        matrix.rows, matrix.columns, matrix.values, matrix.left_out[:1], 40, "cka", "debiased"
    )
    assert np.isnan(single.low).all()
    assert math.isnan(single.entry("stem", "stem").low)


def test_a_layer_that_is_not_there_is_met_with_the_nearest(matrix):
    with pytest.raises(
        UnknownNameError, match="unknown layer of a clean 'stam'; did you mean 'stem'"
    ):
        matrix.entry("stem", "stam")


def test_matrices_are_found_by_their_representations_in_any_order(matrix):
    found = Similarities({("a adversarial", "a clean"): matrix})
    assert found.matrix("a adversarial", "a clean") is matrix
    assert found.matrix("a clean", "a adversarial").values.tolist() == matrix.values.T.tolist()
    with pytest.raises(
        UnknownNameError, match="unknown matrix 'a clean x b'; known: a adversarial x a clean"
    ):
        found.matrix("a clean", "b")


@pytest.mark.parametrize("value", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.3])
def test_intervals_stay_inside_the_range_of_the_measure(value, spread):
    values = np.full((1, 1), value)
    left_out = value + spread * np.linspace(-1, 1, 6).reshape(6, 1, 1)
    axis = Axis("one", ("a",), ("",))
    matrix = SimilarityMatrix(axis, axis, values, left_out, 60, "cka", "debiased", (0.0, 1.0))
    found = matrix.entry("a", "a")
    assert 0 <= found.low <= value <= found.high <= 1
    assert (matrix.low[0, 0], matrix.high[0, 0]) == pytest.approx((found.low, found.high))


def test_an_interval_reaches_to_a_value_outside_of_the_range():
    axis = Axis("one", ("a",), ("",))
    left_out = np.full((6, 1, 1), -0.01) + 0.002 * np.arange(6).reshape(6, 1, 1)
    matrix = SimilarityMatrix(
        axis, axis, np.full((1, 1), -0.01), left_out, 60, "cka", "debiased", (0.0, 1.0)
    )
    assert matrix.entry("a", "a").low == -0.01
