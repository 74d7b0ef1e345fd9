"""What holds of the repository as a whole: shipped files, stored results, the command line."""

import json
import zipfile
from pathlib import Path

import pytest

import clbench
from clbench.attacks.registry import plan_attack
from clbench.data.datasets import TEST_SETS
from clbench.leaderboard.check import check
from clbench.models import ZOO
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema import record_files as records
from clbench.schema.flags import FLAGS as FLAG_ROWS
from clbench.schema.protocol import config_dir, protocols

ROOT = Path(__file__).parents[1]
OURS = ROOT / "leaderboard"

FLAGS = {
    "eval": """--model --protocol --data --data-dir --download --weights --mean --std --resize
        --crop --interpolation --output --norm --eps --n-examples --attack
        --backend --batch-size --device --precision --seed --shard --finish
        --transfer-from --escalate --out --probe --no-probe --linear-probes --layer-probes
        --train-data --restart --resume --save-adversarial --evidence --events --strict --json
        --quiet --help""",
    "merge": "--json --help",
    "bundle": "--weights --weights-url --out --json --help",
    "compare": "--recipes --out --format --json --help",
    "verify": """--level --model --output --weights --data --data-dir --audit --nonce --attack
        --device --json --help""",
    "plan": """--model --protocol --data --data-dir --download --weights --mean --std --resize
        --crop --interpolation --output --norm --eps --n-examples --attack
        --backend --batch-size --device --precision --seed --json --help""",
    "corruptions": """--model --dataset --data-dir --weights --output --n-examples
        --baseline --device
        --out --json --help""",
    "models": "--json --help",
    "layers": """--protocol --data --data-dir --weights --mean --std --resize --crop
        --interpolation --output --json --help""",
    "attacks": "--json --help",
    "protocols": "--json --help",
    "measures": "--json --help",
    "train": """--dataset --out --recipe --set --data --data-dir --download --from --seed --device
        --precision --restart --tensorboard --json --quiet --help""",
    "probe": """--model --protocol --data --data-dir --download --mean --std --resize --crop
        --interpolation --output --norm --eps --n-examples
        --comparison --kind --common --layer --tap --measure --estimator --permutations
        --linear-probes --layer-probes
        --train-data --pooling --extent --attack-steps --device --seed --out
        --restart --figures --no-figures --json --quiet --help""",
    "probe findings": """--records --out --probe --compare --protocol --data --data-dir --trained-at
        --restart --json --quiet --help""",
    "doctor": "--json --help",
    "show": "--out --json --help",
    "leaderboard add": """--out --model --weights --data --data-dir --audit --device --json
        --help""",
    "leaderboard build": "--out --json --help",
    "leaderboard check": "--out --json --help",
    "leaderboard show": "--out --format --columns --with-robustbench --json --help",
    "leaderboard upgrade": "--out --json --help",
    "leaderboard export": "--format --out --about --json --help",
    "leaderboard external": """--source --robust-acc --certificate --model --weights --data
        --data-dir --json --help""",
    "import": """--arch --dialect --bn --mean --std --stem-padding --data --dataset --data-dir
        --out --json --help""",
    "head": """--method --dataset --data --data-dir --download --weights --recipe --set --seeds
        --device --restart --out --json --quiet --help""",
    "clean": "--remove --json --help",
    "push-folder": "--out --results --json --help",
}
"""Scripts depend on these: one more or one less is a decision, not an accident."""


@pytest.mark.parametrize("name", sorted(protocols()))
def test_every_protocol_names_an_attack_that_can_be_planned(name):
    protocol = protocols()[name]
    n_classes = TEST_SETS[protocol.dataset].n_classes
    assert plan_attack(protocol.attack, protocol.threat_model.norm, n_classes).spec.components
    assert 1 <= protocol.n_examples <= TEST_SETS[protocol.dataset].n_test


