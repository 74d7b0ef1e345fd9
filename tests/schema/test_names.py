import pytest

from clbench.data.datasets import DATASETS
from clbench.schema.errors import UnknownNameError
from clbench.schema.names import look_up


def test_a_known_name_is_found():
    assert look_up(DATASETS, "digits", "dataset").shape == (1, 8, 8)


def test_a_mistyped_name_is_met_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"^unknown dataset 'cifar-10'; did you mean 'cifar10'\?$"
    ):
        look_up(DATASETS, "cifar-10", "dataset")


def test_a_strange_name_is_met_with_all_there_are():
    with pytest.raises(
        UnknownNameError, match=r"^unknown dataset 'xyz'; known: cifar10, cifar100, digits$"
    ):
        look_up(DATASETS, "xyz", "dataset")
