import math

import numpy as np
import pytest

from clbench.probes.similarity.summaries import (
    SUMMARIES,
    column_means,
    diagonal,
    diagonal_mean,
    end_mean,
    long_range_mean,
    part_mean,
    row_means,
    whole_mean,
)
from clbench.schema.errors import BadValueError

MATRIX = np.arange(36, dtype=np.float64).reshape(6, 6)


def test_summaries_are_the_means_that_their_names_say():
    assert diagonal(MATRIX).tolist() == [0, 7, 14, 21, 28, 35]
    assert diagonal_mean(MATRIX) == 17.5
    assert end_mean(MATRIX) == 31.5
    assert end_mean(MATRIX, last=3) == 28
    assert whole_mean(MATRIX) == 17.5
    assert row_means(MATRIX).tolist() == [2.5, 8.5, 14.5, 20.5, 26.5, 32.5]
    assert column_means(MATRIX).tolist() == [15, 16, 17, 18, 19, 20]
    assert part_mean(MATRIX, slice(0, 2), slice(4, None)) == 7.5


def test_what_is_far_apart_is_a_third_of_the_depth_apart():
    far = [MATRIX[i, j] for i in range(6) for j in range(6) if abs(i - j) >= 2]
    assert long_range_mean(MATRIX) == np.mean(far)
    assert long_range_mean(MATRIX, distance=5) == (MATRIX[0, 5] + MATRIX[5, 0]) / 2
    upper = np.triu(np.ones((147, 147)), 49)
    assert long_range_mean(upper + upper.T) == 1
    assert long_range_mean(upper + upper.T, distance=48) < 1


def test_a_distance_beyond_the_depth_is_refused():
    with pytest.raises(
        BadValueError, match="distance must be below 6, the number of layers, got 6"
    ):
        long_range_mean(MATRIX, distance=6)


@pytest.mark.parametrize("summary", [diagonal_mean, end_mean, long_range_mean])
def test_a_matrix_of_different_sides_has_no_diagonal(summary):
    with pytest.raises(
        BadValueError, match="only a square matrix has a diagonal, got 6 x 4 layers"
    ):
        summary(MATRIX[:, :4])


@pytest.mark.parametrize("name", SUMMARIES)
def test_an_undefined_element_is_not_left_out_silently(name):
    broken = MATRIX.copy()
    broken[5, 5] = broken[0, 5] = math.nan
    assert math.isnan(SUMMARIES[name](broken))


@pytest.mark.parametrize("name", SUMMARIES)
def test_wholly_alike_layers_have_summaries_of_1(name):
    assert SUMMARIES[name](np.ones((5, 5))) == 1
