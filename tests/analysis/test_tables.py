import math

import numpy as np
import pytest

from clbench.analysis.result import Matrix
from clbench.analysis.tables import SUMMARY_COLUMNS, shared, summaries, summary_rows, to_csv
from clbench.probes.similarity.summaries import SUMMARIES


def by_name(similarity):
    return {measure.name: measure for measure in summaries(similarity)}


def test_every_summary_of_a_matrix_has_its_value_and_interval(make_block):
    matrix = np.eye(6) * 0.5 + 0.25
    found = by_name(make_block(matrix, noise=0.01))
    assert list(found) == list(SUMMARIES)
    assert found["diagonal_mean"].value == pytest.approx(0.75)
    assert found["end_mean"].value == pytest.approx(0.75)
    assert found["long_range_mean"].value == pytest.approx(0.25)
    assert found["whole_mean"].value == pytest.approx(0.25 + 0.5 / 6)
    assert all(one.low < one.value < one.high for one in found.values())


def test_sides_with_different_layers_are_compared_where_they_meet(make_block):
    similarity = make_block(np.arange(36.0).reshape(6, 6) / 36)
    uneven = similarity.take(["stem", "pool", "logits"], ["stage1.0", "pool", "logits"])
    assert shared(uneven).rows.layers == ("pool", "logits")
    assert by_name(uneven)["diagonal_mean"].value == pytest.approx((28 + 35) / 72)
    assert by_name(uneven)["whole_mean"].value == pytest.approx(uneven.values.mean())


def test_what_cannot_be_said_is_undefined_with_its_reason(make_block):
    similarity = make_block(0.5)
    apart = by_name(similarity.take(["stem"], ["pool"]))
    assert apart["diagonal_mean"].reason == "the two sides have no layer in common"
    assert apart["whole_mean"].value == 0.5
    single = by_name(similarity.take(["pool"]))
    assert "distance must be below 1, the number of layers" in single["long_range_mean"].reason
    assert math.isnan(single["long_range_mean"].value)


def test_a_table_has_a_row_for_every_summary_and_the_same_bytes_again(make_block):
    matrices = [Matrix("clean-clean", "a", "a", make_block(0.123456789))]
    rows = summary_rows(matrices)
    assert [row["summary"] for row in rows] == list(SUMMARIES)
    csv = to_csv(rows, SUMMARY_COLUMNS)
    assert csv == to_csv(summary_rows(matrices), SUMMARY_COLUMNS)
    assert csv.decode().splitlines()[1] == (
        "clean-clean,a,a,diagonal_mean,0.123457,0.123457,0.123457,100,"
    )


def test_undefined_numbers_are_empty_cells():
    assert to_csv([{"a": math.nan, "b": 1}], ["a", "b"]) == b"a,b\n,1\n"
