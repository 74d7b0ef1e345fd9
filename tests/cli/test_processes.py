"""What only whole processes show: streams, signals, terminals, and prints of others."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLBENCH = [sys.executable, "-m", "clbench"]
FAST = ("--attack", "pgd,steps=2", "--n-examples", "8", "--no-probe")

NET = """
import atexit, ctypes, os, pathlib, subprocess, sys, time
import torch
from torch import nn

def here(what):
    pathlib.Path(f"at-{what}").touch()
    time.sleep(60)

if os.environ.get("STOP") == "import":
    here("import")

class Net(nn.Sequential):
    calls = 0

    def forward(self, x):
        self.calls += 1
        if os.environ.get("STOP") == "attack" and self.calls == 40:
            here("attack")
        if os.environ.get("PRINT"):
            print("printed")
            os.write(1, b"written\\n")
            ctypes.CDLL(None).puts(b"put")
            sys.__stdout__.write("buffered\\n")
        return super().forward(x)

def make():
    torch.manual_seed(0)
    if os.environ.get("PRINT"):
        subprocess.run(["echo", "a child"])
        atexit.register(print, "at exit")
    return Net(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def run(folder, *arguments, **environment):
    return subprocess.run(
        [*CLBENCH, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | environment,
        check=False,
    )


def test_a_network_that_prints_everywhere_does_not_break_json(folder):
    done = run(folder, "eval", "--model", "net.py:make", *FAST, "--json", "--quiet", PRINT="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["n"] == 8
    told = ("printed", "written", "put", "buffered", "a child", "at exit")
    assert all(line in done.stderr for line in told)


@pytest.mark.parametrize(
    ("at", "number", "status"),
    [
        ("import", signal.SIGTERM, 143),
        ("attack", signal.SIGTERM, 143),
        ("attack", signal.SIGHUP, 129),
        ("attack", signal.SIGINT, 130),
    ],
)
def test_a_signal_ends_a_run_as_shells_expect_and_nothing_is_lost(fork, folder, at, number, status):
    command = ["clbench", "eval", "--model", "net.py:make", "--attack", "pgd,steps=40"]
    command += ["--n-examples", "8", "--no-probe", "--batch-size", "4"]
    child = fork(command, folder, STOP=at)
    end = time.monotonic() + 60
    while not (folder / f"at-{at}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(child.pid, number)
    assert child.status() == status
    err = child.err.read_text()
    assert "Traceback" not in err
    if at == "attack":
        last = "clbench: interrupted and saved; the same command goes on from here"
        left = {path.suffix for path in (folder / "results" / "progress").iterdir()}
        assert left == {".npz", ".images"}
    else:
        last = "clbench: interrupted before the run under way saved anything new; the same command"
        assert not (folder / "results").exists()
    assert err.splitlines()[-1].startswith(last)


def test_a_signal_that_is_ignored_on_purpose_stays_so(folder):
    code = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from clbench.cli.signals import signals_interrupt
with signals_interrupt():
    signal.raise_signal(signal.SIGHUP)
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt as stopped:
        print(stopped.status)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "143\n"


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}],
)
def test_a_terminal_that_takes_ascii_only_shows_the_result(folder, environment):
    (folder / "é[b].py").write_text(NET)
    done = run(folder, "eval", "--model", "é[b].py:make", *FAST, **environment)
    assert done.returncode == 0, done.stderr
    assert "robust accuracy" in done.stdout
    assert "[b].py:make" in done.stdout
    assert done.stdout.isascii()


def test_a_full_disk_behind_stdout_is_one_line_and_loses_nothing(folder):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CLBENCH, "eval", "--model", "net.py:make", *FAST, "--quiet", "--json"],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert re.fullmatch(r"clbench: cannot print: No space left on device; .*\n", done.stderr)
    assert list((folder / "results" / "records").rglob("*.json"))


@pytest.mark.parametrize("arguments", ["attacks --json", "--help"])
def test_a_reader_that_goes_early_is_met_in_silence(folder, arguments):
    command = f"{sys.executable} -m clbench {arguments} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode in {0, 141}


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (f"eval --model net.py:make {' '.join(FAST)} 2>/dev/full", 0),
        ("eval --model nothing 2>/dev/full", 2),
        ("protocols >&-", 0),
        ("protocols 2>&-", 0),
    ],
)
def test_a_stream_that_is_closed_or_full_costs_nothing(folder, command, status):
    words = ["bash", "-c", f"{sys.executable} -m clbench {command}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr == ""
    if "net.py" in command:
        assert "robust accuracy" in done.stdout


def test_a_terminal_of_forty_columns_is_readable(fork, folder):
    child = fork(["clbench", "eval", "--model", "net.py:make", *FAST], folder, COLUMNS="40")
    assert child.status() == 0
    shown = child.out.read_text()
    table = shown.partition("95 %")[2].splitlines()
    assert all(len(line.rstrip()) <= 40 for line in table if "accuracy" in line)
    assert "robust accuracy" in shown


def test_a_terminal_is_told_at_once_what_is_evaluated(folder):
    main, terminal = pty.openpty()
    child = subprocess.Popen(
        [*CLBENCH, "eval", "--model", "net.py:make", *FAST],
        cwd=folder,
        env=os.environ | {"STOP": "import", "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    text = b""
    end = time.monotonic() + 30
    while b"into results" not in text and time.monotonic() < end:
        text += os.read(main, 1000)
    child.terminate()
    assert child.wait(timeout=30) == 143
    os.close(main)
    assert b"evaluating net.py:make on 8 images of digits, pgd,steps=2 in Linf 1/6" in text


SLIPS = {
    "--norm": ("Linff", "norm must be one of"),
    "--eps": ("8/255px", "eps must read like"),
    "--attack": ("autoatack", "did you mean 'autoattack'?"),
    "--protocol": ("cifar10", "did you mean 'cifar10-linf'?"),
    "--backend": ("nativ", "did you mean 'native'?"),
}


def test_all_slips_of_a_command_are_told_at_once_before_torch_is_loaded(folder):
    options = [part for option, (text, _) in SLIPS.items() for part in (option, text)]
    code = "import sys; sys.argv = sys.argv[:1] + sys.argv[2:]; from clbench.cli import main\n"
    code += "try: main()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, "", "eval", "--model", "m", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(SLIPS)
    assert all(said in line for line, (_, said) in zip(lines, SLIPS.values(), strict=True))
