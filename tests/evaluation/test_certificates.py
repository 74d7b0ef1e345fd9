"""Images that prove what is broken: packed, unpacked alike everywhere, and confirmed once more."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import clbench
from clbench.attacks.norms import is_inside
from clbench.data.image_set import make_image_set
from clbench.evaluation import certificates
from clbench.evaluation.certificates import (
    FULL_MOST,
    LENGTHS,
    Certificates,
    changes,
    encode,
    exact_changes,
    kind_for,
    moved,
    sampled,
    too_long,
)
from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.schema.errors import RecordError, UnknownNameError
from clbench.schema.names import NORM_NAMES
from clbench.schema.threat_model import ThreatModel, parse_eps

N, CLASSES = 23, 5
EPS = {"Linf": "1/40", "L2": "1/4", "L1": "2"}
ATTACK = "apgd-ce,n_iter=5 + square,n_queries=30"


# packing


def images_and_found(norm, eps, n=40, seed=0, size=(3, 9, 7)):
    """Clean images, some of them black or white, and others at most ``eps`` away."""
    generator = np.random.default_rng(seed)
    clean = generator.random((n, *size), dtype=np.float32)
    clean[0], clean[1] = 0, 1
    change = generator.normal(size=(n, *size))
    change[::3] = np.sign(change[::3])  # as attacks in Linf leave it
    change[1::5, :, 2:] = 0  # as attacks in L1 do
    length = LENGTHS[norm](change.reshape(n, -1))
    share = np.where(np.arange(n) % 4, 1.0, generator.random(n))
    change *= (eps * share / length)[:, None, None, None]
    return clean, (clean + change).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("eps", ["8/255", "1/3", "2", "12"])
@pytest.mark.parametrize("norm", NORM_NAMES)
def test_what_is_unpacked_is_in_the_ball_and_near_what_was_packed(norm, eps, seed):
    if norm == "Linf" and parse_eps(eps) > 1:
        eps = "1"
    threat = ThreatModel(norm, parse_eps(eps))
    clean, found = images_and_found(norm, float(threat.eps), seed=seed)
    coded, scale = encode(clean, found, norm, float(threat.eps))
    again = moved(clean, changes(coded, scale))
    assert is_inside(torch.from_numpy(again), torch.from_numpy(clean), threat).all()
    kept = Certificates(
        "full", np.arange(40), coded, scale, np.zeros(0, np.int64), np.zeros((0, 3, 9, 7))
    )
    assert not too_long(kept, norm, float(threat.eps))
    largest = np.abs(found - clean).max(axis=(1, 2, 3), initial=0)
    step = scale if norm == "Linf" else np.maximum(scale, largest / 127)
    assert (np.abs(again - found).max(axis=(1, 2, 3)) <= 0.5 * step + 0.01 * largest + 1e-6).all()


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_an_image_is_packed_alike_beside_any_others(norm):
    clean, found = images_and_found(norm, 0.1)
    coded, scale = encode(clean, found, norm, 0.1)
    for rows in ([7], [9, 3, 7], range(39, -1, -1)):
        some, its = encode(clean[list(rows)], found[list(rows)], norm, 0.1)
        assert np.array_equal(some, coded[list(rows)])
        assert np.array_equal(its, scale[list(rows)])


def test_unpacking_is_a_product_a_sum_and_a_rounding_whatever_the_memory_looks_like():
    clean, found = images_and_found("L2", 0.1)
    coded, scale = encode(clean, found, "L2", 0.1)
    expected = moved(clean, changes(coded, scale))
    turned = [np.asfortranarray(one) for one in (clean, coded)]
    assert np.array_equal(moved(turned[0], changes(turned[1], scale)), expected)
    one = [
        np.float32(np.float64(a) + np.float64(b) * np.float64(scale[3]))
        for a, b in zip(clean[3].ravel(), coded[3].ravel(), strict=True)
    ]
    assert np.array_equal(np.clip(one, 0, 1).reshape(clean[3].shape), expected[3])


@pytest.mark.parametrize("norm", NORM_NAMES)
def test_an_exact_change_gives_the_image_back_to_the_bit(norm):
    clean, found = images_and_found(norm, 0.5)
    assert np.array_equal(moved(clean, exact_changes(clean, found)), found)


def test_a_change_of_nothing_is_packed_as_nothing():
    clean = np.ones((2, 1, 3, 3), np.float32)
    for norm in NORM_NAMES:
        coded, scale = encode(clean, clean, norm, 0.1)
        assert not coded.any()
        assert np.isfinite(scale).all()


@pytest.mark.parametrize(
    ("n", "pixels", "wanted", "kind"),
    [
        (10_000, 3 * 32 * 32, None, "full"),  # CIFAR
        (360, 64, None, "full"),
        (5_000, 3 * 224 * 224, None, "sample"),  # ImageNet
        (1, FULL_MOST, None, "full"),
        (1, FULL_MOST + 1, None, "sample"),
        (5_000, 3 * 224 * 224, "full", "full"),
        (360, 64, "sample", "sample"),
        (360, 64, "verdicts", "verdicts"),
    ],
)
def test_what_is_kept_depends_on_the_whole_set_alone(n, pixels, wanted, kind):
    assert kind_for(n, pixels, wanted) == kind


def test_a_sample_is_the_same_however_the_places_come(monkeypatch):
    monkeypatch.setattr(certificates, "SAMPLE", 7)
    index = np.random.default_rng(0).permutation(100)
    places = np.flatnonzero(index % 3 == 0)
    whole = set(index[sampled("run", index, places)].tolist())
    assert len(whole) == 7
    halves = [set(index[sampled("run", index, places[k::2])].tolist()) for k in (0, 1)]
    assert whole <= halves[0] | halves[1]
    other = np.random.default_rng(1).permutation(100)
    there = np.flatnonzero(other % 3 == 0)
    assert set(other[sampled("run", other, there)].tolist()) == whole
    assert set(index[sampled("another run", index, places)].tolist()) != whole


# certificates of runs


class Net(nn.Sequential):
    """A small network whose class has a name."""


def small():
    torch.manual_seed(0)
    return Net(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, CLASSES)).eval()


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def images(network):
    torch.manual_seed(1)
    drawn = torch.rand(N, 3, 8, 8)
    labels = network(drawn).argmax(1)
    labels[::9] = (labels[::9] + 1) % CLASSES
    return make_image_set("drawn", drawn, labels, CLASSES)


@pytest.fixture(scope="module")
def run(network, images):
    """Return a function that evaluates the network, or another one."""

    def evaluate(out, *, model=network, norm="Linf", **settings):
        given = {"eps": EPS[norm], "attack": ATTACK, "batch_size": 8, "seed": 3}
        given |= {"probe": False, "device": "cpu", "norm": norm, "data": images}
        return clbench.evaluate(model, out=out, **(given | settings))

    return evaluate


WAYS = {
    **{norm: {"norm": norm} for norm in NORM_NAMES},
    "pyautoattack": {"backend": "pyautoattack"},
    "torchattacks": {"attack": "torchattacks:PGD,steps=4"},
    "torchattacks in L2": {"attack": "torchattacks:PGDL2,steps=4", "norm": "L2"},
    "pgd": {"attack": "pgd,steps=3"},
    "one tile": {"batch_size": 23},
    "bfloat16": {"precision": "bfloat16"},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_broken_example_has_an_image_that_the_network_misclassifies(
    run, images, network, way, tmp_path
):
    done = run(tmp_path, **way)
    broken = ~np.isin(done.examples.broken_by, ["", "clean"])
    assert 2 < broken.sum() < N
    kept = read_evidence(done.paths.evidence, done.record.evidence_sha256).certificates
    assert kept.kind == "full"
    assert kept.places.tolist() == np.flatnonzero(broken).tolist()
    clean = images.tensor()[kept.places]
    unpacked = torch.from_numpy(kept.images(kept.places.tolist(), clean.numpy()))
    threat = ThreatModel(way.get("norm", "Linf"), parse_eps(EPS[way.get("norm", "Linf")]))
    assert is_inside(unpacked, clean, threat).all()
    said = network(unpacked).argmax(1)
    assert said.tolist() == done.examples.adv_pred[kept.places].tolist()
    assert (said != images.labels[kept.places]).all()
    assert clbench.verify(tmp_path).problems == ()


class Exact(nn.Module):
    """Wrong about images whose first pixel is one number exactly."""

    at = 0.123456

    def __init__(self):
        super().__init__()
        self.inner = small()

    def forward(self, images):
        logits = self.inner(images)
        return torch.where((images[:, 0, 0, :1] == np.float32(self.at)), -logits, logits)


EXACT = """
def attack(model, images, labels, threat_model, *, seed, index):
    found = images.clone()
    found[:, 0, 0, 0] = 0.123456
    return found
