import json

from typer import Typer
from typer.testing import CliRunner

from clbench.attacks.grammar import ATTACKS
from clbench.attacks.registry import plan_attack
from clbench.cli.attacks import attacks

app = Typer()
app.command()(attacks)


def show(*arguments):
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_every_attack_is_shown_with_its_parameters():
    text = show()
    assert all(name in text for name in ATTACKS)
    assert "square: n_queries=5000, n_restarts=1, p_init=0.8" in text
    assert "apgd-t in L1: n_iter=100, n_restarts=1, eot_iter=1, use_largereps=true, " in text
    assert "square in L1" not in text
    assert "pgd: steps=40, restarts=1, start=random, step_size_per_eps=0.0625" in text


def test_machines_get_one_row_for_each_attack():
    rows = {row["name"]: row for row in json.loads(show("--json"))}
    assert list(rows) == list(ATTACKS)
    plan = plan_attack("autoattack", "Linf", 10)
    assert rows["autoattack"]["steps"] == plan.spec.parameters
    assert rows["autoattack"]["hash"] == plan.spec.hash
    in_l1 = plan_attack("autoattack", "L1", 10).spec
    other = {"steps": in_l1.parameters, "hash": in_l1.hash}
    assert rows["autoattack"]["in_other_norms"] == {"L1": other}
    assert rows["square"]["in_other_norms"] == {}
    assert rows["torchattacks:CW"]["norms"] == ["L2"]
    assert rows["pgd"]["options"] == ["restarts", "start", "step_size", "steps"]
    assert rows["pgd"]["backend"] == "native"
