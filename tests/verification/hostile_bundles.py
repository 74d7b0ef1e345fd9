"""What somebody may send who knows what a bundle is, and what is said of each."""

import io
import json
import os
import pickle
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable

import numpy as np
import safetensors.torch
import torch

from clbench.leaderboard.bundles.layout import CARD, EVIDENCE, MANIFEST, RECORD, WEIGHTS, pack
from clbench.schema.dataclass_io import checksum_of

MEMBERS = (MANIFEST, CARD, RECORD, EVIDENCE, WEIGHTS)


def files_of(whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return {one.filename: archive.read(one) for one in archive.infolist()}


def entry(name, mode=stat.S_IFREG | 0o644, **fields):
    made = zipfile.ZipInfo(name)
    made.external_attr, made.create_system = mode << 16, 3
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def zipped(rows, comment=b""):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for row, data in rows:
            archive.writestr(row, data)
        archive.comment = comment
    return file.getvalue()


def with_rows(change):
    """Pack the files of a bundle otherwise; ``change`` turns a row into several."""

    def hostile(whole):
        rows = files_of(whole).items()
        return zipped([one for name, data in rows for one in change(name, data)])

    return hostile


def of_one(name, *rows):
    """Pack other rows in the place of one file."""

    def change(other, data):
        if other != name:
            return [(entry(other), data)]
        return [row(data) if callable(row) else row for row in rows]

    return with_rows(change)


def same(name, **fields):
    return lambda data: (entry(name, **fields), data)


def bombed(name):
    packed = {"compress_type": zipfile.ZIP_DEFLATED}
    return of_one(name, (entry(name, **packed), bytes(50_000_000)))


OF_EACH: dict[str, tuple[Callable, str]] = {
    "cut": (lambda name: of_one(name, lambda data: (entry(name), data[:-9])), "holds|read|no JSON"),
    "empty": (lambda name: of_one(name, (entry(name), b"")), "holds"),
    "doubled": (lambda name: of_one(name, same(name), same(name)), "twice"),
    "renamed": (lambda name: of_one(name, same(f"x{name}")), "which no bundle does"),
    "in capitals": (lambda name: of_one(name, same(name.upper())), "which no bundle does"),
    "in a folder": (lambda name: of_one(name, same(f"a/{name}")), "which no bundle does"),
    "above": (lambda name: of_one(name, same(f"../{name}")), "which no bundle does"),
    "absolute": (lambda name: of_one(name, same(f"/{name}")), "which no bundle does"),
    "of Windows": (lambda name: of_one(name, same(f"C:\\{name}")), "which no bundle does"),
    "a folder": (lambda name: of_one(name, (entry(f"{name}/"), b"")), "which no bundle does"),
    "a folder by mode": (
        lambda name: of_one(name, same(name, mode=stat.S_IFDIR | 0o755)), "no plain file",
    ),
    "a link": (
        lambda name: of_one(name, (entry(name, stat.S_IFLNK | 0o777), b"/etc/passwd")), "is a link",
    ),
    "a device": (
        lambda name: of_one(name, same(name, mode=stat.S_IFCHR | 0o644)), "no plain file",
    ),
    "a bomb": (bombed, "compressed|hundred|unpacks"),
    "another": (lambda name: of_one(name, (entry(name), b"{}")), "holds|version"),
    "a program": (
        lambda name: of_one(name, same(name, mode=stat.S_IFREG | 0o755)), "before, between or",
    ),
    "of another time": (
        lambda name: of_one(name, same(name, date_time=(2026, 1, 1, 0, 0, 0))), "before, between",
    ),
    "with a comment": (lambda name: of_one(name, same(name, comment=b"hi")), "before, between or"),
    "with more about it": (
        lambda name: of_one(name, same(name, extra=struct.pack("<HHI", 9, 4, 1))), "before, betw",
    ),
    "compressed": (
        lambda name: of_one(name, same(name, compress_type=zipfile.ZIP_BZIP2)), "is compressed",
    ),
}  # fmt: skip
"""What may be done to each of the five files, and what is said."""


def without(name):
    return of_one(name)


def overwritten(find, put, last=False):
    """Overwrite bytes of an archive where they are first, or last, found."""

    def hostile(whole):
        at = whole.rindex(find) if last else whole.index(find)
        return whole[:at] + put + whole[at + len(find) :]

    return hostile


def patched(offset, values):
    """Overwrite a field of the first entry of the directory, which the archive's end points at."""

    def hostile(whole):
        (start,) = struct.unpack("<I", whole[-6:-2])
        at = start + offset
        return whole[:at] + values + whole[at + len(values) :]

    return hostile


def tarred(whole):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files_of(whole).items():
            row = tarfile.TarInfo(name)
            row.size = len(data)
            archive.addfile(row, io.BytesIO(data))
    return file.getvalue()


def manifest(change):
    """Change the table of the manifest."""

    def hostile(whole):
        table = json.loads(files_of(whole)[MANIFEST])
        change(table)
        return of_one(MANIFEST, (entry(MANIFEST), json.dumps(table, indent=1) + "\n"))(whole)

    return hostile


def manifest_text(text):
    return of_one(MANIFEST, (entry(MANIFEST), text))


NAN = '{"schema_version": NaN}'
ARCHIVES: dict[str, tuple[Callable, str]] = {
    "nothing": (lambda _: b"", "cut off, damaged or no archive"),
    "text": (lambda _: b"a bundle", "cut off, damaged or no archive"),
    "an empty archive": (lambda _: zipped([]), "lacks 'bundle.json'"),
    "a tar archive": (tarred, "cut off, damaged or no archive"),
    "one more file": (of_one(CARD, same(CARD), same("x.py")), "'x.py', which no bundle"),
    "a pickle beside": (of_one(CARD, same(CARD), same("data.pkl")), "which no bundle"),
    "a hidden name": (of_one(CARD, same("c\x1b[2J.md")), r"\x1b[2J"),
    "a long name": (of_one(CARD, same("x" * 9000)), "which no bundle does"),
    "a name of another script": (of_one(CARD, same("cаrd.md")), "which no bundle"),  # noqa: RUF001
    "ten thousand files": (
        lambda w: zipped([(entry(f"{one}"), b"") for one in range(10_000)]), "which no bundle",
    ),
    "something before": (lambda w: b"#!/bin/sh\n" + w, "before, between or behind"),
    "something behind": (lambda w: w + b"\0", "before, between or behind|cut off"),
    "two": (lambda w: w + w, "before, between or behind"),
    "a comment": (lambda w: zipped(files_of(w).items(), b"hi"), "plain file|before, between"),
    "another order": (
        lambda w: zipped([(entry(n), d) for n, d in reversed(files_of(w).items())]), "before, betw",
    ),
    "encrypted": (patched(8, b"\x01\0"), "is encrypted"),
    "of another method": (patched(10, b"\x63\0"), "is compressed"),
    "of another sum": (patched(16, b"\0\0\0\0"), "cut off, damaged"),
    "of two sizes": (patched(24, b"\0\0\0\1"), "is of two sizes"),
    "of a huge size": (patched(20, b"\xff\xff\xff\x7f" * 2), "too large|unpacks|memory"),
    "another name outside": (
        overwritten(b"card.md", b"cord.md"), "cut off, damaged or no archive",
    ),
    "another name inside": (overwritten(b"card.md", b"cord.md", last=True), "which no bundle does"),
    "entries of one place": (patched(46 + len(MANIFEST) + 42, b"\0\0\0\0"), "cut off, damaged"),
    "a manifest that is no JSON": (manifest_text("{"), "a manifest that is no JSON"),
    "a manifest of no table": (manifest_text("[]"), "has schema version None"),
    "a deep manifest": (manifest_text("[" * 60_000), "it nests too deeply"),
    "a manifest of no numbers": (manifest_text(NAN), "NaN is no number of JSON"),
    "a manifest of bytes": (manifest_text(b"\xff\xfe"), "a manifest that is no JSON"),
    "another version": (manifest(lambda t: t.update(schema_version=9)), "has schema version 9"),
    "version true": (manifest(lambda t: t.update(schema_version=True)), "must be a whole number"),
    "a field more": (manifest(lambda t: t.update(run="x")), "unknown field of manifest 'run'"),
    "no files": (manifest(lambda t: t.update(members={})), "holds another 'card.md' than its man"),
    "files that are a list": (manifest(lambda t: t.update(members=[])), "must be a table, got []"),
    "a file that is not there": (
        manifest(lambda t: t["members"].update({"../\x1b": {"sha256": "", "size": 0}})),
        r"holds another '../\x1b' than its manifest says",
    ),
    "another size": (manifest(lambda t: t["members"][CARD].update(size=1)), "another 'card.md'"),
    "another hash": (manifest(lambda t: t["members"][CARD].update(sha256="")), "another 'card.md'"),
    "no address": (manifest(lambda t: t.update(weights_url="http://a")), "must read like https:"),
    "a hidden address": (
        manifest(lambda t: t.update(weights_url="https://a/\x1b[2J")), "must read like https:",
    ),
    "an address that is a number": (manifest(lambda t: t.update(weights_url=1)), "text in quotes"),
}  # fmt: skip
"""What may be done to the whole, and what is said."""


def of_content(**changes):
    """Pack changed files as a bundle is packed, with a manifest of their own."""

    def hostile(whole):
        files = files_of(whole)
        changed = {f"{name}.{files_suffix(name)}": one for name, one in changes.items()}
        for name, change in changed.items():
            files[name] = change(files[name])
        return pack({name: one for name, one in files.items() if name != MANIFEST}, "")

    return hostile


def files_suffix(name):
    return next(one for one in MEMBERS if one.startswith(f"{name}.")).partition(".")[2]


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def bomb(_):
    header = (
        b"\x93NUMPY\x01\0v\0"
        + f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({1 << 60},), }}".ljust(117).encode()
        + b"\n"
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.npy", header + bytes(200_000_000))
    return file.getvalue()


