import json
import math
import subprocess
import sys
from dataclasses import dataclass, field, is_dataclass
from fractions import Fraction
from typing import Any, Literal, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clbench.schema.dataclass_io import (
    checksum_of,
    from_table,
    parse_json,
    read_json,
    to_json,
    to_table,
)
from clbench.schema.errors import BadValueError, RecordError, UnknownNameError
from clbench.schema.flags import RaisedFlag
from clbench.schema.names import NORM_NAMES
from clbench.schema.records import EvaluationRecord, External, ModelEntry, ThreatEntry
from clbench.schema.training_record import TrainingRecord


@dataclass(frozen=True)
class Stop:
    at: int
    share: float = 0.5

    def __post_init__(self):
        if self.at < 0:
            raise BadValueError(f"at must not be negative, got {self.at}")
        if self.share < 0:
            raise ValueError("share is negative")


@dataclass(frozen=True)
class Route:
    name: str
    way: Literal["north", "south"]
    eps: Fraction
    fast: bool
    stops: tuple[Stop, ...]
    options: dict[str, dict[str, int | float | str | bool]]
    score: float | None
    version: Literal[1, 2] = 1
    about: dict[str, Any] = field(default_factory=dict)
    last: Stop | None = None


ROUTE = {
    "name": "coast",
    "way": "north",
    "eps": "8/255",
    "fast": True,
    "stops": [{"at": 1}, {"at": 2, "share": 1}],
    "options": {"tram": {"seats": 40, "price": 2.5, "line": "A", "night": False}},
    "score": None,
}


