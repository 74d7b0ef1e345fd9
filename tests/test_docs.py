"""What the pages in docs/ tell people to type is understood; what runs long is not run."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from clbench.analysis.comparisons import COMPARISONS
from clbench.analysis.tables import SIMILARITY_COLUMNS
from clbench.cli import app
from clbench.probes.similarity.measures import MEASURES

PAGE = (Path(__file__).parents[1] / "docs" / "scale-out.md").read_text()
STANDS_FOR = {
    "$SLURM_ARRAY_TASK_ID": "3",
    "$((JOB_COMPLETION_INDEX + 1))": "3",
    "$SLURM_JOB_ID": "7",
    "$head": "host",
}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands():
    """Return what follows the name of the program, of every command of ours."""
    lines = [line for block in (*blocks("sh"), *blocks("yaml")) for line in block.splitlines()]
    for text, value in STANDS_FOR.items():
        lines = [line.replace(text, value) for line in lines]
    bare = (re.sub(r'--wrap "(.*)"$', r"\1", line) for line in lines if "clbench " in line)
    words = [shlex.split(line) for line in bare]
    return [line[line.index("clbench") + 1 :] for line in words]


LINES = [
    line
    for name in ("verify", "submit", "import", "heads", "similarity", "networks")
    for line in (Path(__file__).parents[1] / "docs" / f"{name}.md").read_text().splitlines()
    if line.startswith("clbench ")
]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_pages_on_records_is_understood(line):
    _, name, *words = shlex.split(line)
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), name)
    if name == "leaderboard":
        name, *words = words
        command = command.get_command(typer.Context(command), name)
    with command.make_context(name, words) as context:
        assert not [one for key, one in context.meta.items() if key.startswith("clbench") and one]


def test_the_page_has_a_command_for_each_way():
    found = commands()
    assert len(found) == 9
    assert sum("--shard" in words for words in found) == 4
    assert sum(words[0] == "merge" for words in found) == 3


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_is_understood(words):
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), words[0])
    with command.make_context(words[0], words[1:]) as context:
        assert not [one for key, one in context.meta.items() if key.startswith("clbench") and one]


@pytest.mark.parametrize("line", [one for one in PAGE.splitlines() if "torchrun --" in one])
def test_torchrun_understands_its_part(line):
    from torch.distributed.run import get_args_parser

    for text, value in STANDS_FOR.items():
        line = line.replace(text, value)
    words = [word for word in shlex.split(line.replace("`", "").replace("|", "")) if word != "..."]
    words = words[words.index("torchrun") + 1 :]
    given = get_args_parser().parse_args(
        ["2" if word == "N" else word for word in words[: words.index("eval") + 1]]
    )
    assert (given.module, given.training_script) == (True, "clbench")


@pytest.mark.parametrize("script", blocks("sh"))
def test_scripts_are_shell(script):
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.stderr == ""


def test_manifests_are_yaml():
    (job,) = map(yaml.safe_load, blocks("yaml"))
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert f'/{job["spec"]["completions"]}"' in container["args"][0]


SIMILARITY = (Path(__file__).parents[1] / "docs" / "similarity.md").read_text()


def test_the_page_on_similarity_has_every_measure_with_its_range_and_invariances():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) to (\S+) \| ([^|]+) \|", SIMILARITY, re.MULTILINE)
    called = {"orthogonal": "rotation", "scale": "scale", "shift": "shift"}
    expected = []
    for name, measure in MEASURES.items():
        unlike, alike = (f"{end:.4g}" for end in measure.value_range)
        same = [word for key, word in called.items() if key in measure.invariant_to]
        expected.append((name, unlike, alike, ", ".join(same)))
    assert rows == expected


def test_the_page_on_similarity_has_every_column_of_chance():
    named = set(re.findall(r"`(\w+)`", SIMILARITY))
    assert named >= set(SIMILARITY_COLUMNS[5:])


def test_the_page_on_similarity_has_every_control():
    found = set(
        re.findall(r"^\| `([\w-]+)` \|", SIMILARITY.partition("## Controls")[2], re.MULTILINE)
    )
    assert found >= {name for name, row in COMPARISONS.items() if row.control}
