"""Every forgery is found by the level that can find it, or listed as one that none can find."""

import json
import re
from pathlib import Path

import pytest
from frauds import ATTACK, FRAUDS, NEVER, N

import clbench

DOCS = Path(__file__).parents[2] / "docs" / "verify.md"
AUDIT = {"audit": N, "attack": ATTACK, "nonce": "drawn"}


@pytest.fixture
def verify(made, monkeypatch):
    """Return a function that verifies a folder up to a level, with the network that is named."""
    monkeypatch.chdir(made)

    def verified(out, level, asks="make"):
        given = {"model": f"net.py:{asks}", "data": "images.npz"} if level > 1 else {}
        return clbench.verify(out, level=level, **given | (AUDIT if level == 3 else {}))

    return verified


HONEST = {
    "full": {},
    "sample": {"evidence": "sample"},
    "floats": {"save_adversarial": True},
    "verdicts": {"evidence": "verdicts"},
}
NETWORKS = ["make_noisy", "make_batchwise", "make_soft", "make_flat"]


@pytest.mark.parametrize("settings", HONEST.values(), ids=HONEST)
def test_an_honest_record_holds_at_every_level(honest, verify, settings):
    found = verify(honest(**settings), 3)
    assert found.problems == ()
    assert found.audits[0].attacked == found.audits[0].robust > 5


@pytest.mark.parametrize("name", NETWORKS)
def test_a_record_that_says_what_its_number_suffers_from_holds(honest, verify, name):
    assert verify(honest(name), 2, name).problems == ()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sealing_again_alters_nothing(honest, forge, verify):
    forger = forge(honest())
    before = contents(forger.out)
    forger.seal()
    assert contents(forger.out) == before


@pytest.mark.parametrize("fraud", FRAUDS, ids=lambda one: one.name)
def test_a_forgery_is_found_by_the_first_level_that_can(honest, forge, verify, fraud):
    forger = forge(honest(fraud.network, **fraud.settings))
    fraud.change(forger)
    forger.seal(**fraud.seal)
    fraud.after(forger)
    if fraud.level == NEVER:
        if fraud.asks_again:
            assert verify(forger.out, 2, fraud.asks).problems == ()
        return
    for level in range(1, fraud.level):
        assert verify(forger.out, level, fraud.asks).problems == (), "found too early"
    problems = verify(forger.out, fraud.level, fraud.asks).problems
    assert any(one.level == fraud.level and re.search(fraud.says, str(one)) for one in problems), (
        problems
    )
    assert all("\n" not in str(one) for one in problems)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (lambda record: record["threat_model"].update(eps="1/50"), "certificate of example"),
        (lambda record: record["measures"][0].update(value=0.99), "measures.clean_acc is 0.99"),
        (lambda record: record["attack"].update(name="best"), "which the name 'best' stands for"),
        (lambda record: record.update(seed=-1), "seed is -1"),
    ],
)
def test_of_a_record_that_was_edited_it_is_told_what_does_not_hold(
    honest, forge, verify, field, says
):
    forger = forge(honest())
    field(forger.content)
    forger.path.write_text(json.dumps(forger.content))
    told = [str(one) for one in verify(forger.out, 1).problems]
    assert "not what its checksum was made of" in told[0]
    assert any(says in one for one in told[1:]), told


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own():
    assert len(FRAUDS) >= 60
    assert len({one.name for one in FRAUDS}) == len(FRAUDS)


def test_the_docs_tell_which_level_finds_which():
    text = DOCS.read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    told = dict(rows)
    for one in FRAUDS:
        expected = f"not found: {one.says}" if one.level == NEVER else str(one.level)
        assert told.get(one.name) == expected, one.name