def test_parts_are_built_all_the_way_down():
    route = from_table(Route, ROUTE, "route")
    assert route.stops == (Stop(1), Stop(2, 1.0))
    assert type(route.stops[1].share) is float
    assert route.eps == Fraction(8, 255)
    assert route.options == ROUTE["options"]
    assert [type(one) for one in route.options["tram"].values()] == [int, float, str, bool]
    assert (route.score, route.last, route.about) == (None, None, {})


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"name": 3}, BadValueError, r"^route\.name must be text in quotes, got 3$"),
        ({"name": None}, BadValueError, r"^route\.name must be text in quotes, got None$"),
        ({"fast": 1}, BadValueError, r"^route\.fast must be true or false, got 1$"),
        ({"eps": 0.03}, BadValueError, r"^route\.eps must be text in quotes, got 0\.03$"),
        ({"eps": "8/255px"}, BadValueError, r"^eps must read like '8/255' or '0\.5', got '8/255px"),
        ({"eps": "1/0"}, BadValueError, r"^eps must read like '8/255' or '0\.5', got '1/0'$"),
        ({"way": "nort"}, UnknownNameError, r"^unknown route\.way 'nort'; did you mean 'north'\?$"),
        ({"way": 3}, UnknownNameError, r"^unknown route\.way '3'; known: north, south$"),
        ({"version": 3}, UnknownNameError, r"^unknown route\.version '3'; known: 1, 2$"),
        ({"version": True}, UnknownNameError, r"^unknown route\.version 'True'; known: 1, 2$"),
        ({"stops": 8}, BadValueError, r"^route\.stops must be a list, got 8$"),
        ({"stops": [8]}, BadValueError, r"^route\.stops\[0\] must be a table, got 8$"),
        ({"stops": [{}]}, BadValueError, r"^route\.stops\[0\] lacks at$"),
        ({"stops": [{"at": 1.0}]}, BadValueError, r"\.at must be a whole number, got 1\.0$"),
        ({"stops": [{"at": True}]}, BadValueError, r"\.at must be a whole number, got True$"),
        ({"stops": [{"at": 10**400}]}, BadValueError, r"\.at must be a whole number of at most 64"),
        ({"stops": [{"at": -1}]}, BadValueError, r"^at must not be negative, got -1$"),
        (
            {"last": {"at": 1, "share": "1"}},
            BadValueError,
            r"last\.share must be a number, got '1'",
        ),
        ({"last": {"at": 1, "share": True}}, BadValueError, r"\.share must be a number, got True$"),
        ({"last": {"at": 1, "share": math.nan}}, BadValueError, r"a finite number, got nan$"),
        ({"last": {"at": 1, "share": -math.inf}}, BadValueError, r"a finite number, got -inf$"),
        (
            {"last": {"at": 1, "share": 10**400}},
            BadValueError,
            r"must be a number, got 1000+\.\.\.",
        ),
        ({"last": {"at": 1, "share": -1}}, BadValueError, r"^route\.last: share is negative$"),
        (
            {"last": {"at": 1, "sahre": 2}},
            UnknownNameError,
            r"of route\.last 'sahre'; did you mean",
        ),
        ({"colour": "red"}, UnknownNameError, r"^unknown field of route 'colour'; known: about, "),
        ({"options": {"tram": 3}}, BadValueError, r"^route\.options\.tram must be a table, got 3$"),
        (
            {"options": {"tram": {"seats": []}}},
            BadValueError,
            r"^route\.options\.tram\.seats must be a number, text in quotes, or true or false, got",
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_place(change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        from_table(Route, ROUTE | change, "route")
    assert len(str(caught.value)) < 200


def test_all_missing_fields_are_named_at_once():
    rest = {key: value for key, value in ROUTE.items() if key not in ("name", "fast")}
    with pytest.raises(BadValueError, match=r"^route lacks name, fast$"):
        from_table(Route, rest, "route")


def test_something_else_than_a_table_is_refused():
    with pytest.raises(BadValueError, match=r"^route must be a table, got \[\]$"):
        from_table(Route, [], "route")


def test_what_is_none_is_left_out_where_that_means_the_same():
    table = to_table(from_table(Route, ROUTE, "route"))
    assert "last" not in table
    assert table["score"] is None


def test_the_order_of_the_fields_is_the_order_of_the_file():
    mixed = dict(reversed(ROUTE.items()))
    assert list(json.loads(to_json(from_table(Route, mixed, "route")))) == [
        *ROUTE,
        "version",
        "about",
    ]


# from_table is the inverse of to_table

counts = st.integers(-(2**63) + 1, 2**63 - 1)
numbers = st.floats(allow_infinity=False)
options = counts | numbers | st.text() | st.booleans()
plain = counts | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.booleans()
stops = st.builds(Stop, at=st.integers(0, 2**63 - 1), share=st.just(math.nan) | st.floats(0, 1e300))
routes = st.builds(
    Route,
    stops=st.lists(stops).map(tuple),
    options=st.dictionaries(st.text(), st.dictionaries(st.text(), options)),
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    about=st.just({}),
    last=st.none() | stops,
)


parts = st.recursive(plain, lambda part: st.lists(part) | st.dictionaries(st.text(), part))
training_records = st.builds(TrainingRecord, recipe=st.dictionaries(st.text(), parts))


def fits(value):
    """Whether no number is infinite or of more than 64 bits: a file has none of those."""
    match value:
        case float():
            return not math.isinf(value)
        case int():
            return abs(value) < 2**63
        case dict():
            return all(map(fits, value.values()))
        case list() | tuple():
            return all(map(fits, value))
        case _:
            return not is_dataclass(value) or fits(vars(value))


st.register_type_strategy(
    External,
    st.builds(
        External,
        robust_acc=st.floats(0, 1),
        source=st.text(min_size=1).filter(str.strip),
        certificate_sha256=st.text(),
    ),
)
st.register_type_strategy(
    ThreatEntry,
    st.builds(
        ThreatEntry,
        norm=st.sampled_from(NORM_NAMES),
        eps=st.fractions(0, 1, max_denominator=10**30).map(str),
    ),
)
# known by a file only where there is one
of_models = {name: st.from_type(kind) for name, kind in get_type_hints(ModelEntry).items()}
st.register_type_strategy(
    ModelEntry, st.builds(ModelEntry, **of_models | {"known_by_file": st.just(False)})
)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(
    RaisedFlag, st.builds(RaisedFlag, name=st.text(), value=numbers, threshold=numbers)
)


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # beartype does
@pytest.mark.parametrize(
    "drawn",
    [routes, st.from_type(EvaluationRecord), training_records],
    ids=["Route", "EvaluationRecord", "TrainingRecord"],
)
def test_reading_is_the_inverse_of_writing(drawn):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn.filter(fits))
    def holds(value):
        again = from_table(type(value), parse_json(to_json(value)), "value")
        assert repr(again) == repr(value)  # unlike ==, one NaN is as good as another
        assert to_json(again) == to_json(value)

    holds()


def test_an_infinite_number_becomes_an_undefined_one():
    assert math.isnan(from_table(Stop, to_table(Stop(1, math.inf)), "stop").share)


# JSON files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"n": 1, "n": 2}', r"field 'n' is there twice"),
        (b'{"n": NaN}', r"NaN is no number of JSON"),
        (b'{"n": -Infinity}', r"-Infinity is no number of JSON"),
        (b'{"n": 1e999}', r"the number 1e999 is too large"),
        (b'{"n": 1%s}' % (b"0" * 400), r"the number 10+\.\.\. has more than 64 bits"),
        (b'{"n": 1%s}' % (b"0" * 9000), r"the number 10+\.\.\. has more than 64 bits"),
        (b"[" * 100_000, r"it nests too deeply"),
        (b'{"n":' * 100_000, r"it nests too deeply"),
        (b"", r"Expecting value: line 1 column 1 \(char 0\)"),
        (b"\xff{}", r"'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_no_json_is_named(tmp_path, content, message):
    path = tmp_path / "one.json"
    path.write_bytes(content)
    with pytest.raises(
        RecordError, match=rf"^route .*one.json is cut off or no JSON \({message}.*\); move it away"
    ):
        read_json(path, Route, "route", remedy="make it again")


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 970, 990])
def test_a_field_that_nests_is_refused_at_any_depth(tmp_path, depth):
    path = tmp_path / "one.json"
    deep = "[" * depth + "]" * depth
    for table in (f'{{"name": {deep}}}', f'{{"about": {deep}, "checksum": "0"}}'):
        path.write_text(table)
        with pytest.raises(RecordError, match=r"^route .*; (move it away, or )?make it again$"):
            read_json(path, Route, "route", remedy="make it again")


