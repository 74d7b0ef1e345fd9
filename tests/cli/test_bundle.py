"""``clbench bundle`` and ``leaderboard add``: what is sent is verified, and read as hostile."""

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable

import pytest
import safetensors.torch
import torch
from hostile_bundles import (
    ARCHIVES,
    CONTENTS,
    EVIDENCES,
    MEMBERS,
    OF_EACH,
    files_of,
    of_content,
    sealed,
    without,
)

from clbench.leaderboard.bundles.layout import CARD, MANIFEST, WEIGHTS, pack
from clbench.leaderboard.check import check
from clbench.schema.dataclass_io import checksum_of
from clbench.schema.files import sha256_of
from clbench.schema.record_files import evidence_of, read_record, record_files, run_paths
from clbench.testing.damage import cuts, flips

URL = "https://example.org/weights.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with weights that are nobody else's, and results on 24 digits with them."""
    import clbench

    folder = tmp_path_factory.mktemp("made")
    state = clbench.load_model("simclr_at", dataset="digits").network.state_dict()
    changed = {
        name: (one * 1.001 if one.is_floating_point() else one) for name, one in state.items()
    }
    safetensors.torch.save_file(changed, folder / WEIGHTS)
    quick = {"attack": "pgd,steps=3", "n_examples": 24, "probe": False}
    clbench.evaluate("simclr_at", out=folder / "zoo", **quick)
    clbench.evaluate("simclr_at", weights=folder / WEIGHTS, out=folder / "own", **quick)
    (folder / "net.py").write_text(
        "import torch\n\n\ndef make():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    clbench.evaluate(
        f"{folder}/net.py:make", data="digits", eps="1/6", out=folder / "code", **quick
    )
    return folder


def only_record(folder):
    (path,) = record_files(folder)
    return path


