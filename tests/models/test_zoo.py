import pytest

from clbench.models import ZOO, WeightsRow, find_spec
from clbench.models.zoo import WEIGHTS_DIR, read_manifest, zoo_names
from clbench.schema.errors import BadValueError, UnknownNameError


@pytest.mark.parametrize("spec", ZOO, ids=lambda spec: spec.full_name)
def test_name_finds_its_row_with_and_without_tag(spec):
    assert find_spec(spec.full_name, None) is spec
    assert find_spec(spec.full_name, spec.dataset) is spec
    assert find_spec(spec.name, spec.dataset) is spec


def test_tag_stands_where_the_data_are_the_users_own():
    assert find_spec("simclr_at.cifar10", "my_images").dataset == "cifar10"


def test_manifest_names_rows_of_the_zoo_only():
    assert read_manifest(WEIGHTS_DIR / "manifest.toml").keys() <= set(zoo_names())


def test_manifest_rows_are_read(tmp_path):
    file = tmp_path / "manifest.toml"
    file.write_text('["simclr_at.digits"]\nfile = "a.safetensors"\nsha256 = "ab"\n')
    assert read_manifest(file) == {"simclr_at.digits": WeightsRow("a.safetensors", "ab")}


@pytest.mark.parametrize(
    ("name", "near"),
    [("simclr_att", "simclr_at"), ("simclr_at.digit", "simclr_at.digits"), ("sup", "supcon_st")],
)
def test_mistyped_name_is_met_with_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=rf"^unknown model '{name}'; "):
        find_spec(name, "digits")


def test_tag_of_another_data_set_is_refused():
    message = (
        "^model 'simclr_at.cifar10' is of cifar10, but the data is digits; "
        "use 'simclr_at.digits', or a protocol of cifar10$"
    )
    with pytest.raises(BadValueError, match=message):
        find_spec("simclr_at.cifar10", "digits")


@pytest.mark.parametrize("dataset", [None, "my_images"])
def test_missing_tag_is_asked_for(dataset):
    message = (
        "^model 'simclr_at' needs a tag for this data, got none; "
        "use 'simclr_at.digits', 'simclr_at.cifar10', 'simclr_at.cifar100'$"
    )
    with pytest.raises(BadValueError, match=message):
        find_spec("simclr_at", dataset)