def test_a_checksum_finds_any_change_of_a_value(tmp_path):
    path, route = tmp_path / "one.json", from_table(Route, ROUTE, "route")
    path.write_bytes(to_json(route, checksum=True))
    assert read_json(path, Route, "route", remedy="make it again") == route
    path.write_bytes(path.read_bytes().replace(b"40", b"41"))
    message = "one.json is damaged: route is not .* changed after it was written; make it again$"
    with pytest.raises(RecordError, match=message):
        read_json(path, Route, "route", remedy="make it again")


def test_a_checksum_is_of_what_is_said_and_not_of_its_layout():
    table = json.loads(to_json(from_table(Route, ROUTE, "route"), checksum=True))
    assert checksum_of(dict(reversed(table.items()))) == table["checksum"]


def test_a_file_without_a_checksum_is_read(tmp_path):
    path, route = tmp_path / "one.json", from_table(Route, ROUTE, "route")
    path.write_bytes(to_json(route))
    assert read_json(path, Route, "route", remedy="make it again") == route


def test_the_schema_loads_neither_torch_nor_numpy():
    code = (
        "import pkgutil, sys, importlib, clbench.schema as schema\n"
        "for one in pkgutil.iter_modules(schema.__path__):\n"
        "    importlib.import_module(f'clbench.schema.{one.name}')\n"
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