def torch_file(_):
    file = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, file)
    return file.getvalue()


class _Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def pickled(_):
    return pickle.dumps(_Harm())


def sealed(**fields):
    """Change fields of the record and mend its checksum."""

    def change(data):
        content = json.loads(data) | fields
        content.pop("checksum")
        return json.dumps(content | {"checksum": checksum_of(content)}).encode()

    return change


def named(name):
    def change(data):
        content = json.loads(data)
        return sealed(model=content["model"] | {"name": name})(data)

    return change


CONTENTS: dict[str, tuple[Callable, str]] = {
    "a record that is no JSON": (of_content(record=lambda _: b"{"), "record.json is cut off"),
    "a record of bytes": (of_content(record=lambda _: b"\xff"), "record.json is cut off"),
    "a record of no table": (of_content(record=lambda _: b"[]"), "record.json has schema version"),
    "a record without a checksum": (
        of_content(record=lambda d: json.dumps(json.loads(d) | {"checksum": ""}).encode()),
        "not what its checksum was made of",
    ),
    "a record of tomorrow": (of_content(record=sealed(schema_version=99)), "has schema version 99"),
    "a record of 0.1": (of_content(record=sealed(schema_version=1)), "is of version 0.1"),
    "a record of no attack": (
        of_content(record=sealed(attack=None, threat_model=None)), "is of no attack",
    ),
    "no measures": (of_content(record=sealed(measures=[])), "measures.robust_acc is missing"),
    "a name that climbs": (of_content(record=named("../../../x")), "expected "),
    "a name that is hidden": (of_content(record=named("\x1b[2J\n")), "expected "),
    "a name that is code": (of_content(record=named("net.py:make")), "expected "),
    "data that climb": (
        of_content(record=lambda d: sealed(data=json.loads(d)["data"] | {"name": "../.."})(d)), "",
    ),
    "evidence that is cut": (of_content(evidence=lambda d: d[:-99]), "not the one that its record"),
    "evidence of nothing": (of_content(evidence=lambda _: b""), "not the one that its record"),
    "weights that are a pickle": (of_content(weights=pickled), "are no safetensors file"),
    "weights of torch": (of_content(weights=torch_file), "are no safetensors file"),
    "weights that are cut": (of_content(weights=lambda d: d[:-99]), "are no safetensors file"),
    "weights of nothing": (of_content(weights=lambda _: b""), "are no safetensors file"),
    "weights of another network": (
        of_content(weights=lambda _: safetensors.torch.save({"a": torch.zeros(2)})), "weights ",
    ),
    "weights that are changed": (
        of_content(weights=lambda d: d[:-1] + b"\x01"), "model.weights_sha256 is",
    ),
}  # fmt: skip
"""What somebody may pack who mends the manifest, and what is said."""

_FEW = {"index": [0], "label": [1], "clean_pred": [1], "adv_pred": [1], "broken_by": ["a"]}

EVIDENCES: dict[str, tuple[Callable, str]] = {
    "a bomb": (bomb, "it claims [1152921504606846976] of int64 in 'index'"),
    "objects": (
        lambda _: npz(**_FEW | {"index": np.array([_Harm()], dtype=object)}),
        "it holds index as object [1], expected int64",
    ),
    "a pickle": (pickled, "is cut off or damaged"),
    "nothing in it": (lambda _: npz(), "it lacks index, label, clean_pred, adv_pred, broken_by"),
    "of other lengths": (
        lambda _: npz(**_FEW | {"label": [1, 2]}),
        "it holds label as int64 [2], expected int64 [1]",
    ),
}
"""Evidence that a record names rightly."""
