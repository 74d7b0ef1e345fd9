import os
import random
import socket

import pytest

from clbench.schema.errors import BadValueError
from clbench.schema.files import holds, read_file, seal, sha256_of, sha256_of_file, unseal
from clbench.testing.damage import flipped

DATA = bytes(range(256)) * 3 + b"\n\n"


@pytest.mark.parametrize("data", [b"", b"\n", DATA])
def test_what_was_sealed_comes_back(data):
    assert unseal(seal(data)) == data


def test_every_flipped_bit_is_found():
    sealed = seal(DATA)
    for place in range(8 * len(sealed)):
        with pytest.raises(BadValueError, match=r"its (content|last line)"):
            unseal(flipped(sealed, place))


def test_every_truncation_is_found():
    sealed = seal(DATA)
    for length in range(len(sealed)):
        with pytest.raises(BadValueError, match=r"its (content|last line)"):
            unseal(sealed[:length])


def test_zeroed_and_exchanged_blocks_are_found():
    sealed, chance = seal(DATA), random.Random(0)
    for _ in range(50):
        start = chance.randrange(len(sealed) - 64)
        zeroed = sealed[:start] + bytes(64) + sealed[start + 64 :]
        with pytest.raises(BadValueError, match=r"its (content|last line)"):
            unseal(zeroed)


def test_what_was_never_sealed_is_refused():
    with pytest.raises(BadValueError, match=r"^its last line holds no checksum$"):
        unseal(DATA)


def of_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))


NO_FILES = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a socket": of_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_regular_file_is_not_read(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "one"
    NO_FILES[what](path)
    for read in (lambda: read_file(path, 10), lambda: sha256_of_file(path)):
        with pytest.raises(OSError, match="it is not a regular file"):
            read()
    assert not holds(path, b"")


def test_a_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "one"
    path.write_bytes(DATA)
    assert read_file(path, len(DATA)) == DATA
    assert sha256_of_file(path) == sha256_of(DATA)
    with pytest.raises(OSError, match=f"it has more than {len(DATA) - 1} bytes"):
        read_file(path, len(DATA) - 1)


def test_a_file_holds_what_it_holds(tmp_path):
    path = tmp_path / "one"
    assert not holds(path, b"")
    path.write_bytes(DATA)
    assert holds(path, DATA)
    assert not any(holds(path, other) for other in (None, b"", DATA[1:], DATA[1:] + b"x"))
