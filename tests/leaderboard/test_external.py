"""Lower robust accuracies that others found: added to a record, checked, and ranked by."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import clbench
from clbench.evaluation.evidence import read_evidence
from clbench.leaderboard import table
from clbench.leaderboard.check import check
from clbench.schema.errors import BadValueError, ClbenchError, DataError, ModelError, RecordError
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import certificate_of, evidence_of, read_record, write_record
from clbench.schema.records import External, ranked_accuracy

SOURCE = "A. Nother, 2026, https://example.org"
N = 24


@pytest.fixture(scope="module")
def weak():
    """A record by a weak attack, its evidence, and the images of a stronger one."""
    made = {"n_examples": N, "batch_size": 8, "probe": False}
    found = clbench.evaluate("simclr_at", attack="pgd,steps=1", eps="1/4", out=None, **made)
    better = clbench.evaluate("simclr_at", attack="apgd-ce,n_iter=20", eps="1/4", out=None, **made)
    return found, better


@pytest.fixture
def stored(tmp_path):
    """The same weak evaluation in a folder."""
    done = clbench.evaluate(
        "simclr_at",
        attack="pgd,steps=1",
        eps="1/4",
        n_examples=N,
        batch_size=8,
        probe=False,
        out=tmp_path,
    )
    return done.paths.record


@pytest.fixture
def newly(weak):
    """What the stronger attack breaks and the weak one does not: index and images."""
    found, better = weak
    robust, broken = (found.examples.broken_by == ""), (better.examples.broken_by != "")
    where = robust & broken
    assert where.sum() >= 2
    return better.examples.index[where], better.examples.adversarial[where]


@pytest.fixture
def certificate(tmp_path, newly):
    """Return a function that writes a file of them; keyword arguments replace arrays."""

    def write(**changes):
        index, images = newly
        arrays = {"index": index, "adversarial": images} | changes
        np.savez(tmp_path / "found.npz", **arrays)
        return tmp_path / "found.npz"

    return write


def of_external(folder):
    """Return the problems that are about it; these records are of no real run."""
    return [one for one in check(folder).problems if one.field.startswith("external")]


def test_a_lower_accuracy_is_added_and_nothing_else_changes(put, tmp_path):
    path = put()
    before = read_record(path)
    changed = clbench.add_external(path, source=SOURCE, robust_acc="0.30")
    assert changed == read_record(path) == replace(before, external=External(0.3, SOURCE))
    assert changed.run == before.run
    assert not of_external(tmp_path)
    assert pd.read_csv(tmp_path / table.CSV_NAME)["external"].tolist() == [0.3]


def test_it_wins_over_our_own_number_in_the_ranking(put, tmp_path):
    paths = {name: put(name) for name in "abc"}
    clbench.add_external(paths["a"], source=SOURCE, robust_acc=0.1)
    board = pd.read_csv(tmp_path / table.CSV_NAME)
    assert board["model"].tolist() == ["b", "c", "a"]
    assert board["rank"].tolist() == [1, 1, 3]
    assert board["robust_acc"].tolist() == [0.45] * 3, "what was measured stays"


def test_without_any_the_table_has_no_such_column(make_record):
    assert "external" not in table.columns([make_record()])


@pytest.mark.parametrize(
    ("found", "expected"),
    [(None, 0.6), (External(0.5, "x"), 0.5), (External(0.7, "x"), 0.6), (External(0.0, "x"), 0.0)],
)
def test_the_lower_one_ranks(make_record, found, expected):
    assert ranked_accuracy(replace(make_record(), external=found)) == expected


def test_an_upper_bound_has_no_rank_whatever_others_found(make_record):
    bound = replace(make_record(), flags=(RaisedFlag("upper_bound"),), external=External(0.1, "x"))
    assert np.isnan(ranked_accuracy(bound))


@pytest.mark.parametrize("value", ["0.45", "0.5", "1", 0.45, "0.4500001"])
def test_what_is_not_lower_is_refused(put, value):
    path = put()
    before = path.read_bytes()
    with pytest.raises(BadValueError, match=r"must be below 0.45, which the record itself has"):
        clbench.add_external(path, source=SOURCE, robust_acc=value)
    assert path.read_bytes() == before


def test_a_second_one_must_be_lower_than_the_first(put):
    path = put()
    clbench.add_external(path, source=SOURCE, robust_acc="0.3")
    with pytest.raises(
        BadValueError, match=r"must be below 0.3, which 'A. Nother.*', added before"
    ):
        clbench.add_external(path, source="B", robust_acc="0.35")
    assert clbench.add_external(path, source="B", robust_acc="0.2").external == External(0.2, "B")


@pytest.mark.parametrize("value", ["58.4", "-0.1", "nan", "", "1/2", "0,3", None, "1e-1"])
def test_what_is_no_share_is_refused(put, value):
    with pytest.raises(BadValueError, match=r"^--robust-acc must be .*got "):
        clbench.add_external(put(), source=SOURCE, robust_acc=value)


@pytest.mark.parametrize("source", ["", "  "])
def test_somebody_must_vouch_for_it(put, source):
    with pytest.raises(BadValueError, match="source must say whose"):
        clbench.add_external(put(), source=source, robust_acc="0.3")


def test_other_records_are_refused(put, make_record, tmp_path):
    path = put()
    alone = tmp_path / "alone.json"
    alone.write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match="lies in no folder called records"):
        clbench.add_external(alone, source=SOURCE, robust_acc="0.1")
    write_record(replace(read_record(path), schema_version=1), path)
    with pytest.raises(RecordError, match="is unbound: clbench leaderboard upgrade binds it"):
        clbench.add_external(path, source=SOURCE, robust_acc="0.1")


def test_a_record_of_clean_images_is_refused(put):
    path = put()
    clean = replace(read_record(path), attack=None, threat_model=None, measures=())
    write_record(clean, path)
    with pytest.raises(RecordError, match="has no robust accuracy that another could be below"):
        clbench.add_external(path, source=SOURCE, robust_acc="0.1")


# certificates


def test_a_certificate_shows_the_accuracy_and_is_kept(stored, certificate, newly, tmp_path):
    robust = read_record(stored).measure("robust_acc").value
    changed = clbench.add_external(stored, source=SOURCE, certificate=certificate())
    assert changed.external.robust_acc == robust - len(newly[0]) / N
    kept = certificate_of(stored, tmp_path)
    assert kept.read_bytes() == certificate().read_bytes()
    assert not check(tmp_path).problems
    kept.write_bytes(b"x")
    (problem,) = check(tmp_path).problems
    assert (problem.file, problem.field) == (kept, "sha256")
    kept.unlink()
    (problem,) = check(tmp_path).problems
    assert str(problem) == f"certificate '{kept}' cannot be read: No such file or directory"


def test_images_replace_a_word_without_any(stored, certificate):
    clbench.add_external(stored, source="somebody", robust_acc="0.001")
    changed = clbench.add_external(stored, source=SOURCE, certificate=certificate())
    assert changed.external.certificate_sha256
    with pytest.raises(BadValueError, match=r"must be below 0\.\d+, which .* added before"):
        clbench.add_external(stored, source="somebody", robust_acc=changed.external.robust_acc)


def test_verify_says_whose_word_an_accuracy_without_images_is(stored, tmp_path):
    clbench.add_external(stored, source=SOURCE, robust_acc="0.001")
    (remark,) = check(tmp_path).remarks
    assert remark.endswith(f"is the word of {SOURCE!r}; no images prove it")


def test_images_that_our_attack_broke_too_count_once(stored, weak, certificate):
    _, better = weak
    where = better.examples.broken_by != ""
    where &= better.examples.broken_by != "clean"
    every = certificate(
        index=better.examples.index[where], adversarial=better.examples.adversarial[where]
    )
    evidence = read_evidence(evidence_of(stored, stored.parents[3]), "")
    left = (evidence.broken_by == "") & ~where
    assert clbench.add_external(
        stored, source=SOURCE, certificate=every
    ).external.robust_acc == pytest.approx(left.sum() / N)


def moved(images, by):
    return np.where(images < 0.5, images + by, images - by).astype(np.float32)


def refusals(index, images):
    """Yield what a false certificate holds, and what is said of it."""
    stray, twice, named = index.copy(), index.copy(), f"example {index[0]} of certificate"
    stray[0], twice[0] = 10_000, index[1]
    outside = images.copy()
    outside[0] = moved(outside[0], 0.3)
    beyond = images.copy()
    beyond[0, 0, 0, 0] = 1.5
    nothing = images.copy()
    nothing[0, 0, 0, 0] = np.nan
    yield "another example", {"index": stray}, "has example 10000, which the record has not"
    yield "an example twice", {"index": twice}, "has an example twice"
    yield "outside of the ball", {"adversarial": outside}, f"{named} .* must lie within Linf 1/4"
    yield "outside of the range", {"adversarial": beyond}, f"{named} .* must lie within Linf 1/4"
    yield "no number", {"adversarial": nothing}, f"{named} .* must lie within Linf 1/4"
    yield "one image fewer", {"adversarial": images[1:]}, r"must be floats \[\d+, c, h, w\]"
    yield "other sizes", {"adversarial": images[:, :, 1:]}, "must be of the images' shape"
    yield "bytes", {"adversarial": (255 * images).astype(np.uint8)}, "must be floats"
    yield "no batch", {"adversarial": images[:, 0]}, "must be floats"
    yield "index of floats", {"index": index.astype(float)}, "must be whole numbers"
    yield "index of pairs", {"index": np.stack([index, index], 1)}, "must be whole numbers"
    yield "none", {"index": index[:0], "adversarial": images[:0]}, "must be whole numbers"
    yield "objects", {"index": np.array([{}] * len(index))}, "is no .npz file with index"


def test_a_false_certificate_is_refused_and_the_record_stays(stored, certificate, newly):
    before = stored.read_bytes()
    cases = list(refusals(*newly))
    for what, changes, said in cases:
        with pytest.raises(DataError, match=said):
            clbench.add_external(stored, source=SOURCE, certificate=certificate(**changes))
        assert stored.read_bytes() == before, what
    assert len(cases) == 13


def test_clean_images_are_no_certificate(stored, certificate, newly):
    images = clbench.load_data("digits", n_examples=N).tensor().numpy()
    path = certificate(adversarial=images[newly[0]])
    with pytest.raises(DataError, match=r"^the network classifies example \d+ of .* rightly"):
        clbench.add_external(stored, source=SOURCE, certificate=path)


def test_a_certificate_of_what_was_broken_already_shows_nothing_new(stored, weak, certificate):
    found, _ = weak
    where = (found.examples.broken_by != "") & (found.examples.broken_by != "clean")
    path = certificate(
        index=found.examples.index[where], adversarial=found.examples.adversarial[where]
    )
    with pytest.raises(BadValueError, match="must be below"):
        clbench.add_external(stored, source=SOURCE, certificate=path)


def test_a_number_beside_a_certificate_must_be_what_it_shows(stored, certificate):
    with pytest.raises(BadValueError, match=r"must be what the certificate shows, 0\.\d+, got"):
        clbench.add_external(stored, source=SOURCE, robust_acc="0.001", certificate=certificate())


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"model": "supcon_at"}, "model.weights_sha256 is"),
        ({"model": "nothing_at"}, "unknown model 'nothing_at'"),
    ],
)
def test_another_network_or_other_images_are_refused(
    stored, certificate, tmp_path, monkeypatch, sources, said
):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).random((N, 8, 8, 1)).astype(np.float32)
    np.savez("images.npz", x=images, y=np.arange(N) % 10)
    with pytest.raises(ClbenchError, match=said):
        clbench.add_external(stored, source=SOURCE, certificate=certificate(), **sources)


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_a_damaged_certificate_is_one_line(stored, tmp_path, content):
    (tmp_path / "found.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is no .npz file with index \[m\]"):
        clbench.add_external(stored, source=SOURCE, certificate=tmp_path / "found.npz")


def test_a_bomb_is_refused_before_it_is_unpacked(stored, tmp_path):
    zeros = np.zeros((1 << 21, 1, 8, 8), dtype=np.float64)
    np.savez_compressed(tmp_path / "found.npz", index=np.arange(3), adversarial=zeros)
    with pytest.raises(DataError, match="unpacks from"):
        clbench.add_external(stored, source=SOURCE, certificate=tmp_path / "found.npz")


def test_it_stays_when_probes_are_added_and_when_the_run_is_repeated(stored, tmp_path):
    clbench.add_external(stored, source=SOURCE, robust_acc="0.01")
    again = {"attack": "pgd,steps=1", "eps": "1/4", "n_examples": N, "batch_size": 8}
    for changes in ({"probe": True}, {"probe": False, "restart": True}):
        done = clbench.evaluate("simclr_at", out=tmp_path, **again, **changes)
        assert done.record.external == read_record(stored).external == External(0.01, SOURCE)


def test_a_record_with_one_that_is_not_lower_is_a_problem(put, tmp_path):
    path = put()
    write_record(replace(read_record(path), external=External(0.9, "x")), path)
    table.build(tmp_path)
    (problem,) = of_external(tmp_path)
    assert str(problem) == f"{path}: external.robust_acc is 0.9, expected below robust_acc"


@pytest.mark.parametrize(
    "changes", [{"robust_acc": -0.1}, {"robust_acc": "0.3"}, {"source": ""}, {"stray": 1}]
)
def test_a_record_that_was_edited_by_hand_is_named(put, changes):
    path = put()
    content = json.loads(path.read_text())
    content["external"] = {"robust_acc": 0.3, "source": "x", "certificate_sha256": ""} | changes
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match="damaged"):
        read_record(path)


def test_code_that_a_record_names_is_not_run_unasked(stored, certificate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()")
    record = read_record(stored)
    named = replace(record.model, name="evil.py:make", source="evil.py")
    write_record(replace(record, model=named), stored)
    with pytest.raises(
        ModelError, match=r"of its maker's own code .*'evil.py:make'; give it with --model"
    ):
        clbench.add_external(stored, source=SOURCE, certificate=certificate())
    assert not (tmp_path / "ran").exists()


def test_numbers_beyond_float32_lie_outside_of_the_ball(stored, certificate, newly):
    images = newly[1].astype(np.float64)
    images[0, 0, 0, 0] = 1e300
    with pytest.raises(DataError, match="must lie within"):
        clbench.add_external(stored, source=SOURCE, certificate=certificate(adversarial=images))
