import io
import zipfile

import numpy as np
import pytest

from clbench.runtime.npy_headers import headers_in
from clbench.schema.errors import BadValueError


def archive(**members):
    """Return an archive of arrays, and of bytes as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, one in members.items():
            content = one
            if not isinstance(one, bytes):
                content = written(one)
            made.writestr(f"{name}.npy", content)
    return zipfile.ZipFile(file)


def written(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def claiming(shape, descr="<f8", content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + content


ARRAYS = {
    "float32 [2, 3]": np.zeros((2, 3), np.float32),
    "int64 []": np.array(7),
    "text [2]": np.array(["a", "bcd"]),
    "uint8 [0, 4]": np.zeros((0, 4), np.uint8),
    "|S3 [1]": np.array([b"abc"]),
    ">i4 [5]": np.zeros(5, ">i4"),
    "object [1]": written(np.array([None]), allow_pickle=True),
    "bool [300]": written(np.ones(300, bool), version=(2, 0)),
}


@pytest.mark.parametrize("said", ARRAYS)
def test_an_array_says_what_it_is(said):
    (header,) = headers_in(archive(one=ARRAYS[said])).values()
    assert str(header) == said


CLAIMS = {
    "a quadrillion": claiming((10**15, 1, 8, 8)),
    "more than there is": claiming((3,), content=bytes(16)),
    "less than there is": claiming((1,), content=bytes(16)),
    "fewer than none": claiming((-1,), content=bytes(8)),
    "wide text": claiming((1,), descr="<U1000000", content=bytes(4)),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_what_an_array_claims_and_has_not_is_told(what):
    with pytest.raises(BadValueError, match=r"^claims \[.*\] of .* in 'one', .* bytes, but has "):
        headers_in(archive(one=CLAIMS[what]))


NO_ARRAYS = {
    "nothing": b"",
    "text": b"no array at all",
    "half a header": claiming((1,))[:40],
    "a header without an end": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'".ljust(128),
    "brackets in brackets": b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 0x2000,
    "minus signs in a row": b"\x93NUMPY\x01\x00\x00\x20" + b"-" * 0x1FFF + b"1",
    "a later version": b"\x93NUMPY\x09\x00" + bytes(200),
}


@pytest.mark.parametrize("what", NO_ARRAYS)
def test_what_is_no_array_is_an_error_of_numpy(what):
    with pytest.raises(ValueError):  # noqa: PT011 - whose words are numpy's
        headers_in(archive(one=NO_ARRAYS[what]))


def test_members_that_are_not_asked_are_not_looked_at():
    made = archive(one=np.zeros(3), other=b"no array at all")
    assert list(headers_in(made, ["one", "third"])) == ["one"]


def test_what_is_not_called_an_array_is_told():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("../readme.txt", "hello")
    with pytest.raises(BadValueError, match=r"^holds '../readme.txt', which is no array$"):
        headers_in(zipfile.ZipFile(file))
