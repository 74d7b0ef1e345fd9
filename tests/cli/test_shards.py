"""Shards on the command line: one at a time, and as the processes of torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.schema.version import __version__

GIVEN = (
    *("--attack", "apgd-ce,n_iter=3 + square,n_queries=20", "--backend", "native"),
    *("--eps", "1/4", "--batch-size", "4", "--no-probe"),
)
NET = """
import os, pathlib, signal, torch

class Bands(torch.nn.Module):
    '''How bright each of the four bands of the image is; it may end its process.'''
    calls = 0

    def forward(self, images):
        self.calls += 1
        seen = pathlib.Path(__file__).with_name("killed")
        dies = os.environ.get("RANK") == os.environ.get("DIES", "")
        if self.calls == 60 and dies and not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return images.reshape(len(images), 4, 16).mean(dim=2) + 0.1 * images[:, 0, 0, :4]

def make_net():
    return Bands()
"""


@pytest.fixture
def model(tmp_path, images):
    """The options of a network and its images, of which four are not robust."""
    (tmp_path / "net.py").write_text(NET)
    return ("--model", f"{tmp_path / 'net.py'}:make_net", "--data", images())


def evidence(out):
    (path,) = (out / "evidence").rglob("*~*.npz")
    return path.read_bytes()


def as_process(monkeypatch, rank, world):
    """Have what follows in this process be one of torchrun's."""
    environment = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world}
    for name, value in (environment | {"TORCHELASTIC_RUN_ID": "none"}).items():
        monkeypatch.setenv(name, str(value))


def test_a_shard_says_in_one_line_what_it_did_and_what_is_left(clbench, model, tmp_path):
    out = tmp_path / "out"
    lines = [
        clbench("eval", *model, *GIVEN, "--shard", f"{number}/3", "--out", out).out
        for number in (2, 3, 1)
    ]
    assert all(line.count("\n") == 1 for line in lines)
    assert lines[0].startswith("shard 2/3 of net.py:make_net is done, 4 examples, ")
    assert f"; 2 of 3 are to do (1/3, 3/3), then clbench merge {out}" in lines[0]
    assert "; 1 of 3 are to do (1/3), then clbench merge" in lines[1]
    assert f"; all are done: clbench merge {out}" in lines[2]
    clbench("eval", *model, *GIVEN, "--out", tmp_path / "whole")
    merged = clbench("merge", out)
    assert merged.status == 0
    assert "robust accuracy" in merged.out
    assert f"leaderboard {out / 'leaderboard.csv'}" in merged.out
    assert evidence(out) == evidence(tmp_path / "whole")


def test_shards_keep_the_adversarial_images(clbench, model, tmp_path):
    given = (*model, *GIVEN, "--save-adversarial")
    for number in (1, 2):
        clbench("eval", *given, "--shard", f"{number}/2", "--out", tmp_path / "cut")
    assert clbench("merge", tmp_path / "cut").status == 0
    clbench("eval", *given, "--out", tmp_path / "whole")
    assert evidence(tmp_path / "cut") == evidence(tmp_path / "whole")
    with np.load(*(tmp_path / "cut" / "evidence").rglob("*~*.npz")) as found:
        assert found["adversarial"].shape == (12, 1, 8, 8)


def test_processes_keep_the_adversarial_images(clbench, model, tmp_path, monkeypatch):
    given = (*model, *GIVEN, "--save-adversarial")
    for rank in (1, 0):
        as_process(monkeypatch, rank, 2)
        clbench("eval", *given, "--out", tmp_path / "cut")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    clbench("eval", *given, "--out", tmp_path / "whole")
    assert evidence(tmp_path / "cut") == evidence(tmp_path / "whole")


def test_machines_are_told_the_same(clbench, model, tmp_path):
    out = tmp_path / "out"
    done = clbench("eval", *model, *GIVEN, "--shard", "1/2", "--out", out, "--json")
    told = json.loads(done.out)
    assert (told["shard"], told["n_examples"], told["missing"]) == ("1/2", 6, ["2/2"])
    assert Path(told["progress"]).is_file()
    assert clbench("eval", *model, *GIVEN, "--shard", "2/2", "--out", out, "--quiet").out == ""
    merged = clbench("merge", out, "--json")
    assert json.loads(merged.out)["data"]["n"] == 12


def test_columns_are_added_to_a_merged_record_without_attacking(clbench, model, tmp_path):
    out, given = tmp_path / "out", GIVEN[:-1]
    for number in (1, 2):
        clbench("eval", *model, *given, "--shard", f"{number}/2", "--out", out)
    merged = clbench("merge", out)
    assert "for the CKA columns run the command without --shard" in merged.err
    probed = clbench("eval", *model, *given, "--out", out)
    assert "CKA of clean and adversarial images" in probed.out
    assert "apgd-ce (1/2)" not in probed.err


