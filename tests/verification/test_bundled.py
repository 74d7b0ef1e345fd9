"""Every forgery that files or the network tell is refused when it comes in a bundle."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from frauds import FRAUDS, NEVER, broken, put

from clbench.leaderboard.bundles.add import add
from clbench.leaderboard.bundles.layout import CARD, EVIDENCE, EXTERNAL, RECORD, pack
from clbench.schema.errors import ClbenchError, RecordError
from clbench.schema.files import sha256_of
from clbench.schema.record_files import certificate_of, evidence_of
from clbench.verification.findings import AUDITED
from clbench.verification.request import Given

OF_FOLDERS = {
    "no attack, and yet a robust accuracy",  # which is not packed at all
    "no attack, and yet a threat model",
    "evidence removed",
    "a record copied",
    "files called after another run",
    "leaderboard.csv edited",
    "one evidence under two seeds of training",
    "one evidence under two seeds of an attack with random starts",
}
"""Forgeries that no bundle can hold."""

SENT = [one for one in FRAUDS if one.level not in (NEVER, AUDITED) and one.name not in OF_FOLDERS]


@pytest.fixture
def send(made, tmp_path, monkeypatch):
    """Return a function that packs a record as it is and adds it, and the folder it is added to."""
    monkeypatch.chdir(made)

    def sent(record, evidence, asks="make", others=(), **options):
        path = tmp_path / "sent.clbench.zip"
        files = {
            CARD: b"",
            RECORD: record.read_bytes(),
            EVIDENCE: evidence.read_bytes(),
            **dict(others),
        }
        path.write_bytes(pack(files, ""))
        given = Given(model=f"net.py:{asks}", data="images.npz")
        return add(path, tmp_path / "board", given, **options, on_cost=lambda _line: None)

    return sent


def test_an_honest_record_is_added(honest, forge, send, tmp_path):
    forger = forge(honest())
    done = send(forger.path, evidence_of(forger.path, forger.out))
    assert done.is_new
    assert done.record.read_bytes() == forger.path.read_bytes()


@pytest.fixture
def beside(honest, forge, made):
    """Return somebody who has a record with an external accuracy, and the certificate of it."""
    forger = forge(honest())
    evidence = forger.evidence
    place = broken(evidence)[:1]
    with np.load(made / "images.npz") as file:
        clean = np.moveaxis(file["x"], -1, 1)[place].astype(np.float32) / 255
    found = evidence.certificates.images(place.tolist(), clean)
    forger.evidence = replace(
        evidence,
        broken_by=put(evidence.broken_by, place, ""),
        adv_pred=put(evidence.adv_pred, place, evidence.label[place]),
        certificates=evidence.certificates.only(np.setdiff1d(evidence.certificates.places, place)),
    )
    np.savez(made / "found.npz", index=place, adversarial=found)
    robust = int((evidence.broken_by == "").sum())

    def named(content, robust_acc):
        forger.content["external"] = {
            "robust_acc": robust_acc, "source": "somebody", "certificate_sha256": sha256_of(content)
        }  # fmt: skip
        forger.seal()
        return {EXTERNAL: content}

    return forger, (made / "found.npz").read_bytes(), robust / len(evidence), named


def test_an_external_accuracy_comes_with_its_images(beside, send, tmp_path):
    forger, content, robust_acc, named = beside
    others = named(content, robust_acc)
    done = send(forger.path, evidence_of(forger.path, forger.out), others=others)
    assert done.verified.problems == ()
    assert certificate_of(done.record, tmp_path / "board").read_bytes() == content


EXTERNALS = {
    "a lower one than shown": (lambda content: content, -0.1, "expected 0.* by its certificate"),
    "images that break nothing": (
        lambda content: npz(content, lambda x: np.clip(x, 0.4, 0.6)), 0, "must lie within|rightly"
    ),
    "no images": (lambda _: b"", 0, "is no .npz file"),
    "objects": (lambda _: npz_of_objects(), 0, "is no .npz file"),
}  # fmt: skip


def npz(content, change):
    with np.load(io.BytesIO(content)) as file:
        index, images = file["index"], file["adversarial"]
    written = io.BytesIO()
    np.savez(written, index=index, adversarial=change(images))
    return written.getvalue()


def npz_of_objects():
    written = io.BytesIO()
    np.savez(written, index=np.array([object], dtype=object), adversarial=np.zeros((1, 1, 8, 8)))
    return written.getvalue()


@pytest.mark.parametrize("case", EXTERNALS)
def test_an_external_accuracy_that_its_images_do_not_show_is_refused(beside, send, tmp_path, case):
    forger, content, robust_acc, named = beside
    change, more, says = EXTERNALS[case]
    others = named(change(content), robust_acc + more)
    done = send(forger.path, evidence_of(forger.path, forger.out), others=others)
    (problem,) = map(str, done.verified.problems)
    assert re.search(says, problem), problem
    assert "sent.clbench.zip/" in problem
    assert not (tmp_path / "board").exists()


def test_images_that_a_record_does_not_name_or_that_are_missing_are_refused(beside, send):
    forger, content, robust_acc, named = beside
    forger.seal()
    with pytest.raises(RecordError, match=r"holds 'external\.npz', which its record does not name"):
        send(forger.path, evidence_of(forger.path, forger.out), others={EXTERNAL: content})
    named(content, robust_acc)
    done = send(forger.path, evidence_of(forger.path, forger.out))
    (problem,) = map(str, done.verified.problems)
    assert "sent.clbench.zip/external.npz' cannot be read: No such file" in problem


def test_robust_examples_are_attacked_again_where_that_is_asked(honest, forge, send):
    forger = forge(honest())
    done = send(forger.path, evidence_of(forger.path, forger.out), audit=1)
    (audit,) = done.verified.audits
    assert done.verified.holds
    assert audit.attacked == 1
    assert audit.file.parts[-2:] == ("sent.clbench.zip", "record.json")


@pytest.mark.parametrize("fraud", SENT, ids=lambda one: one.name)
def test_a_forgery_is_refused_with_its_reasons(honest, forge, send, tmp_path, fraud):
    forger = forge(honest(fraud.network, **fraud.settings))
    fraud.change(forger)
    forger.seal(**fraud.seal)
    fraud.after(forger)
    kept = certificate_of(forger.path, forger.out)
    others = {EXTERNAL: kept.read_bytes()} if kept.exists() else {}
    try:
        done = send(forger.path, evidence_of(forger.path, forger.out), fraud.asks, others)
        assert done.record is None
        told = [str(one) for one in done.verified.problems]
    except ClbenchError as error:  # the record cannot be read
        told = [str(error)]
    assert any(re.search(fraud.says, one) for one in told), told
    assert all("sent.clbench.zip" in one and one.isprintable() for one in told)
    assert not (tmp_path / "board").exists()


def test_most_forgeries_can_be_sent():
    assert len(SENT) >= 55
    assert {one.name for one in FRAUDS} >= OF_FOLDERS
