"""Records compared with one another, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

import clbench
from clbench.evaluation.evidence import Evidence
from clbench.schema.errors import BadValueError, ClbenchError, RecordError, UnknownNameError
from clbench.schema.estimate import paired_difference, proportion
from clbench.schema.files import write_atomically
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import evidence_of, read_record, write_record
from clbench.schema.records import DataEntry, ThreatEntry


def one(*records, **options):
    (found,) = clbench.compare(list(records), **options)
    return found


PAIRS = {
    "equal": (60, 60, 0),
    "one image": (60, 59, 0),
    "more": (60, 40, 0),
    "less": (40, 60, 0),
    "crossed": (50, 45, 30),
    "all and nothing": (100, 0, 0),
    "nothing at all": (0, 0, 0),
    "everything": (100, 100, 0),
    "five images": (55, 50, 0),
    "six images": (56, 50, 0),
}


@pytest.mark.parametrize("case", PAIRS)
def test_a_pair_is_counted_on_the_same_images(with_evidence, firsts, case):
    count, other, shift = PAIRS[case]
    first, second = firsts(count), np.roll(firsts(other), shift)
    (pair,) = one(with_evidence("a", first), with_evidence("b", second)).pairs
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    assert (pair.one, pair.other, pair.only_one, pair.only_other) == ("a", "b", gained, lost)
    assert pair.difference == paired_difference("difference", gained, lost, 100)
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert pair.p_value == pair.p_holm == pytest.approx(p)
    better = "more robust" if gained > lost else "less robust"
    assert pair.verdict == (better if p <= 0.05 else "not told apart")


def test_p_values_are_corrected_for_all_pairs(with_evidence, firsts):
    records = [with_evidence(name, firsts(n)) for name, n in zip("abc", (60, 54, 52), strict=True)]
    pairs = one(*records).pairs
    assert [(pair.one, pair.other) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    # six images alone tell a from b, among three pairs they do not; eight tell a from c
    assert [pair.p_value for pair in pairs] == pytest.approx([2 / 64, 2 / 256, 2 / 4])
    assert [pair.p_holm for pair in pairs] == pytest.approx([4 / 64, 6 / 256, 2 / 4])
    assert [pair.verdict for pair in pairs] == ["not told apart", "more robust", "not told apart"]


def test_competitors_are_told_with_their_accuracies(with_evidence, firsts):
    found = one(with_evidence("a", firsts(60)), with_evidence("b", firsts(10))).competitors
    assert [its.name for its in found] == ["a", "b"]
    assert found[0].robust_acc == proportion("robust_acc", 60, 100)
    assert math.isnan(found[0].seed_sd)


def test_a_folder_is_compared_setting_by_setting(with_evidence, firsts, tmp_path):
    for eps in ("8/255", "4/255"):
        for name, count in {"a": 10, "b": 60}.items():
            with_evidence(name, firsts(count), eps=eps)
    with_evidence("alone", firsts(3), eps="1/255")
    found = clbench.compare(tmp_path)
    assert [one.of.threat_model.eps for one in found] == ["4/255", "8/255"]
    assert all([(pair.one, pair.other) for pair in one.pairs] == [("b", "a")] for one in found)
    for part in ("records", "records/cifar10", "records/cifar10/Linf"):
        assert [one.pairs for one in clbench.compare(tmp_path / part)] == [
            one.pairs for one in found
        ]


def test_a_part_of_a_folder_is_compared_alone(with_evidence, firsts, tmp_path):
    for norm in ("Linf", "L2"):
        for name, count in {"a": 10, "b": 60}.items():
            with_evidence(name, firsts(count), threat_model=ThreatEntry(norm, "1/2"))
    assert one(tmp_path / "records" / "cifar10" / "L2").of.threat_model.norm == "L2"
    assert len(clbench.compare(tmp_path / "records")) == 2


def test_models_are_named_and_compared_where_all_have_a_record(
    with_evidence, firsts, tmp_path, caplog
):
    for name, count in {"a": 10, "b": 60, "c": 30}.items():
        with_evidence(name, firsts(count))
    with_evidence("a", firsts(5), eps="4/255")
    found = one("c", "a", out=tmp_path)
    assert [(pair.one, pair.other) for pair in found.pairs] == [("c", "a")]
    assert found.of.threat_model.eps == "8/255"
    assert caplog.messages == ["1 more records are of other settings, and not compared"]


def test_a_name_with_several_records_is_told_apart_by_its_runs(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(60))
    with_evidence("a", firsts(50), seed=1)
    with_evidence("b", firsts(40))
    names = [its.name for its in one("a", "b", out=tmp_path).competitors]
    assert names[2] == "b"
    assert all(name.startswith("a~") for name in names[:2])
    assert len(set(names)) == 3


def test_trainings_are_told_apart_by_their_seeds(with_evidence, firsts, tmp_path):
    for seed in (0, 1):
        with_evidence("a", firsts(60), training=(seed, "r"), seed=seed)
    assert {its.name for its in one(tmp_path).competitors} == {"a (seed 0)", "a (seed 1)"}


def test_a_record_counts_once_however_often_it_is_named(with_evidence, firsts, tmp_path):
    first = with_evidence("a", firsts(60))
    with_evidence("b", firsts(40))
    found = one(first, tmp_path, first, "a", out=tmp_path)
    assert [its.name for its in found.competitors] == ["a", "b"]


def test_a_folder_may_lie_below_one_called_records(with_evidence, firsts, tmp_path):
    out = tmp_path / "records" / "mine"
    for name, count in {"a": 60, "b": 10}.items():
        with_evidence(name, firsts(count), out=out)
    assert len(one(out).pairs) == len(one(out / "records").pairs) == 1


OTHER = {
    "data": {"data": DataEntry("digits", 100, "0" * 64)},
    "norm": {"threat_model": ThreatEntry("L2", "8/255")},
    "eps": {"eps": "4/255"},
    "attack": {"attack_hash": "b" * 12},
}
TOLD = {
    "data": r"data is 'cifar10 \(sha256 dddddddddddd\)' and 'digits \(sha256 000000000000\)'; r",
    "n_examples": "n_examples is 100 and 90",
    "norm": "norm is 'Linf' and 'L2'; records",
    "eps": "eps is '8/255' and '4/255'; records",
    "attack": r"attack is 'autoattack \(h:aaaaaaaaaaaa\)' and 'autoattack \(h:bbbbbbbbbbbb\)'; rec",
}


@pytest.mark.parametrize("field", TOLD)
def test_what_differs_is_refused_and_both_values_are_told(with_evidence, firsts, field):
    n = 90 if field == "n_examples" else 100
    records = (
        with_evidence("a", firsts(60)),
        with_evidence("b", firsts(10, n), **OTHER.get(field, {})),
    )
    with pytest.raises(RecordError, match=rf"^cannot compare .*/a~.* with .*/b~.*: {TOLD[field]}"):
        clbench.compare(records)


SAME = {
    "the same eps": {"threat_model": ThreatEntry("Linf", "16/510")},
    "another name of the same images": {"data": DataEntry("other.npz", 100, "d" * 64)},
    "another seed": {"seed": 7},
    "another precision": {"precision": "bfloat16"},
    "another tile": {"batch_size": 7},
    "another device": {"device": "cuda"},
    "another protocol's name": {"protocol": "custom"},
    "an upper bound": {"flags": (RaisedFlag("upper_bound"),)},
}


@pytest.mark.parametrize("case", SAME)
def test_what_the_images_do_not_depend_on_may_differ(with_evidence, firsts, case):
    records = with_evidence("a", firsts(60)), with_evidence("b", firsts(10), **SAME[case])
    assert one(*records).pairs[0].only_one == 50


def test_other_examples_are_refused_although_all_else_agrees(with_evidence, firsts):
    examples = [*range(99), 500]
    records = with_evidence("a", firsts(60)), with_evidence("b", firsts(9), examples=examples)
    with pytest.raises(
        RecordError, match=r"differ in 1 places, the first is 99 and 500 of the data; recor"
    ):
        clbench.compare(records)


def test_the_same_examples_in_another_order_are_put_in_order(with_evidence, firsts):
    backwards = with_evidence("b", firsts(60)[::-1], examples=range(99, -1, -1))
    (pair,) = one(with_evidence("a", firsts(60)), backwards).pairs
    assert (pair.only_one, pair.only_other) == (0, 0)


@pytest.fixture
def pair(with_evidence, firsts):
    return with_evidence("a", firsts(60)), with_evidence("b", firsts(10))


REFUSED = {
    "nothing": (lambda a, b: [], BadValueError, "^give records, folders or names of models to"),
    "one record": (lambda a, b: [a], RecordError, "^nothing to compare in .*: there must be two"),
    "one record twice": (lambda a, b: [a, a], RecordError, "^nothing to compare in "),
    "no such file": (lambda a, b: [a, "no.json"], RecordError, "^record no.json cannot be read"),
    "a folder of nothing": (
        lambda a, b: [a.parents[3] / "evidence"],
        RecordError,
        r"^no records under .*evidence; run clbench eval --out",
    ),
    "evidence": (
        lambda a, b: [evidence_of(a, a.parents[3])],
        RecordError,
        "is the evidence of a record, no evaluation record; give .*records.*a~",
    ),
    "a mistyped model": (
        lambda a, b: ["aa"],
        UnknownNameError,
        r"^unknown record or model 'aa'; did you mean 'a'\?; looked in .* \(--out\)$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_one_line(pair, tmp_path, case):
    names, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as caught:
        clbench.compare(names(*pair), out=tmp_path)
    assert "\n" not in str(caught.value)


def damage_evidence(path, out):
    evidence_of(path, out).write_bytes(b"")


def swap_evidence(path, out):
    first = next(one for one in sorted((out / "evidence").rglob("a~*.npz")))
    evidence_of(path, out).write_bytes(first.read_bytes())


def lose_evidence(path, out):
    evidence_of(path, out).unlink()


def damage_record(path, out):
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 5'))


def move_record(path, out):
    path.rename(out / path.name)


WRONG = {
    damage_evidence: "is not the one that its record names",
    swap_evidence: "is not the one that its record names",
    lose_evidence: "cannot be read: No such file",
    damage_record: "record .*b~",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_records_that_are_not_what_they_say_are_refused(pair, tmp_path, wrong):
    wrong(pair[1], tmp_path)
    with pytest.raises(ClbenchError, match=WRONG[wrong]):
        clbench.compare(pair)


def test_records_of_fewer_examples_than_they_say_are_refused(with_evidence, firsts):
    short = with_evidence("b", firsts(10, 90))
    record = read_record(short)
    write_record(replace(record, data=replace(record.data, n=100)), short)
    with pytest.raises(RecordError, match="gives another robust accuracy than its record"):
        clbench.compare([with_evidence("a", firsts(60)), short])


def test_a_record_away_from_its_evidence_is_refused(pair, tmp_path):
    alone = pair[1].rename(tmp_path / "alone.json")
    with pytest.raises(RecordError, match="lies in no folder called records, which its evidence"):
        clbench.compare([pair[0], alone])


def test_an_old_record_is_compared_by_evidence_that_agrees_with_it(
    with_evidence, firsts, make_record, tmp_path
):
    paths = [with_evidence("a", firsts(60)), with_evidence("b", firsts(10))]
    old = replace(read_record(paths[1]), schema_version=1, evidence_sha256="")
    write_record(old, paths[1])
    assert one(*paths).pairs[0].only_one == 50
    label = np.zeros(100, dtype=int)
    other = Evidence("", np.arange(100), label, label, label, np.full(100, "apgd-ce"))
    write_atomically(evidence_of(paths[1], tmp_path), other.to_bytes())
    with pytest.raises(RecordError, match="gives another robust accuracy than its record"):
        clbench.compare(paths)


def seeds(with_evidence, recipe, counts, first=0, **changes):
    for seed, count in enumerate(counts, start=first):
        verdicts = np.roll(np.arange(100) < count, seed)
        with_evidence(f"{recipe}", verdicts, training=(seed, recipe), seed=seed, **changes)


def test_recipes_are_compared_by_their_seeds(with_evidence, tmp_path):
    seeds(with_evidence, "good", (60, 62, 61))
    seeds(with_evidence, "poor", (30, 33, 28, 31))
    found = one(tmp_path, recipes=True)
    assert [(its.name, its.n_seeds) for its in found.competitors] == [("good", 3), ("poor", 4)]
    good, poor = found.competitors
    assert good.robust_acc.value == pytest.approx(0.61)
    assert good.seed_sd == pytest.approx(0.01)
    assert poor.robust_acc.value == pytest.approx(0.305)
    (pair,) = found.pairs
    assert pair.difference.value == pytest.approx(0.305)
    assert (pair.only_one, pair.only_other, pair.verdict) == (None, None, "more robust")
    assert pair.difference.low > 0.1


def test_the_interval_of_a_recipe_counts_its_seeds(with_evidence, tmp_path):
    seeds(with_evidence, "r", (30, 60, 90))
    (its,) = one(tmp_path, recipes=True).competitors
    assert its.seed_sd == pytest.approx(0.3)
    alone = proportion("robust_acc", 180, 300)
    assert its.robust_acc.high - its.robust_acc.low > 4 * (alone.high - alone.low)


def test_records_without_a_group_are_left_out_and_it_is_said(
    with_evidence, firsts, tmp_path, caplog
):
    seeds(with_evidence, "r", (60, 61))
    with_evidence("alone", firsts(50), training=(0, "s"))
    with_evidence("unknown", firsts(50))
    assert [its.name for its in one(tmp_path, recipes=True).competitors] == ["r"]
    assert "2 records are left out: no other is of the same recipe and another" in caplog.text


def test_without_a_group_recipes_cannot_be_compared(with_evidence, firsts, tmp_path):
    with_evidence("alone", firsts(50), training=(0, "s"))
    with pytest.raises(RecordError, match="there must be several seeds of one recipe of the same"):
        clbench.compare(tmp_path, recipes=True)


def test_one_training_twice_is_refused_in_a_group(with_evidence, firsts, tmp_path):
    with_evidence("a", firsts(50), training=(0, "s"))
    with_evidence("b", firsts(50), training=(0, "s"))
    with pytest.raises(RecordError, match=r"^a and b are of one training \(seed 0\); give one of"):
        clbench.compare(tmp_path, recipes=True)