REFUSED = {
    "no shard": (
        ("--shard", "0/4"),
        "--shard must read like 3/16, the third of sixteen, got '0/4'",
    ),
    "beyond the last": (("--shard", "5/4"), "got '5/4'"),
    "no number": (("--shard", "x"), "got 'x'"),
    "empty": (("--shard", ""), "--shard must not be empty, got ''"),
    "too many": (("--shard", "1/13"), "images.npz has 12 examples, too few for 13 shards"),
    "a package": (("--shard", "1/2", "--backend", "pyautoattack"), "take --backend native"),
    "probes": (("--shard", "1/2", "--probe"), "--probe has no effect beside --shard"),
    "linear probes": (
        ("--shard", "1/2", "--linear-probes"),
        "--linear-probes has no effect beside --shard",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_cut_is_refused_in_one_line(clbench, model, tmp_path, case):
    options, said = REFUSED[case]
    done = clbench("eval", *model, *GIVEN, "--out", tmp_path / "out", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_shards_is_understood(clbench, model, tmp_path):
    out = tmp_path / "out"
    clbench("eval", *model, *GIVEN, "--shard", "1/2", "--out", out)
    (path,) = (out / "progress").glob("*.npz")
    for command in ("build", "check", "show"):
        done = clbench("leaderboard", command, "--out", out)
        assert done.status == 2
        assert f"but 1 shards; clbench merge {out} joins them" in done.err
    shown = clbench("show", path)
    assert "is shard 1/2 of a run, no evaluation record; clbench merge" in shown.err
    assert f"clbench merge {out} joins the shards in it" in clbench("show", out).err
    listed = clbench("clean", out)
    assert "shard 1/2" in listed.out
    assert path.exists()
    missing = clbench("merge", out)
    assert (missing.status, missing.out, missing.err.count("\n")) == (2, "", 1)
    assert "shard 2/2 of net.py:make_net on images.npz" in missing.err
    clbench("clean", out, "--remove")
    assert not path.exists()


def test_only_the_first_process_speaks(clbench, model, tmp_path, monkeypatch):
    out, events = tmp_path / "out", tmp_path / "events"
    for rank in (1, 2):
        as_process(monkeypatch, rank, 3)
        assert clbench("eval", *model, *GIVEN, "--out", out, "--events", events) == (0, "", "")
    assert not events.exists()
    as_process(monkeypatch, 0, 3)
    done = clbench("eval", *model, *GIVEN, "--out", out, "--events", events)
    assert "robust accuracy" in done.out
    assert f"into {out}, in 3 processes" in done.err
    assert "waiting" not in done.err
    assert '"event": "record"' in events.read_text()
    assert not list((out / "progress").iterdir())
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    clbench("eval", *model, *GIVEN, "--out", tmp_path / "whole")
    assert evidence(out) == evidence(tmp_path / "whole")


@pytest.mark.parametrize("worlds", [(3, 2), (2, 1), (1, 2)])
def test_another_number_of_processes_goes_on_and_says_so(
    clbench, model, tmp_path, monkeypatch, worlds
):
    before, after = worlds
    out = tmp_path / "out"
    monkeypatch.setattr("clbench.evaluation.progress.SAVE_EVERY", 0.0)
    monkeypatch.setattr("clbench.evaluation.attack_run.TELL_EVERY_S", 0.0)
    for rank in range(before):
        as_process(monkeypatch, rank, before)
        with monkeypatch.context() as patch:
            patch.setattr("clbench.cli.render.evaluation_progress.Lines.tell", interrupt_at(4))
            done = clbench("eval", *model, *GIVEN, "--out", out)
        assert done.status == 130
        assert bool(done.err) == (rank == 0)
    for rank in reversed(range(after)):
        as_process(monkeypatch, rank, after)
        done = clbench("eval", *model, *GIVEN, "--out", out)
        assert done.status == 0
    begun = "one piece" if before == 1 else f"{before} shards"
    now = "one piece" if after == 1 else f"shard 1/{after}"
    assert f"this run was begun in {begun} and goes on in {now}: of " in done.err
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    clbench("eval", *model, *GIVEN, "--out", tmp_path / "whole")
    assert evidence(out) == evidence(tmp_path / "whole")


def interrupt_at(report):
    told = iter(range(1, 10**6))

    def tell(_lines, _step, _how_far):
        if next(told) == report:
            raise KeyboardInterrupt

    return tell


def test_a_note_is_shown_once(clbench, net, tmp_path, monkeypatch):
    seeded = "torch.manual_seed(3); "
    network = net(
        f"{seeded}return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))"
    )
    given = ("--model", network, "--n-examples", "4", "--out", tmp_path / "out")
    for rank in (1, 0):
        as_process(monkeypatch, rank, 2)
        done = clbench("eval", *given, *GIVEN)
    assert done.err.count("the images of the default protocol") == 1


def test_a_network_with_other_weights_in_every_process_is_named(
    clbench, net, tmp_path, monkeypatch
):
    network = net("return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))")
    given = ("--model", network, "--n-examples", "4", "--out", tmp_path / "out")
    for rank in (1, 0):
        as_process(monkeypatch, rank, 2)
        done = clbench("eval", *given, *GIVEN, "--quiet")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "process 1 of 2 evaluated another network" in done.err


UNLIKE = {
    "a batch size": (("--batch-size", "2"), {}, "with batch size 2, not 4; give"),
    "a precision": (("--precision", "bfloat16"), {}, "with precision bfloat16, not float32; give"),
    "a device, and its batch size": (
        ("--batch-size", "2"),
        {"clbench.evaluation.session.device_name": lambda _device: "NVIDIA H100"},
        "with batch size 2, not 4, device NVIDIA H100, not cpu; give",
    ),
    "a device alone": (
        (),
        {"clbench.evaluation.attack_run.made_with": lambda device: made_with(device, "cuda")},
        "with device cuda, not cpu; give",
    ),
    "a version": (
        (),
        {"torch.__version__": "1.0"},
        f"with torch 1.0, not {torch.__version__}; give",
    ),
}


def made_with(_device, kind):
    return {"clbench": __version__, "torch": torch.__version__, "device": kind}


@pytest.mark.parametrize(
    ("case", "finished"),
    # another run is known by its end, this one from its first saving on
    [(case, done) for case, row in UNLIKE.items() for done in (True, False) if done or not row[0]],
)
def test_a_process_that_runs_unlike_the_first_is_named(
    clbench, model, tmp_path, monkeypatch, case, finished
):
    options, patches, said = UNLIKE[case]
    as_process(monkeypatch, 1, 2)
    with monkeypatch.context() as patch:
        for name, value in patches.items():
            patch.setattr(name, value)
        if not finished:
            patch.setattr("clbench.cli.render.evaluation_progress.Lines.tell", interrupt_at(3))
        clbench("eval", *model, *GIVEN, *options, "--out", tmp_path / "out")
    as_process(monkeypatch, 0, 2)
    monkeypatch.setattr("clbench.evaluation.waiting.time.sleep", interrupt)
    done = clbench("eval", *model, *GIVEN, "--out", tmp_path / "out", "--quiet")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"process 1 of 2 runs unlike process 0, {said} --device" in done.err
    assert not list((tmp_path / "out").rglob("records/**/*.json"))


@pytest.mark.parametrize("other", [("--norm", "L2"), ("--seed", "4"), ("--attack", "pgd,steps=2")])
def test_another_command_in_the_same_folder_is_nobodys_process(
    clbench, model, tmp_path, monkeypatch, other
):
    for rank, options in ((1, other), (0, ())):
        as_process(monkeypatch, rank, 2)
        if rank == 0:
            monkeypatch.setattr("clbench.evaluation.waiting.time.sleep", interrupt)
        done = clbench("eval", *model, *GIVEN, *options, "--out", tmp_path / "out", "--quiet")
    assert done.status == 130  # it waits, until it is told to stop
    assert "process 1 of 2" not in done.err


def interrupt(_seconds):
    raise KeyboardInterrupt


TOGETHER = {
    "a shard": (("--shard", "1/2"), "--shard and torchrun both cut a run, got --shard 1/2"),
    "from the start": (("--restart",), "--restart cannot be used under torchrun"),
    "a package": (("--backend", "pyautoattack"), "take --backend native"),
}


@pytest.mark.parametrize("case", TOGETHER)
@pytest.mark.parametrize("rank", [0, 1])
def test_what_processes_cannot_do_together_is_refused(
    clbench, model, tmp_path, monkeypatch, case, rank
):
    as_process(monkeypatch, rank, 2)
    options, said = TOGETHER[case]
    done = clbench("eval", *model, *GIVEN, "--out", tmp_path / "out", *options)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert done.err.startswith("clbench: process 1 of 2: " if rank else "clbench: ")


def test_a_rank_that_another_launcher_set_cuts_nothing(clbench, model, tmp_path, monkeypatch):
    as_process(monkeypatch, 1, 2)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    done = clbench("eval", *model, *GIVEN, "--out", tmp_path / "out")
    assert "robust accuracy" in done.out


@pytest.mark.slow
def test_a_process_of_torchrun_that_is_killed_goes_on_and_the_run_is_the_same(
    clbench, model, tmp_path
):
    clbench("eval", *model, *GIVEN, "--out", tmp_path / "whole")
    options = ("--standalone", "--nproc-per-node", "2", "--max-restarts", "1")
    command = [*options, "-m", "clbench", "eval", *model, *GIVEN, "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "DIES": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed").exists()
    assert done.stdout.count("robust accuracy") == 1
    assert evidence(tmp_path / "out") == evidence(tmp_path / "whole")
    assert not [one for one in (tmp_path / "out" / "progress").iterdir() if one.suffix == ".npz"]