@pytest.mark.parametrize("command", FLAGS)
def test_the_options_of_every_command_are_a_contract(command):
    import typer

    from clbench.cli import app

    click_command = typer.main.get_command(app)
    context = typer.Context(click_command)
    for part in command.split():
        click_command = click_command.get_command(context, part)
        context = typer.Context(click_command, parent=context)
    found = {
        option
        for parameter in click_command.get_params(context)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    assert found == set(FLAGS[command].split())


def ours(dataset):
    return [r for r in records.read_records(OURS) if r.data.name == dataset]


def test_our_leaderboard_is_what_our_records_give():
    checked = check(OURS)
    assert (checked.n_records, checked.problems, checked.unbound) == (20, (), ())


def test_our_table_of_differences_is_what_its_command_gives(monkeypatch, capsys):
    from clbench.cli import app

    monkeypatch.chdir(ROOT)
    app(["compare", "leaderboard", "--format", "csv"], standalone_mode=False)
    assert capsys.readouterr().out == (OURS / "differences.csv").read_text(encoding="utf-8")


def test_our_records_are_of_the_weights_that_are_shipped():
    shipped = {spec.full_name: spec.weights.sha256 for spec in ZOO if spec.weights is not None}
    found = {f"{r.model.name}.{r.model.tag}": r for r in records.read_records(OURS)}
    assert {name: r.model.weights_sha256 for name, r in found.items()} == shipped


def test_our_records_are_of_the_protocols_data_threat_model_and_attack():
    by_dataset = {"digits": protocols()["digits-linf"], "cifar10": protocols()["cifar10-linf"]}
    for one in records.read_records(OURS):
        protocol = by_dataset[one.data.name]
        assert f"{one.threat_model.norm} {one.threat_model.eps}" == str(protocol.threat_model)
        plan = plan_attack(protocol.attack, protocol.threat_model.norm, 10)
        assert one.attack.hash == plan.spec.hash
        assert one.data.n == min(protocol.n_examples, 512)


def test_our_records_show_what_the_protocol_was_made_to_show():
    acc = {r.model.name: r.measure("robust_acc").value for r in ours("digits")}
    assert all(value < 0.15 for name, value in acc.items() if name.endswith("_st"))
    assert all(value > 0.45 for name, value in acc.items() if not name.endswith("_st"))


@pytest.mark.parametrize("scheme", ["simclr", "supcon", "supervised"])
@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_adversarial_training_makes_clean_and_adversarial_representations_alike(dataset, scheme):
    cka = {r.model.name: r.measure("cka_stage4") for r in ours(dataset)}
    standard = cka.pop(f"{scheme}_st")
    trained = [measure for name, measure in cka.items() if name.startswith(scheme + "_")]
    trained = [measure for measure in trained if measure is not standard]
    assert all(measure.low > standard.high for measure in trained)


def test_every_record_lies_where_its_run_belongs():
    for path in (OURS / "records").rglob("*.json"):
        assert records.run_paths(OURS, records.read_record(path).run).record == path


def test_what_is_shipped_was_made_by_committed_code():
    made = [*OURS.rglob("*.json"), *WEIGHTS_DIR.glob("*.md")]
    assert len(made) > len(ZOO)
    assert not [str(path) for path in made if "-dirty" in path.read_text(encoding="utf-8")]


def test_the_version_has_an_entry_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {clbench.__version__}" in text


def test_the_wheel_holds_configurations_and_weights(tmp_path, monkeypatch):
    from hatchling.build import build_wheel

    monkeypatch.chdir(ROOT)
    wheel = zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path)))
    names = set(wheel.namelist())
    shipped = {
        f"clbench/configs/{path.relative_to(config_dir())}" for path in config_dir().rglob("*.toml")
    }
    assert shipped <= names
    for spec in ZOO:
        if spec.weights is not None:
            assert f"clbench/models/weights/{spec.weights.file}" in names
            assert f"clbench/models/weights/{spec.full_name}.md" in names
    assert "clbench/py.typed" in names


def test_the_pre_commit_hooks_are_the_tools_of_the_check():
    check = (ROOT / "check").read_text()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    for tool in ("ruff format", "ruff check", "lint-imports", "mypy", "codespell"):
        assert tool in check
        assert tool in hooks


def test_the_figures_in_the_leaderboard_page_are_those_of_the_records():
    page = (OURS / "README.md").read_text()
    for one in records.read_records(OURS):
        clean, robust = (100 * one.measure(name).value for name in ("clean_acc", "robust_acc"))
        low, high = (
            100 * bound for bound in (one.measure("robust_acc").low, one.measure("robust_acc").high)
        )
        cka = one.measure("cka_stage4").value
        figures = f"{clean:.1f} | {robust:.1f} | {low:.1f} to {high:.1f} | {cka:.3f}"
        assert f"| `{one.model.name}` | {figures} |" in page


def test_the_flags_in_the_leaderboard_page_are_all_there_are():
    page = (OURS / "README.md").read_text()
    assert all(f"| `{name}` | {flag.meaning} |" in page for name, flag in FLAG_ROWS.items())


def test_the_cards_of_our_networks_tell_their_test_figures():
    for one in records.read_records(OURS):
        card = (WEIGHTS_DIR / f"{one.model.name}.{one.model.tag}.md").read_text()
        robust = one.measure("robust_acc").value
        threat_model = f"{one.threat_model.norm} {one.threat_model.eps}"
        assert f"| test, clean | {one.measure('clean_acc').value:.2%} | {one.data.n} |" in card
        attacked = f"| test, AutoAttack standard, {threat_model} | {robust:.2%} |"
        assert f"{attacked} {one.data.n} |" in card
        assert one.model.weights_sha256 in card


@pytest.mark.parametrize(
    ("name", "dataset"), [("digits-linf", "digits"), ("cifar10-linf", "cifar10")]
)
def test_our_findings_are_of_our_records_and_all_have_an_interval(name, dataset):
    content = json.loads((OURS / "findings" / name / "findings.json").read_text())
    assert content["records"] == {one.model.name: one.run.hash for one in ours(dataset)}
    for row in content["findings"]:
        assert row["low"] <= row["effect"] <= row["high"], row
        assert (OURS / "findings" / name / row["figure"]).exists()