@pytest.fixture(scope="module")
def whole(made):
    """The bytes of a bundle with weights."""
    import clbench

    path = made / "whole.clbench.zip"
    clbench.bundle(only_record(made / "own"), weights=made / WEIGHTS, out=path)
    return path.read_bytes()


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """Return a folder to work in, in which files are laid out also."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reasons(done):
    """Return what was said but for costs, without the name of the program."""
    lines = done.err.splitlines()
    assert all(line.startswith("clbench: ") for line in lines)
    return [line.removeprefix("clbench: ") for line in lines if ": level " not in line]


# what is sent


@pytest.mark.parametrize("name", ["zoo", "own"])
def test_what_is_added_is_what_was_made(clbench, made, in_folder, name):
    record = only_record(made / name)
    weights = ["--weights", made / WEIGHTS] * (name == "own")
    assert clbench("bundle", record, *weights).out == f"wrote {record.stem}.clbench.zip\n"
    done = clbench("leaderboard", "add", f"{record.stem}.clbench.zip", "--out", "board")
    assert done.status == 0, done.err
    added = only_record(in_folder / "board")
    assert done.out.splitlines()[-1] == f"added {added.relative_to(in_folder)}"
    assert added.read_bytes() == record.read_bytes()
    evidence = evidence_of(added, in_folder / "board")
    assert evidence.read_bytes() == evidence_of(record, made / name).read_bytes()
    assert check(in_folder / "board").holds
    card = next((in_folder / "board" / "cards").rglob("*.md")).read_text()
    assert "| sha256 of weights | " + read_record(record).model.weights_sha256 in card
    assert list((in_folder / "tmp").iterdir()) == []


def test_the_same_record_gives_the_same_bytes(made, in_folder):
    import clbench

    shutil.copytree(made / "own", "moved")
    paths = [
        clbench.bundle(only_record(folder), weights=made / WEIGHTS, out=f"{number}.zip")
        for number, folder in enumerate((made / "own", in_folder / "moved"))
    ]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    with zipfile.ZipFile(paths[0]) as archive:
        assert tuple(archive.namelist()) == MEMBERS
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_same_bundle_twice_is_said(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    assert clbench("leaderboard", "add", "a.zip").status == 0
    before = {path: path.read_bytes() for path in (in_folder / "results").rglob("*.*")}
    done = clbench("leaderboard", "add", "a.zip")
    assert done.status == 0
    assert done.out.splitlines()[-1].startswith("already there: results/records/digits/Linf/")
    assert {path: path.read_bytes() for path in (in_folder / "results").rglob("*.*")} == before


def test_what_was_interrupted_is_completed(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    clbench("leaderboard", "add", "a.zip")
    only_record(in_folder / "results").unlink()
    (in_folder / "results" / "leaderboard.csv").unlink()
    assert clbench("leaderboard", "add", "a.zip").out.splitlines()[-1].startswith("added ")
    assert check(in_folder / "results").holds


def test_machines_read_where_it_is(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    told = json.loads(clbench("leaderboard", "add", "a.zip", "--json").out)
    assert (told["holds"], told["level"], told["is_new"]) == (True, 2, True)
    assert told["record"] == str(only_record(in_folder / "results").relative_to(in_folder))


def test_a_link_to_a_bundle_is_one(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    (in_folder / "b.zip").symlink_to("a.zip")
    assert clbench("leaderboard", "add", "b.zip").status == 0


@pytest.mark.parametrize("command", ["verify", "show", "bundle"])
def test_a_bundle_that_is_given_for_a_record_is_told_from_one(clbench, whole, in_folder, command):
    (in_folder / "a.zip").write_bytes(whole)
    done = clbench(command, "a.zip")
    assert done.status == 2
    (line,) = reasons(done)
    assert line.startswith("'a.zip' is a bundle, which clbench leaderboard add verifies, no eval")


# what leads to the network


def test_weights_elsewhere_are_asked_for_by_their_address(clbench, made, in_folder):
    clbench("bundle", only_record(made / "own"), "--weights-url", URL, "--out", "a.zip")
    done = clbench("leaderboard", "add", "a.zip")
    assert done.status == 2
    *_, hint = reasons(done)
    assert hint == f"bundle a.zip: its weights are at {URL}; give them with --weights"
    assert not (in_folder / "results").exists()
    assert clbench("leaderboard", "add", "a.zip", "--weights", made / WEIGHTS).status == 0
    assert URL in next((in_folder / "results" / "cards").rglob("*.md")).read_text()


def test_code_of_its_maker_is_run_only_where_it_is_named(clbench, made, in_folder):
    clbench("bundle", only_record(made / "code"), "--out", "a.zip")
    done = clbench("leaderboard", "add", "a.zip")
    assert done.status == 2
    (line,) = reasons(done)
    assert line.startswith("the network of a.zip/record.json is of its maker's own code or weights")
    assert line.endswith("; give it with --model and --weights")
    model = f"{made}/net.py:make"
    assert clbench("leaderboard", "add", "a.zip", "--model", model).status == 0


# what is refused when a bundle is made


def changed_weights(made, folder):
    safetensors.torch.save_file({"a": torch.zeros(2)}, folder / "w.safetensors")
    return "--weights", folder / "w.safetensors"


def pickled_weights(made, folder):
    torch.save({"a": torch.zeros(2)}, folder / "w.pt")
    return "--weights", folder / "w.pt"


def other_file(made, folder):
    (folder / "there.zip").write_text("mine")
    return "--out", folder / "there.zip"


UNMADE: dict[str, tuple[Callable, str]] = {
    "other weights": (changed_weights, "; give the file that was evaluated"),
    "a pickle": (pickled_weights, "are no safetensors file"),
    "missing weights": (lambda *_: ("--weights", "nowhere"), "weights nowhere "),
    "a folder for weights": (lambda *_: ("--weights", "."), "weights . "),
    "another file there": (other_file, "is there and is something else; move it away or"),
    "a folder there": (lambda *_: ("--out", "."), "is there and is something else"),
    "a folder that cannot be": (lambda *_: ("--out", "/dev/null/a.zip"), "cannot write"),
    "http": (lambda *_: ("--weights-url", "http://a/b"), "must read like https://HOST/PATH"),
    "no host": (lambda *_: ("--weights-url", "https:///b"), "must read like https://HOST/PATH"),
    "a script": (lambda *_: ("--weights-url", "javascript:alert(1)"), "must read like https:"),
    "a hidden one": (lambda *_: ("--weights-url", "https://a/\x1b[2J"), r"\x1b[2J"),
    "markup": (lambda *_: ("--weights-url", "https://a/<script>"), "must read like https:"),
    "a bad port": (lambda *_: ("--weights-url", "https://[a/"), "must read like https:"),
    "a long one": (lambda *_: ("--weights-url", f"https://a/{'b' * 600}"), "must read like https:"),
}


@pytest.mark.parametrize("case", UNMADE)
def test_what_cannot_be_sent_is_refused(clbench, made, in_folder, case):
    options, message = UNMADE[case]
    given = options(made, in_folder)
    before = sorted(in_folder.rglob("*"))
    done = clbench("bundle", only_record(made / "own"), *given)
    assert done.status == 2
    (line,) = reasons(done)
    assert message in line
    assert sorted(in_folder.rglob("*")) == before


def edited(path, **fields):
    """Change fields of a record as somebody does who mends its checksum."""
    content = json.loads(path.read_text()) | fields
    content.pop("checksum")
    path.write_text(json.dumps(content | {"checksum": checksum_of(content)}))


def test_a_record_that_does_not_hold_is_not_sent(clbench, made, in_folder):
    path = only_record(shutil.copytree(made / "zoo", in_folder / "results"))
    edited(path, measures=[])
    done = clbench("bundle", path)
    assert done.status == 2
    assert len(reasons(done)) > 1
    assert not list(in_folder.glob("*.zip"))


NO_RECORDS = {
    "nowhere.json": "nowhere.json",
    "results": "is a folder",
    "note.txt": "is text, no evaluation record",
}


@pytest.mark.parametrize("name", NO_RECORDS)
def test_what_is_no_record_is_not_sent(clbench, made, in_folder, name):
    shutil.copytree(made / "zoo", "results")
    (in_folder / "note.txt").write_text("note")
    done = clbench("bundle", name)
    assert done.status == 2
    (line,) = reasons(done)
    assert NO_RECORDS[name] in line


# hostile archives


def refused(clbench, folder, data, message):
    """Say that a bundle of these bytes is refused in a line, and that nothing is written."""
    (folder / "a.clbench.zip").write_bytes(data)
    done = clbench("leaderboard", "add", "a.clbench.zip")
    assert done.status == 2, done.out
    lines = reasons(done)
    assert lines
    assert all("a.clbench.zip" in line and line.isprintable() and len(line) < 900 for line in lines)
    assert any(one in line for one in message.split("|") for line in lines), lines
    assert "added" not in done.out
    assert {path.name for path in folder.rglob("*")} == {"a.clbench.zip", "tmp"}
    return lines


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("case", OF_EACH)
def test_a_file_of_a_bundle_that_is_no_more_what_it_was_is_refused(
    clbench, whole, in_folder, case, name
):
    make, message = OF_EACH[case]
    assert len(refused(clbench, in_folder, make(name)(whole), message)) == 1


@pytest.mark.parametrize("name", MEMBERS)
def test_a_file_of_a_bundle_that_is_missing_is_refused(clbench, whole, in_folder, name):
    message = "holds another 'weights" if name == WEIGHTS else f"lacks {name!r}"
    assert len(refused(clbench, in_folder, without(name)(whole), message)) == 1


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_is_no_bundle_is_refused(clbench, whole, in_folder, case):
    make, message = ARCHIVES[case]
    assert len(refused(clbench, in_folder, make(whole), message)) == 1


@pytest.mark.parametrize("case", CONTENTS)
def test_a_bundle_of_other_files_is_refused(clbench, whole, in_folder, case):
    make, message = CONTENTS[case]
    assert refused(clbench, in_folder, make(whole), message)


@pytest.mark.parametrize("case", EVIDENCES)
def test_a_bundle_of_other_evidence_is_refused(clbench, whole, in_folder, case):
    make, message = EVIDENCES[case]
    data = make(None)
    record = sealed(evidence_sha256=sha256_of(data))
    hostile = of_content(evidence=lambda _: data, record=record)
    assert refused(clbench, in_folder, hostile(whole), message)


def test_no_cut_and_no_flipped_bit_is_a_bundle(whole, in_folder):
    from clbench.leaderboard.bundles.read import read_bundle
    from clbench.schema.errors import RecordError

    small = pack({n: d for n, d in files_of(whole).items() if n not in (MANIFEST, WEIGHTS)}, "")
    path = in_folder / "a.zip"
    path.write_bytes(small)
    assert read_bundle(path).members[CARD] == files_of(whole)[CARD]
    for damaged in (*cuts(small, 150), *(data for _, data in flips(small, 400))):
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"^bundle .*a\.zip .*; clbench bundle RECORD makes"):
            read_bundle(path)


def places(folder):
    (folder / "folder.zip").mkdir()
    os.mkfifo(folder / "pipe.zip")
    (folder / "loop.zip").symlink_to("loop.zip")
    return {
        "nowhere.zip": "cannot be read: No such file",
        "folder.zip": "is a folder",
        "pipe.zip": "is no plain file",
        "/dev/zero": "is no plain file",
        "loop.zip": "cannot be read: ",
        f"{5000 * 'x'}.zip": "cannot be read: File name too long",
    }


def test_a_place_that_holds_no_bundle_is_refused(clbench, in_folder):
    for name, message in places(in_folder).items():
        done = clbench("leaderboard", "add", name)
        assert done.status == 2
        (line,) = reasons(done)
        assert message in line
    assert not (in_folder / "results").exists()


# what it is added to


def test_another_record_of_the_same_run_is_refused(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    clbench("leaderboard", "add", "a.zip")
    before = {path: path.read_bytes() for path in (in_folder / "results").rglob("*.*")}
    (in_folder / "b.zip").write_bytes(of_content(record=sealed(device="another"))(whole))
    done = clbench("leaderboard", "add", "b.zip")
    assert done.status == 2
    (line,) = reasons(done)
    assert "is of the same run as bundle b.zip and says something else; nothing was written" in line
    assert {path: path.read_bytes() for path in (in_folder / "results").rglob("*.*")} == before


def test_a_place_that_cannot_be_written_is_a_line(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    done = clbench("leaderboard", "add", "a.zip", "--out", "/dev/null")
    assert done.status == 2
    (line,) = reasons(done)
    assert line.startswith("cannot write /dev/null/")


def test_nothing_is_added_to_a_leaderboard_that_cannot_be_read(clbench, whole, in_folder):
    (in_folder / "a.zip").write_bytes(whole)
    other = in_folder / "results" / "records" / "x.json"
    other.parent.mkdir(parents=True)
    other.write_text("{")
    done = clbench("leaderboard", "add", "a.zip")
    assert done.status == 2
    (line,) = reasons(done)
    assert line.startswith("record results/records/x.json is cut off")
    assert [path.name for path in (in_folder / "results").rglob("*.*")] == ["x.json"]


def test_what_others_wrote_is_text_wherever_it_is_shown(clbench, whole, in_folder):
    strange = sealed(protocol="=1+1 | a | <b>.toml", device="+cmd|' /C'!A0")
    (in_folder / "a.zip").write_bytes(of_content(record=strange)(whole))
    done = clbench("leaderboard", "add", "a.zip")
    assert done.status == 0, done.err
    path = only_record(in_folder / "results")
    assert run_paths(in_folder / "results", read_record(path).run).record == path
    card = next((in_folder / "results" / "cards").rglob("*.md")).read_text()
    csv = (in_folder / "results" / "leaderboard.csv").read_text()
    assert r"=1\+1 \| a \| \<b\>" in card
    assert ",'+cmd" in csv


@pytest.mark.parametrize("field", ["created", "commit", "device", "protocol"])
def test_what_cannot_be_seen_is_refused_in_lines_that_can(clbench, whole, in_folder, field):
    hidden = sealed(**{field: "=1+1\x1b[2J\n| a | \u202e"})
    (in_folder / "a.zip").write_bytes(of_content(record=hidden)(whole))
    done = clbench("leaderboard", "add", "a.zip")
    assert done.status == 2
    assert f"a.zip/record.json: {field} is '=1+1\\x1b[2J\\n| a | \\u202e', exp" in done.err
    assert all(line.isprintable() for line in done.err.split("\n"))
    assert not list((in_folder / "results").rglob("*.json"))
