import math

import numpy as np
import pytest

from clbench.probes.similarity.matrix import Axis, Block, Similarities
from clbench.probes.similarity.summaries import diagonal_mean, whole_mean
from clbench.schema.errors import UnknownNameError


@pytest.fixture
def block():
    values = np.array([[0.9, 0.3, 0.1], [0.2, 0.8, 0.4]])
    left_out = values + np.array([-0.02, 0.0, 0.01, 0.03])[:, None, None]
    rows = Axis("a adversarial", ("stem", "logits"), ("", ""), against="a")
    columns = Axis("a clean", ("stem", "pool", "logits"), ("", "", ""))
    return Block(rows, columns, values, left_out, 40, "debiased-minibatch")


def test_an_entry_is_found_by_the_names_of_its_taps(block):
    found = block.entry("logits", "pool")
    assert (found.name, found.value, found.n) == ("logits", 0.8, 40)
    assert block.entry("logits", "pool", "cka").name == "cka"


def test_the_intervals_of_the_matrix_are_those_of_its_entries(block):
    for i, row in enumerate(block.rows.taps):
        for j, column in enumerate(block.columns.taps):
            found = block.entry(row, column)
            assert (block.low[i, j], block.high[i, j]) == pytest.approx((found.low, found.high))
            assert found.low < found.value < found.high


def test_the_diagonal_is_of_the_taps_that_both_sides_have(block):
    assert [(one.name, one.value) for one in block.diagonal()] == [("stem", 0.9), ("logits", 0.4)]


def test_a_summary_has_the_jackknife_interval_of_the_summary(block):
    found = block.measure("mean", whole_mean)
    assert found.value == pytest.approx(block.values.mean())
    half = 1.959963984540054 * math.sqrt(3 * np.var([-0.02, 0.0, 0.01, 0.03]))
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_a_part_keeps_values_intervals_and_reasons_together(block):
    part = block.take(["logits"], ["logits", "stem"])
    assert part.values.tolist() == [[0.4, 0.2]]
    assert part.left_out[0, 0].tolist() == pytest.approx([0.38, 0.18])
    assert part.rows == Axis("a adversarial", ("logits",), ("",), "a")
    assert block.take(["stem", "logits"]).measure("mean", diagonal_mean).value == pytest.approx(
        0.65
    )


def test_a_block_can_be_turned_over(block):
    turned = block.transposed
    assert turned.entry("pool", "logits").value == 0.8
    assert (turned.rows.view, turned.columns.view) == ("a clean", "a adversarial")
    assert turned.transposed.values.tolist() == block.values.tolist()
    assert turned.low.T.tolist() == block.low.tolist()


def test_an_undefined_tap_makes_all_undefined_that_it_is_part_of_and_says_why(block):
    values = block.values.copy()
    values[:, 1] = math.nan
    columns = Axis("a clean", ("stem", "pool", "logits"), ("", "features do not vary", ""))
    broken = Block(block.rows, columns, values, block.left_out, 40, "debiased-minibatch")
    assert broken.entry("stem", "pool").reason == "features do not vary"
    assert broken.measure("mean", whole_mean).reason == "pool: features do not vary"
    assert broken.take(["stem", "logits"]).measure("mean", whole_mean).reason == ""


def test_one_group_leaves_no_interval(block):
    single = Block(block.rows, block.columns, block.values, block.left_out[:1], 40, "debiased")
    assert np.isnan(single.low).all()
    assert math.isnan(single.entry("stem", "stem").low)


def test_a_tap_that_is_not_there_is_met_with_the_nearest(block):
    with pytest.raises(
        UnknownNameError, match="unknown tap of a clean 'stam'; did you mean 'stem'"
    ):
        block.entry("stem", "stam")


def test_blocks_are_found_by_their_views_in_any_order(block):
    found = Similarities({("a adversarial", "a clean"): block})
    assert found.block("a adversarial", "a clean") is block
    assert found.block("a clean", "a adversarial").values.tolist() == block.values.T.tolist()
    with pytest.raises(
        UnknownNameError, match="unknown block 'a clean x b'; known: a adversarial x a clean"
    ):
        found.block("a clean", "b")
