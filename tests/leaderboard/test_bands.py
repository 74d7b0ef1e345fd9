"""The ranks that a row may have, and how many seeds stand behind it."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.interval_coverage import evaluations
from clbench.leaderboard import table
from clbench.leaderboard.bands import bands as rank_bands_of
from clbench.leaderboard.check import check
from clbench.leaderboard.outcomes import Outcomes
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import evidence_of, read_record, record_files, write_record


def board(out):
    return pd.read_csv(table.build(out))


def bands(out):
    read = board(out).set_index("model")
    return {name: (row.rank_low, row.rank_high) for name, row in read.iterrows()}


def test_networks_that_differ_on_the_same_images_are_apart(with_evidence, firsts, tmp_path):
    for name, count in {"a": 60, "b": 52, "c": 51, "d": 10}.items():
        with_evidence(name, firsts(count))
    # a is right wherever b is, and on eight more; 51 and 52 are as good as equal
    assert bands(tmp_path) == {"a": (1, 1), "b": (2, 3), "c": (2, 3), "d": (4, 4)}


def test_the_same_accuracies_on_other_images_are_not_apart(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(60))
    with_evidence("b", firsts(52)[::-1])
    assert bands(tmp_path) == {"a": (1, 2), "b": (1, 2)}


def test_equal_rows_share_rank_and_band(with_evidence, firsts, tmp_path):
    for name in "abc":
        with_evidence(name, firsts(30))
    assert bands(tmp_path) == dict.fromkeys("abc", (1, 3))
    assert list(board(tmp_path)["rank"]) == [1, 1, 1]


def test_one_row_alone_is_the_first(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(30))
    assert bands(tmp_path) == {"a": (1, 1)}


def test_the_order_of_evidence_does_not_matter(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(60))
    with_evidence("b", firsts(52)[::-1], examples=range(99, -1, -1))
    assert bands(tmp_path) == {"a": (1, 1), "b": (2, 2)}


def test_bands_count_what_is_ranked_together(with_evidence, firsts, tmp_path):
    for eps in ("8/255", "4/255"):
        for name, count in {"a": 60, "b": 10}.items():
            with_evidence(name, firsts(count), eps=eps)
    read = board(tmp_path)
    assert list(read["rank_low"]) == list(read["rank_high"]) == [1, 2, 1, 2]


def test_rows_without_a_rank_have_no_band(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(60))
    with_evidence("bound", firsts(10), flags=(RaisedFlag("upper_bound"),))
    corrupted = with_evidence("clean", firsts(50))
    record = replace(read_record(corrupted), threat_model=None, attack=None)
    write_record(replace(record, measures=record.measures[:1]), corrupted)
    read = board(tmp_path).set_index("model")
    assert read.loc["a", "rank_low"] == read.loc["a", "rank_high"] == 1
    rest = read.loc[["bound", "clean"], ["rank", "rank_low", "rank_high"]]
    assert rest.isna().all(axis=None)


WRONG = {
    "lost": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "altered": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_row_whose_evidence_is_wrong_is_compared_without_it_and_it_is_said(
    with_evidence, firsts, tmp_path, caplog, wrong
):
    for name, count in {"a": 60, "b": 52, "d": 10}.items():
        with_evidence(name, firsts(count))
    path = next(one for one in record_files(tmp_path) if one.name.startswith("b~"))
    WRONG[wrong](evidence_of(path, tmp_path))
    # eight points are too few without the examples, fifty are not
    assert bands(tmp_path) == {"a": (1, 2), "b": (1, 2), "d": (3, 3)}
    (said,) = caplog.messages
    assert said.startswith("1 of 3 records are compared without their examples, so their rank ba")
    assert str(evidence_of(path, tmp_path)) in said
    assert not [one for one in check(tmp_path).problems if "leaderboard.csv" in str(one)]


def test_a_record_that_says_more_than_its_evidence_is_compared_without_it(
    with_evidence, firsts, tmp_path, caplog
):
    with_evidence("a", firsts(60))
    path = with_evidence("b", firsts(52))
    record = read_record(path)
    more = tuple(
        replace(one, value=0.58) if one.name == "robust_acc" else one for one in record.measures
    )
    write_record(replace(record, measures=more), path)
    assert bands(tmp_path) == {"a": (1, 2), "b": (1, 2)}
    assert "gives another robust accuracy than its record" in caplog.text


def test_nothing_is_said_of_old_records_that_go_about_alone(make_record, tmp_path, caplog):
    path = tmp_path / "records" / "a.json"
    write_record(make_record(schema_version=1, evidence_sha256=""), path)
    assert bands(tmp_path) == {"simclr_at": (1, 1)}
    assert caplog.messages == []


@pytest.mark.parametrize("known", [(), (0, 1), range(6)])
def test_bands_hold_the_true_ranks_with_and_without_examples(known):
    generator, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        right = evaluations([0.6] * 6, 200, generator)[:, 0]
        outcomes = [
            Outcomes(np.arange(200), one) if number in known else None
            for number, one in enumerate(right)
        ]
        found = rank_bands_of(right.mean(axis=1).tolist(), 200, outcomes)
        wrong += any(band != (1, 6) for band in found)
    assert wrong <= 15


SEEDS = {
    "another recipe": ((0, "r"), (1, "s"), [1, 1]),
    "two seeds": ((0, "r"), (1, "r"), [2, 2]),
    "one training twice": ((0, "r"), (0, "r"), [1, 1]),
    "recipes that nobody knows": ((0, ""), (1, ""), [1, 1]),
    "a seed that nobody knows": ((None, "r"), (1, "r"), [1, 1]),
}


@pytest.mark.parametrize("case", SEEDS)
def test_a_row_says_how_many_seeds_of_its_recipe_there_are(with_evidence, firsts, tmp_path, case):
    *trainings, expected = SEEDS[case]
    for name, training in zip("ab", trainings, strict=True):
        with_evidence(name, firsts(50), training=training)
    assert sorted(board(tmp_path)["n_seeds"]) == expected


def test_seeds_of_other_settings_do_not_count(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(50), training=(0, "r"))
    with_evidence("b", firsts(50), training=(1, "r"))
    with_evidence("c", firsts(50), training=(2, "r"), eps="4/255")
    assert sorted(board(tmp_path)["n_seeds"]) == [1, 2, 2]


def test_records_alone_are_rendered_as_if_no_evidence_were_known(make_record):
    read = pd.read_csv(
        io.BytesIO(table.render([make_record("a", right=90), make_record("b", right=20)]))
    )
    assert read["rank_low"].tolist() == read["rank_high"].tolist() == [1, 2]
