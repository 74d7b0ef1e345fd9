"""What people ordinarily run holds at levels 1 and 2: no false alarm, whatever the settings."""

import pytest

import clbench

SHORT = "apgd-ce,n_iter=10 + apgd-t,n_iter=5 + fab-t,n_iter=5 + square,n_queries=20"
GRADIENTS = "apgd-ce + apgd-t + fab-t"
RUNS = {
    "AutoAttack": {"attack": "autoattack", "n_examples": 4},
    "gradients averaged": {"attack": "apgd-ce,n_iter=10,eot_iter=4"},
    "fast": {"attack": "fast"},
    "fast in L2": {"attack": "fast", "norm": "L2", "eps": "1/3"},
    "whole gradient attacks": {"attack": GRADIENTS},
    "whole gradient attacks in L2": {"attack": GRADIENTS, "norm": "L2", "eps": "1/3"},
    "whole gradient attacks in L1": {"attack": GRADIENTS, "norm": "L1", "eps": "2"},
    "restarts": {"attack": "apgd-ce,n_iter=10,n_restarts=3 + apgd-dlr,n_iter=10,n_restarts=2"},
    "untargeted FAB": {"attack": "fab,n_iter=5"},
    "Square alone": {"attack": "square,n_queries=200"},
    "pgd": {"attack": "pgd,steps=5"},
    "pgd from the clean image": {"attack": "pgd,steps=5,start=zero,step_size=1/200"},
    "tiny steps": {"attack": "pgd,steps=2,step_size=1/1000,start=zero"},
    "pgd once": {"attack": "pgd,steps=1"},
    "pgd from several places": {"attack": "pgd,steps=3,restarts=4"},
    "pgd in L2": {"attack": "pgd,steps=6", "norm": "L2", "eps": "1/3"},
    "pgd in L1": {"attack": "pgd,steps=6", "norm": "L1", "eps": "2"},
    "the whole package": {"attack": GRADIENTS + " + square,n_queries=300",
                          "backend": "pyautoattack", "n_examples": 5},
    "the whole package in L2": {"attack": GRADIENTS + " + square,n_queries=300", "norm": "L2",
                                "eps": "1/3", "backend": "pyautoattack", "n_examples": 5},
    "the whole package in L1": {"attack": GRADIENTS + " + square,n_queries=300", "norm": "L1",
                                "eps": "2", "backend": "pyautoattack", "n_examples": 5},
    "the package, restarted": {"attack": "apgd-ce,n_iter=10,n_restarts=3 + fab,n_iter=4",
                               "backend": "pyautoattack"},
    "two libraries": {"attack": "apgd-ce,n_iter=5 + torchattacks:FGSM"},
    "best and more": {"attack": "best + pgd,steps=2", "n_examples": 4},
    "the package": {"attack": SHORT, "backend": "pyautoattack"},
    "torchattacks": {"attack": "torchattacks:FGSM"},
    "it leaves the ball": {"attack": "torchattacks:DeepFool", "norm": "L2", "eps": "1/3"},
    "another tile": {"attack": SHORT, "batch_size": 7},
    "one image at once": {"attack": "apgd-ce,n_iter=3", "batch_size": 1, "n_examples": 5},
    "the tile that level 2 asks for": {"attack": SHORT, "batch_size": 100},
    "bfloat16": {"attack": SHORT, "precision": "bfloat16"},
    "no ball": {"attack": SHORT, "eps": "0"},
    "a whole ball": {"attack": SHORT, "eps": "1"},
    "a decimal eps": {"attack": SHORT, "eps": "0.04"},
    "another seed": {"attack": SHORT, "seed": 7},
    "fewer examples": {"attack": SHORT, "n_examples": 3},
    "a network that is wrong throughout": {"attack": SHORT, "network": "make_other"},
    "probes": {"attack": SHORT, "probe": True},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_an_ordinary_run_holds(made, tmp_path, monkeypatch, name):
    monkeypatch.chdir(made)
    given = {"data": "images.npz", "eps": "1/25", "probe": False, "n_examples": 16} | RUNS[name]
    model = f"net.py:{given.pop('network', 'make')}"
    done = clbench.evaluate(model, out=tmp_path, **given)
    found = clbench.verify(tmp_path, level=2, model=model, data="images.npz")
    assert found.problems == ()
    broken = set(done.examples.broken_by.tolist()) - {"", "clean"}
    assert done.examples.kind == "full"
    assert (len(done.examples.certificates) > 0) == bool(broken)


@pytest.mark.slow
def test_runs_that_were_cut_or_finished_or_repeated_hold(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    given = {"data": "images.npz", "eps": "1/25", "probe": False, "n_examples": 6, "out": tmp_path}
    for number in (1, 2, 3):
        clbench.evaluate("net.py:make", attack=GRADIENTS, shard=f"{number}/3", **given)
    clbench.merge(tmp_path)
    clbench.evaluate("net.py:make", attack="fast", **given)
    clbench.evaluate("net.py:make", finish=True, **given)
    clbench.evaluate("net.py:make", attack=SHORT, **given)
    clbench.evaluate("net.py:make", attack=SHORT, restart=True, **given)
    assert clbench.verify(tmp_path).problems == ()
    for path in (tmp_path / "records").rglob("*.json"):
        found = clbench.verify(path, level=2, model="net.py:make", data="images.npz")
        assert found.problems == ()
