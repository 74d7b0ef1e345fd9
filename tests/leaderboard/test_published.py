"""Entries that RobustBench published, beside our own rows."""

import json
from dataclasses import replace

import pytest

from clbench.leaderboard.formats import DEFAULT_COLUMNS, parts
from clbench.leaderboard.outcomes import NOT_KNOWN
from clbench.leaderboard.published import beside_published, read_published
from clbench.schema.errors import RecordError
from clbench.schema.records import DataEntry, External, ThreatEntry

ENTRY = {
    "link": "https://arxiv.org/abs/2404.00001",
    "name": "Robustness",
    "authors": "A",
    "additional_data": False,
    "number_forward_passes": 1,
    "dataset": "cifar10",
    "venue": "",
    "architecture": "WideResNet-28-10",
    "eps": "8/255",
    "clean_acc": "90.00",
    "reported": "",
    "autoattack_acc": "60.00",
}


@pytest.fixture
def entries(tmp_path):
    """Return a function that writes an entry below a folder."""

    def write(name, *, at="cifar10/Linf", **changes):
        path = tmp_path / "model_info" / at / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ENTRY | changes))
        return tmp_path / "model_info"

    return write


def test_entries_are_a_part_of_their_own_ranked_as_robustbench_does(entries, make_record):
    entries("A", autoattack_acc="70.00", external="55.00", unreliable=True)
    entries("B", autoattack_acc="60.00", unreliable=False)
    folder = entries("C", autoattack_acc="60.00", eps="0.031")
    ours, theirs = beside_published([make_record(n=10_000, right=9000)], (), NOT_KNOWN, folder)
    assert [row["rank"] for row in ours.rows] == [1]
    assert [(row["rank"], row["model"]) for row in theirs.rows] == [(1, "B"), (1, "C"), (3, "A")]
    assert [row["external"] for row in theirs.rows] == [None, None, 0.55]
    assert [row["unreliable"] for row in theirs.rows] == [False, None, True]
    assert [row["eps"] for row in theirs.rows] == ["8/255", "0.031", "8/255"]
    assert {row["source"] for row in ours.rows} == {"measured"}
    assert {row["source"] for row in theirs.rows} == {"imported"}
    assert theirs.heading.endswith("imported as it is, not checked here, ranked by itself")
    assert list(ours.rows[0]) == list(theirs.rows[0])


def test_our_ranks_are_the_same_with_them_and_without(entries, make_record):
    records = [make_record(name, right=right) for name, right in (("a", 5), ("b", 7))]
    (alone,) = parts(records)
    beside, _ = beside_published(records, (), NOT_KNOWN, entries("A"))
    assert [row["rank"] for row in beside.rows] == [row["rank"] for row in alone.rows]


def test_only_tables_of_our_data_sets_and_norms_are_shown(entries, make_record):
    entries("A")
    entries("B", at="cifar10/L2", eps="0.5")
    folder = entries("C", at="cifar100/Linf", dataset="cifar100")
    in_l2 = replace(make_record("l2"), threat_model=ThreatEntry("L2", "1/2"))
    found = beside_published([make_record(), in_l2], (), NOT_KNOWN, folder)
    assert [part.rows[0]["model"] for part in found[2:]] == ["B", "A"]
    digits = replace(make_record(), data=DataEntry("digits", 10, "d" * 64))
    with pytest.raises(RecordError, match="is of a data set and norm of these records"):
        beside_published([digits], (), NOT_KNOWN, folder)


def test_columns_that_entries_have_not_are_empty(entries, make_record):
    columns = ["model", "seed", "cka_stage4", "backbone", "clean_acc"]
    _, theirs = beside_published([make_record()], columns, NOT_KNOWN, entries("A"))
    assert theirs.rows == [
        {
            "model": "A",
            "seed": None,
            "cka_stage4": None,
            "backbone": "WideResNet-28-10",
            "clean_acc": 0.9,
            "external": None,
            "source": "imported",
        }
    ]


@pytest.mark.parametrize("found", [None, External(0.1, "x")])
def test_without_entries_the_table_is_as_it_was_but_for_what_others_found(make_record, found):
    (part,) = beside_published([replace(make_record(), external=found)], (), NOT_KNOWN, None)
    assert ("external" in part.rows[0]) == (found is not None)
    assert set(part.rows[0]) - {"external"} == set(DEFAULT_COLUMNS)


def test_corruptions_and_other_files_are_passed_over(entries, tmp_path):
    entries("A", at="cifar10/corruptions", corruptions_acc="80.00")
    entries("B", at="somewhere/else")
    folder = entries("C")
    (folder / "notes.json").write_text("no JSON")
    assert [one.name for one in read_published(folder)] == ["C"]


def test_a_folder_without_entries_and_a_damaged_entry_are_one_line(entries, tmp_path):
    with pytest.raises(RecordError, match="holds no entries of RobustBench; give the folder"):
        read_published(tmp_path)
    folder = entries("A", clean_acc=93)
    with pytest.raises(RecordError, match=r"A.json is none: clean_acc must be str, got 93"):
        read_published(folder)


def test_hostile_names_are_text(entries, make_record):
    folder = entries("x", eps="8/255\x1b[31m", architecture="\u202e<b>")
    _, theirs = beside_published([make_record()], ["model", "eps", "backbone"], NOT_KNOWN, folder)
    assert theirs.rows[0]["eps"] == "8/255\\x1b[31m"
    assert theirs.rows[0]["backbone"] == "\\u202e<b>"
