import json

import pytest

from clbench.evaluation import pace

FAST = ("--n-examples", "8", "--attack", "apgd-ce,n_iter=2 + pgd,steps=1")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(pace, "_BUDGET_S", 0.02)


def test_a_plan_tells_passes_time_memory_and_widths(clbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = clbench("plan", "--model", "simclr_at", *FAST, columns=80)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == (
        "simclr_at on 8 examples of digits under apgd-ce + pgd (native), Linf 1/6"
    ).replace("pyautoattack", "autoattack" if "(autoattack" in lines[0] else "pyautoattack")
    assert [line.split()[0] for line in lines[3:7]] == ["clean", "apgd-ce", "pgd", "all"]
    assert lines[2].split() == ["forward", "backward", "at", "most", "about"]
    assert [line.split()[0] for line in lines[-5:]] == ["8", "100", "500", "1,000", "10,000"]
    assert all(len(line) <= 80 for line in lines[1:])
    assert "memory: about" in done.out
    assert list(tmp_path.iterdir()) == []


def test_machines_get_the_plan(clbench):
    done = clbench("plan", "--model", "simclr_at", *FAST, "--json")
    found = json.loads(done.out)
    assert [one["name"] for one in found["most"]] == ["clean", "apgd-ce", "pgd"]
    assert [one["n"] for one in found["intervals"]] == [8, 100, 500, 1000, 10000]
    assert found["look"]["n"] == 8


def test_an_attack_of_unknown_cost_is_called_a_guess(clbench, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def slow(model, images, labels, threat_model, *, seed, index):\n"
        "    for _ in range(10**6):\n        model(images)\n    return images\n"
    )
    attack = f"{tmp_path}/mine.py:slow"
    done = clbench("plan", "--model", "simclr_at", "--n-examples", "8", "--attack", attack)
    assert done.status == 0, done.err
    assert "the passes are not known: a guess" in done.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--model nope", "unknown model 'nope'"),
        ("--model simclr_at --attack pgdd", "did you mean 'pgd'"),
        ("--model simclr_at --eps x", "eps must read like '8/255'"),
        ("--model simclr_at --eps 7", "Linf eps must be at most 1"),
        ("--model simclr_at --norm L3", "L3"),
        ("--model simclr_at --n-examples 0", "from 1 up"),
        ("--model simclr_at --n-examples 361", "from 1 to 360"),
        ("--model simclr_at --batch-size 0", "batch"),
        ("--model simclr_at --device gpu", "--device must be auto, cpu, cuda or cuda:N"),
        ("--model simclr_at --precision half", "invalid value for '--precision': 'half'"),
        ("--model simclr_at --backend torchattacks", "runs on"),
        ("--model simclr_at --protocol nope", "unknown protocol"),
        ("--model simclr_at --seed -1", "seed"),
        ("--model simclr_at --download", "--download has no effect on digits"),
        ("--model simclr_at --data nowhere.npz --eps 1/6", "nowhere.npz"),
        ("--model simclr_at --weights nowhere.pt", "nowhere.pt"),
        ("--model simclr_at --out x", "no such option"),
        ("simclr_at", "did you mean --model simclr_at?"),
        ("", "missing option '--model'"),
    ],
)
def test_a_line_that_cannot_be_is_refused_in_one_line(clbench, line, message):
    done = clbench("plan", *line.split())
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("clbench: ")
