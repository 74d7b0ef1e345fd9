"""Whatever lies in the place of a record, its evidence or the table: a line, and never a wait."""

import os
import signal
import socket

import numpy as np
import pytest

WAIT = 30
"""Seconds in which every command ends."""


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path, monkeypatch):
    monkeypatch.chdir(path.parent)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


IN_ITS_PLACE = {
    "a pipe": a_pipe,
    "a folder": lambda path: path.mkdir(),
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a device without a beginning": lambda path: path.symlink_to("/dev/null"),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("nowhere")),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a pipe": lambda path: (
        os.mkfifo(path.with_name("pipe")), path.symlink_to(path.with_name("pipe"))
    ),
    "a file as large as a disk": lambda path: (path.touch(), os.truncate(path, 1 << 42)),
}  # fmt: skip
CONTENT = {
    "nothing": b"",
    "a zero byte": b"\0",
    "text": b"hello",
    "no text": b"\xff\xfe\xfd",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two bytes a letter": '{"schema_version": 3}'.encode("utf-16"),
    "lists in lists": b"[" * 100_000 + b"]" * 100_000,
    "tables in tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "400 digits": b'{"schema_version": 1' + b"0" * 400 + b"}",
    "a million digits": b'{"schema_version": 1' + b"0" * 1_000_000 + b"}",
    "an exponent": b'{"schema_version": 3, "wall_s": 1e400}',
    "no number": b'{"schema_version": 3, "wall_s": NaN}',
    "an infinite number": b'{"schema_version": 3, "wall_s": -Infinity}',
    "a field twice": b'{"schema_version": 3, "schema_version": 3}',
    "a number": b"3",
    "a list": b"[]",
    "null": b"null",
    "a table": b"{}",
    "half a table": b'{"schema_version": 3, "pro',
    "two tables": b"{} {}",
    "half a character": b'{"schema_version": "\\ud800"}',
    "an archive": b"PK\x03\x04" + b"\0" * 40,
}
"""What may lie in the place of a file, or be in it."""


@pytest.fixture
def results(tmp_path, with_evidence):
    """A folder with two records, and the paths of the first one's files and of the table."""
    from clbench.leaderboard.table import CSV_NAME, build

    out = tmp_path / "results"
    robust = np.arange(100) % 3 > 0
    first, other = (with_evidence(name, robust, out=out) for name in ("one", "two"))
    build(out)
    evidence = out / "evidence" / first.relative_to(out / "records").with_suffix(".npz")
    return {"record": first, "evidence": evidence, "table": out / CSV_NAME, "other": other}


def commands(results):
    out, first, other = results["table"].parent, results["record"], results["other"]
    yield "verify", out
    yield "verify", first
    yield "leaderboard", "check", "--out", out
    yield "show", first
    yield "compare", first, other
    yield "bundle", first, "--out", out.parent / "bundles"
    yield "leaderboard", "build", "--out", out


@pytest.fixture
def in_time(monkeypatch):
    """Break off what waits for ever."""

    def stop(*_):
        raise AssertionError(f"it took more than {WAIT} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda: signal.alarm(WAIT)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def naming(clbench, in_time, results, which):
    """Run all commands; return how many refuse, and in how many of them a line names the file."""
    refused = named = 0
    for command in commands(results):
        in_time()
        done = clbench(*command)
        assert done.status in (0, 2), (command, done)
        lines = done.err.splitlines()
        assert all(line.isprintable() and len(line) < 1000 for line in lines), (command, lines)
        refused += done.status == 2
        named += any(str(results[which]) in line for line in lines)
    return refused, named


@pytest.mark.parametrize("which", ["record", "evidence", "table"])
@pytest.mark.parametrize("what", [*IN_ITS_PLACE, "a socket"])
def test_what_is_no_file_is_told(clbench, in_time, results, which, what, monkeypatch):
    results[which].unlink()
    if what == "a socket":
        a_socket(results[which], monkeypatch)
    else:
        IN_ITS_PLACE[what](results[which])
    refused, named = naming(clbench, in_time, results, which)
    assert named >= (2 if which == "table" else 5)
    assert refused >= (2 if which == "table" else 4)


@pytest.mark.parametrize("which", ["record", "evidence"])
@pytest.mark.parametrize("what", CONTENT)
def test_what_a_file_holds_instead_is_told(clbench, in_time, results, which, what):
    results[which].write_bytes(CONTENT[what])
    refused, named = naming(clbench, in_time, results, which)
    assert named >= 5
    assert refused >= 4