"""


def test_where_the_packed_image_breaks_nothing_the_found_one_is_kept_to_the_bit(
    run, images, tmp_path
):
    (tmp_path / "exact.py").write_text(EXACT)
    how = {"attack": f"{tmp_path / 'exact.py'}:attack", "eps": "1/2", "save_adversarial": True}
    found = run(tmp_path / "out", model=Exact(), **how)
    kept = found.examples.certificates
    assert len(kept.exact_at) > 5
    assert not len(kept.at)
    places = kept.places.tolist()
    its = kept.images(places, images.tensor()[places].numpy())
    assert np.array_equal(its, found.examples.adversarial[places])
    assert clbench.verify(tmp_path / "out").problems == ()
    again = clbench.verify(tmp_path / "out", model=Exact(), data=images)
    assert [one.field for one in again.problems] == []


@pytest.mark.parametrize("kind", ["full", "sample", "verdicts"])
def test_evidence_is_the_same_cut_or_not(run, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(certificates, "SAMPLE", 4)
    whole = run(tmp_path / "whole", evidence=kind)
    for number in (3, 1, 2):
        run(tmp_path / "cut", evidence=kind, shard=f"{number}/3")
    (found,) = clbench.merge(tmp_path / "cut")
    assert found.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()
    assert found.examples.kind == kind
    assert found.record.counts == whole.record.counts
    assert not list((tmp_path / "cut" / "progress").iterdir())
    assert clbench.verify(tmp_path / "cut").problems == ()
    if kind == "sample":
        assert len(found.examples.certificates) == 4
        broken = ~np.isin(found.examples.broken_by, ["", "clean"])
        assert found.examples.certificates.digests.any(axis=1).tolist() == broken.tolist()


def test_certificates_cost_no_pass_of_the_attack_and_change_no_verdict(run, tmp_path):
    kinds = ("full", "sample", "verdicts")
    done = [run(tmp_path / kind, evidence=kind) for kind in kinds]
    assert len({one.record.counts for one in done}) == 1
    assert len({one.record.run.hash for one in done}) == 1
    assert len({one.record.measures for one in done}) == 1
    for name in ("clean_pred", "adv_pred", "broken_by"):
        first, *others = (getattr(one.examples, name).tolist() for one in done)
        assert all(other == first for other in others)


class StopError(Exception):
    pass


@pytest.mark.parametrize("after", [3, 8])
def test_a_stopped_run_ends_with_the_same_evidence(run, tmp_path, after):
    told = 0

    def stop(_):
        nonlocal told
        told += 1
        if told > after:
            raise StopError

    with pytest.raises(StopError):
        run(tmp_path / "cut", on_progress=stop)
    found, whole = run(tmp_path / "cut"), run(tmp_path / "whole")
    assert found.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()


def test_shards_of_two_kinds_keep_what_they_have_in_common(run, tmp_path, caplog):
    run(tmp_path, shard="1/2")
    run(tmp_path, shard="2/2", evidence="verdicts")
    (found,) = clbench.merge(tmp_path)
    assert found.examples.kind == "verdicts"
    assert "no certificates are kept: shards 2/2 ran without the same --evidence" in caplog.text


@pytest.mark.parametrize(
    ("before", "wanted", "again"),
    [
        ("verdicts", None, False),
        ("verdicts", "verdicts", False),
        ("verdicts", "full", True),
        ("verdicts", "sample", True),
        ("sample", "full", True),
        ("sample", "verdicts", False),
        ("full", "sample", False),
        ("full", None, False),
    ],
)
def test_a_finished_run_is_attacked_again_only_for_more_than_it_proves(
    run, tmp_path, caplog, before, wanted, again
):
    first = run(tmp_path, evidence=before)
    found = run(tmp_path, evidence=wanted)
    assert found.reused is not again
    assert ("certificates were not kept; attacking again" in caplog.text) is again
    assert found.examples.kind == (wanted if again else before)
    assert found.record.measures == first.record.measures
    assert found.record.counts == first.record.counts
    assert clbench.verify(tmp_path).problems == ()


def test_only_what_was_broken_is_attacked_again(run, tmp_path):
    whole = run(tmp_path / "at once", evidence="full")
    run(tmp_path / "later", evidence="verdicts")
    told = []
    later = run(tmp_path / "later", evidence="full", on_progress=told.append)
    assert later.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()
    assert later.record.counts == whole.record.counts
    robust = whole.record.measure("robust_acc").value
    assert min(one.accuracy_left for one in told) == robust
    stood = (whole.examples.broken_by == "").sum()
    assert min(one.done for one in told if one.step == 1) >= stood > 0


def test_without_a_folder_nothing_is_packed_or_written(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(None)
    assert done.examples.certificates is None
    assert done.adversarial is not None
    assert not list(tmp_path.iterdir())


def test_a_kind_that_there_is_not_is_named(run):
    with pytest.raises(UnknownNameError, match="unknown kind of evidence 'ful'; did you mean"):
        run(None, evidence="ful")


# evidence that is not what was written


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    return run(tmp_path_factory.mktemp("written"))


def with_arrays(written, **changes):
    with np.load(io.BytesIO(written.paths.evidence.read_bytes())) as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= {name: value(arrays[name]) for name, value in changes.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: one for name, one in arrays.items() if one is not None})
    return buffer.getvalue()


STRANGE = {
    "another kind": {"certificate_kind": lambda _: np.array("some")},
    "missing": {"certificate_scale": lambda _: None},
    "codes of 16 bits": {"certificate_coded": lambda a: a.astype(np.int16)},
    "codes of no image": {"certificate_coded": lambda a: a.reshape(len(a), -1)},
    "fewer codes": {"certificate_coded": lambda a: a[1:]},
    "more scales": {"certificate_scale": lambda a: np.concatenate([a, a])},
    "an infinite scale": {"certificate_scale": lambda a: np.full_like(a, np.inf)},
    "a scale that is no number": {"certificate_scale": lambda a: np.full_like(a, np.nan)},
    "a place twice": {"certificate_at": np.zeros_like},
    "a place outside": {"certificate_at": lambda a: a + N},
    "a negative place": {"certificate_at": lambda a: a - N},
    "places as floats": {"certificate_at": lambda a: a.astype(float)},
    "digests of what is whole": {"certificate_kind": lambda _: np.array("sample")},
    "verdicts as numbers": {"broken_by": lambda a: np.arange(len(a))},
    "labels as floats": {"label": lambda a: a.astype(float)},
    "a table of labels": {"label": lambda a: a.reshape(1, -1)},
    "logits of whole numbers": {"logits": lambda a: a.astype(int)},
    "fewer labels": {"label": lambda a: a[1:]},
    "a scalar": {"index": lambda _: np.array(3)},
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_evidence_of_another_form_is_named(written, change, tmp_path):
    path = tmp_path / "evidence.npz"
    with pytest.raises(RecordError, match=r"evidence .*evidence.npz is (cut off or )?damaged"):
        Evidence.from_bytes(with_arrays(written, **change), path)


def test_evidence_that_claims_more_than_memory_holds_is_named(written, tmp_path):
    data = with_arrays(written, certificate_coded=lambda _: np.zeros((2**20, 1, 40, 40), np.int8))
    with pytest.raises(RecordError, match=r"is damaged: it unpacks from .* as no images"):
        Evidence.from_bytes(data, tmp_path / "evidence.npz")


def test_what_was_read_is_written_to_the_same_bytes(written):
    data = written.paths.evidence.read_bytes()
    evidence = read_evidence(written.paths.evidence, written.record.evidence_sha256)
    assert evidence.to_bytes() == data
    bare = replace(evidence, certificates=None)
    assert bare.kind == "verdicts"
