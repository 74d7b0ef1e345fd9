import pytest

from clbench.schema.errors import BadValueError
from clbench.schema.shard import Shard, named, read_shard

WRONG = (
    *(
        "0/4",
        "5/4",
        "x",
        "",
        "/",
        "1/",
        "/4",
        "1/0",
        "0/0",
        "-1/4",
        "1/-4",
        "+1/4",
        "1.5/4",
        "1e0/4",
    ),
    *(
        "1/4/2",
        " 1/4",
        "1/4 ",
        "1 / 4",
        "1\\4",
        "1of4",
        "3",
        "\uff11/\uff14",
        "1/4\n",
        "1/99999999999",
    ),
    *("4294967296/4294967296", "a/b", "1/x", "0x1/4", "1_0/20", "½"),
)


@pytest.mark.parametrize("typed", WRONG)
def test_what_names_no_shard_is_refused_in_one_line(typed):
    with pytest.raises(BadValueError, match="--shard must read like 3/16") as refusal:
        read_shard(typed)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("typed", "number", "of"), [("1/1", 0, 1), ("3/16", 2, 16), ("16/16", 15, 16), ("01/4", 0, 4)]
)
def test_shards_are_typed_from_1_and_counted_from_0(typed, number, of):
    assert read_shard(typed) == Shard(number, of)
    assert read_shard(str(read_shard(typed))) == Shard(number, of)


def test_of_very_many_shards_the_first_are_named():
    assert named([Shard(number, 99) for number in range(14)]).endswith("12/99 and 2 more")
