"""``clbench show`` and ``clbench leaderboard show``."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from clbench.leaderboard.formats import DEFAULT_COLUMNS, as_latex, as_markdown, rows
from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.estimate import proportion, undefined
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import run_paths, write_record
from clbench.schema.records import LINEAR_PROBE_COLUMNS, AttackEntry, ThreatEntry


@pytest.fixture
def record(clbench, tmp_path):
    """The path of a record of four classes, half of whose images fall."""
    folder = tmp_path / "results"
    command = ("eval", "--model", "simclr_at.digits", "--attack", "pgd,steps=2", "--no-probe")
    assert clbench(*command, "--n-examples", "30", "--out", folder, "--quiet").status == 0
    (path,) = (folder / "records").rglob("*.json")
    return path


def test_a_record_is_shown_as_it_was(clbench, record):
    done = clbench("show", record)
    assert done.status == 0
    assert "simclr_at on 30 examples of digits under pgd (native), Linf 1/6" in done.out
    assert "robust accuracy" in done.out


def test_a_model_is_named_where_it_has_one_record(clbench, record, tmp_path, monkeypatch):
    expected = clbench("show", record).out
    assert clbench("show", "simclr_at", "--out", record.parents[3]).out == expected
    monkeypatch.chdir(tmp_path)  # which holds results
    assert clbench("show", "simclr_at").out == expected
    done = clbench("show", "simclr_att")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "did you mean 'simclr_at'?" in done.err
    assert "no records under nowhere" in clbench("show", "simclr_at", "--out", "nowhere").err
    command = ("eval", "--model", "simclr_at.digits", "--attack", "pgd,steps=1", "--no-probe")
    assert clbench(*command, "--n-examples", "8", "--quiet").status == 0
    done = clbench("show", "simclr_at")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "results has 2 records of 'simclr_at', give one of them: " in done.err
    assert record.name in done.err


def test_a_record_tells_how_much_is_proved(clbench, record):
    evidence = np.load(next(record.parents[3].rglob("evidence/**/*.npz")))
    broken = (~np.isin(evidence["broken_by"], ["", "clean"])).sum()
    kept = f"kept as proof: {broken} of {broken}; clbench verify checks them"
    assert kept in clbench("show", record).out
    assert broken > 0


def test_classes_are_shown_by_themselves_and_add_up(clbench, record):
    shown = json.loads(clbench("show", record, "--json").out)
    evidence = np.load(next(record.parents[3].rglob("evidence/**/*.npz")))
    labels = evidence["label"]
    robust = evidence["broken_by"] == ""
    for row in shown["per_class"]:
        mine = labels == row["label"]
        assert row["clean_acc"]["n"] == row["robust_acc"]["n"] == mine.sum()
        assert row["robust_acc"]["value"] == pytest.approx(robust[mine].mean())
    assert [row["label"] for row in shown["per_class"]] == sorted(set(labels.tolist()))
    assert shown["measures"] == json.loads(record.read_text())["measures"]
    table = clbench("show", record).out.partition("by class")[2].splitlines()
    assert len(table) == len(shown["per_class"]) + 2


def test_a_record_without_its_evidence_is_shown_and_says_so(clbench, record, tmp_path):
    alone = tmp_path / "alone.json"
    alone.write_bytes(record.read_bytes())
    done = clbench("show", alone)
    assert done.status == 0
    assert "robust accuracy" in done.out
    assert done.err.startswith("clbench: no accuracy of each class: ")
    next(record.parents[3].rglob("evidence/**/*.npz")).write_bytes(b"")
    assert "is not the one that its record names" in clbench("show", record).err


def test_flags_are_explained(clbench, make_record, tmp_path):
    flagged = make_record(
        flags=(RaisedFlag("softmax_output"), RaisedFlag("of_tomorrow", 3.0, 2.0)), unreliable=True
    )
    path = run_paths(tmp_path, flagged.run).record
    write_record(flagged, path)
    shown = clbench("show", path).out
    assert "flag softmax_output: the network returns probabilities" in shown
    assert "flag of_tomorrow: a flag that this version does not know" in shown
    assert "the robust accuracy is unreliable" in shown


NO_LAYER = "the network has no such layer"
ADAPTIVE = "probe_stage3_adaptive"


@pytest.mark.parametrize(
    ("reasons", "lines"),
    [
        ({}, []),
        (
            dict.fromkeys(LINEAR_PROBE_COLUMNS, NO_LAYER),
            [f"  undefined at stage1, stage2, stage3, stage4: {NO_LAYER}"],
        ),
        (
            {name: "too few" for name in LINEAR_PROBE_COLUMNS if "stage2" in name},
            ["  undefined at stage2: too few"],
        ),
        ({ADAPTIVE: "no attack"}, ["  undefined at stage3 (attack on the probe): no attack"]),
        (
            {ADAPTIVE: "a", "probe_stage4_clean": "b", "probe_stage4_adv": "b"},
            [
                "  undefined at stage3 (attack on the probe): a",
                "  undefined at stage4 (clean images), stage4 (attack on the network): b",
            ],
        ),
    ],
)
def test_linear_probes_that_are_undefined_say_why(clbench, make_record, tmp_path, reasons, lines):
    measured = tuple(
        undefined(name, 100, reasons[name]) if name in reasons else proportion(name, 60, 100)
        for name in LINEAR_PROBE_COLUMNS
    )
    made = make_record()
    path = tmp_path / "a.json"
    write_record(replace(made, measures=(*made.measures, *measured)), path)
    out = clbench("show", path).out.partition("linear classifiers")[2].splitlines()
    assert [line for line in out if " undefined at " in line] == lines
    defined = {name.split("_")[1] for name in LINEAR_PROBE_COLUMNS if name not in reasons}
    assert {line.split()[0] for line in out if line.startswith("  stage")} == defined


HOSTILE = "[bold]a_b[/x]&%$#^~\\|*`<b>{}\x1b[31m\n"


@pytest.fixture
def board(make_record, tmp_path):
    for record in (make_record("a", right=70), make_record(HOSTILE, right=60)):
        write_record(record, run_paths(tmp_path, record.run).record)
    return tmp_path


def test_the_leaderboard_is_shown_in_the_columns_that_are_asked_for(clbench, board):
    done = clbench("leaderboard", "show", "--out", board, "--columns", "rank, MODEL ,robust_acc")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["rank", "model", "robust_acc"]
    assert lines[1] == ["1", "a", "0.7000"]
    assert "[bold]a_b[/x]" in done.out
    assert "\x1b" not in done.out


def test_the_band_of_a_rank_is_shown(clbench, with_evidence, firsts, tmp_path):
    for name, count in {"a": 60, "b": 52, "c": 51, "d": 10}.items():
        with_evidence(name, firsts(count))
    with_evidence("bound", firsts(5), flags=(RaisedFlag("upper_bound"),))
    lines = clbench("leaderboard", "show", "--out", tmp_path).out.splitlines()
    shown = {line.split()[2]: line.split()[:2] for line in lines if " cifar10 " in line[8:]}
    assert {name: shown.get(name) for name in "abcd"} == {
        "a": ["1", "1-1"],
        "b": ["2", "2-3"],
        "c": ["3", "2-3"],
        "d": ["4", "4-4"],
    }
    (row,) = [line for line in lines if "bound" in line.split()]
    assert row.split()[0] == "bound"
    rows = json.loads(clbench("leaderboard", "show", "--out", tmp_path, "--json").out)
    assert [row["rank_high"] for row in rows] == [1, 3, 3, 4, None]


def test_machines_get_numbers_and_nothing_where_there_is_none(clbench, board):
    done = clbench("leaderboard", "show", "--out", board, "--json", "--columns", "rank,cka_pool")
    assert json.loads(done.out) == [{"rank": 1, "cka_pool": None}, {"rank": 2, "cka_pool": None}]


def test_names_are_text_in_markdown(clbench, board):
    out = clbench("leaderboard", "show", "--out", board, "--format", "md").out
    lines = out.splitlines()
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(DEFAULT_COLUMNS) + 1}
    assert r"\[bold\]a\_b\[/x\]" in out
    assert "<b>" not in out.replace(r"\<", "").replace(r"\>", "")


def test_names_are_text_in_latex(clbench, board):
    out = clbench("leaderboard", "show", "--out", board, "--format", "latex").out
    (line,) = [line for line in out.splitlines() if "bold" in line]
    for one in ("a\\_b", "\\&", "\\%", "\\$", "\\#", "\\textasciicircum{}", "\\textasciitilde{}"):
        assert one in line
    assert line.count(" & ") == len(DEFAULT_COLUMNS) - 1
    assert "\n".join(out.splitlines()[-2:]) == "\\bottomrule\n\\end{tabular}"


def test_columns_that_there_are_not_are_met_with_the_nearest(make_record):
    with pytest.raises(UnknownNameError, match="unknown column 'robustacc'; did you mean"):
        rows([make_record()], ["robustacc"])
    with pytest.raises(BadValueError, match="got 'model' twice"):
        rows([make_record()], ["model", "model"])


@pytest.fixture
def groups(make_record, tmp_path):
    """Records of three groups, two of which are alike in words."""
    other = AttackEntry("autoattack", "pyautoattack", {"apgd-ce": {"n_iter": 9}}, "b" * 12)
    of = {
        "a": {"right": 70},
        "supcon_partial_at": {"right": 60},
        "c": {"right": 90, "threat_model": ThreatEntry("L2", "1/2")},
        "d": {"right": 80, "attack": other},
    }
    for name, changes in of.items():
        record = make_record(name, **changes)
        write_record(record, run_paths(tmp_path, record.run).record)
    return tmp_path


def test_a_terminal_of_eighty_columns_takes_the_table_whole(clbench, groups, make_record):
    for doubtful in (False, True):
        record = make_record("simclr_partial_at", unreliable=doubtful)
        write_record(record, run_paths(groups, record.run).record)
        done = clbench("leaderboard", "show", "--out", groups, columns=80)
        lines = done.out.splitlines()
        assert any(line.split()[:1] == ["rank"] for line in lines)
        assert all(len(line.rstrip()) <= 80 or " images of " in line for line in lines)
        assert ("unreliable" in done.out) == doubtful


def test_no_word_of_a_table_is_broken_however_narrow_the_terminal(clbench, groups):
    for width in (80, 60, 30):
        done = clbench("leaderboard", "show", "--out", groups, columns=width)
        words = done.out.split()
        for word in ("supcon_partial_at", "robust_acc", "autoattack", "clean_acc"):
            assert word in words


def test_what_is_not_ranked_together_stands_apart(clbench, groups):
    show = ("leaderboard", "show", "--out", groups, "--columns", "rank,model")
    headings = [line for line in clbench(*show).out.splitlines() if " images of " in line]
    assert len(set(headings)) == len(headings) == 3
    assert sum("autoattack in Linf 8/255 (h:" in line for line in headings) == 2
    latex = clbench(*show, "--format", "latex").out
    assert latex.count("\\multicolumn{2}{l}{") == 3
    assert latex.count("\\midrule") == 1 + 3 + 2
    assert latex.count("\\begin{tabular}") == 1
    markdown = clbench(*show, "--format", "md").out
    assert markdown.count("| rank | model |") == 3
    ranks = sorted(row["rank"] for row in json.loads(clbench(*show, "--json").out))
    assert ranks == [1, 1, 1, 2]


def test_one_group_alone_has_no_heading_in_a_paper(clbench, board):
    for form in ("md", "latex"):
        out = clbench("leaderboard", "show", "--out", board, "--format", form).out
        assert " images of " not in out


@pytest.mark.parametrize("form", [as_latex, as_markdown])
def test_every_column_can_be_shown(make_record, form):
    from clbench.leaderboard.table import columns

    record = make_record()
    assert form(rows([record], columns([record])))


def test_a_record_is_shown_without_torch(record):
    code = (
        "import sys; from clbench.cli import app; "
        f"app(['show', {str(record)!r}], standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "robust accuracy" in done.stdout
    assert done.stdout.endswith("False\n")
