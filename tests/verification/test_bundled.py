"""Every forgery that files or the network tell is refused when it comes in a bundle."""

import re

import pytest
from frauds import FRAUDS, NEVER

from clbench.leaderboard.bundles.add import add
from clbench.leaderboard.bundles.layout import CARD, EVIDENCE, RECORD, pack
from clbench.schema.errors import ClbenchError
from clbench.schema.records import evidence_of
from clbench.verification.findings import AUDITED
from clbench.verification.request import Given

OF_FOLDERS = {
    "evidence removed",
    "a record copied",
    "files called after another run",
    "leaderboard.csv edited",
}
"""Forgeries that no bundle can hold."""

SENT = [one for one in FRAUDS if one.level not in (NEVER, AUDITED) and one.name not in OF_FOLDERS]


@pytest.fixture
def send(made, tmp_path, monkeypatch):
    """Return a function that packs a record as it is and adds it, and the folder it is added to."""
    monkeypatch.chdir(made)

    def sent(record, evidence, asks="make", **options):
        path = tmp_path / "sent.clbench.zip"
        files = {CARD: b"", RECORD: record.read_bytes(), EVIDENCE: evidence.read_bytes()}
        path.write_bytes(pack(files, ""))
        given = Given(model=f"net.py:{asks}", data="images.npz")
        return add(path, tmp_path / "board", given, **options, on_cost=lambda _line: None)

    return sent


def test_an_honest_record_is_added(honest, forge, send, tmp_path):
    forger = forge(honest())
    done = send(forger.path, evidence_of(forger.path, forger.out))
    assert done.is_new
    assert done.record.read_bytes() == forger.path.read_bytes()


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
    try:
        done = send(forger.path, evidence_of(forger.path, forger.out), fraud.asks)
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
