"""Every field of a record, replaced by what no run writes, is a problem that names the field."""

import json

import pytest
from leaves import leaves, put

from clbench.schema.errors import ClbenchError
from clbench.verification.files import check_files

WRONG = {
    "null": None,
    "true": True,
    "minus one": -1,
    "minus a half": -0.5,
    "infinite": float("inf"),
    "no number": float("nan"),
    "400 digits": 10**400,
    "text": "x",
    "nothing": "",
    "escape": "\x1b[2J",
    "list": [],
    "nested": [["x"]],
    "table": {},
    "other table": {"x": 1},
}

NO_JSON = ("infinite", "no number", "400 digits")
"""What JSON cannot hold: the file is refused as a whole."""

FREE = {
    ("model", "name"): {"text", "escape"},
    ("model", "scheme"): {"nothing"},
    ("model", "scenario"): {"nothing"},
    ("model", "backbone"): {"text", "nothing"},
    ("model", "tag"): {"text", "nothing"},
    ("model", "source"): {"text", "nothing", "escape"},
    ("model", "files"): {"null", "table"},
    ("model", "recipe_sha256"): {"nothing"},
    ("data", "name"): {"text", "escape"},
    ("device",): {"text"},
    ("commit",): {"nothing"},
    ("versions", "torch"): {"nothing"},
    ("versions", "timm"): {"nothing"},
    ("flags",): {"list"},
    ("unreliable",): {"true"},
    ("attack", "name"): {"text", "nothing"},
    **{("measures", number, "reason"): {"nothing"} for number in range(5)},
    ("measures", 5, "name"): {"text"},
    ("measures", 5, "low"): {"minus one", "minus a half"},
    ("measures", 5, "reason"): {"text", "nothing"},
}
"""What anybody may name as they like, or leave empty."""

TOGETHER = {(("flags",), "list"), (("attack", "name"), "text"), (("attack", "name"), "nothing")}
"""What another field must follow: whether the number is reliable, and the attack's hash."""

MIXED = [
    {"name": "cka_stem", "value": 0.5, "n": 48, "low": 0.4, "high": 0.6, "reason": ""},
    {"name": "zero_gradient", "value": 2.0, "threshold": 0.0},
]


@pytest.fixture
def forger(honest, forge):
    """Somebody with a record that has all kinds of fields."""
    made, (measure, flag) = forge(honest()), MIXED
    made.content.pop("checksum")
    made.content["measures"].append(measure)
    made.content |= {"flags": [flag], "unreliable": True}
    return made


def said_of(forger, place, value):
    """Return what level 1 says of a record with another value in a place, all else mended."""
    before = json.loads(json.dumps(forger.content))
    put(forger.content, place, value)
    try:
        forger.seal(measures=False, hashes=False, table=False)
    except (ClbenchError, ValueError):
        forger.seal_as_it_is()
    if place in (("evidence_sha256",), ("schema_version",)):  # which sealing mends
        forger.seal_as_it_is()
    lines = [str(one) for one in check_files(forger.path, forger.out)[1]]
    forger.content = before
    return lines


def words_for(forger, place, kind):
    """Return words of which one is in what is said of a field."""
    if kind in NO_JSON:
        return [""]
    name = next(key for key in reversed(place) if isinstance(key, str))
    inside = [key for key in place if isinstance(key, int)]
    named = [forger.content[place[0]][inside[0]]["name"], place[0]] if inside else []
    return [name, name.replace("_", " "), *named]


def test_the_record_itself_holds(forger):
    place = ("seed",)
    assert said_of(forger, place, 0) == []


@pytest.mark.parametrize("kind", WRONG)
def test_what_no_run_writes_is_named(forger, kind):
    missed, tried = [], 0
    for place in list(leaves(forger.content)):
        lines = said_of(forger, place, WRONG[kind])
        assert all("\n" not in line for line in lines)
        tried += 1
        words = words_for(forger, place, kind)
        told = [one for one in lines if str(forger.path) in one for word in words if word in one]
        if not told and kind not in FREE.get(place, ()):
            missed.append((place, lines))
    assert tried > 90
    assert missed == []


@pytest.mark.parametrize("place", FREE)
def test_what_is_free_is_no_problem(forger, place):
    for kind in FREE[place]:
        if (place, kind) not in TOGETHER:
            assert said_of(forger, place, WRONG[kind]) == []
