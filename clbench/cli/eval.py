"""``clbench eval``: the main job."""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clbench.cli import options as opt
from clbench.cli import options_of_preprocessing as seen
from clbench.cli.requests import Request, check, each_evaluated, find_model, in_words, requests
from clbench.cli.run import (
    EXIT_UNRELIABLE,
    EXIT_USER,
    event_writer,
    interruptible,
    notes_once,
    quietly,
)
from clbench.cli.streams import code_of_others, say
from clbench.cli.together import check_together, evaluate_together
from clbench.runtime.processes import processes

if TYPE_CHECKING:
    from clbench.evaluation.evaluation import Evaluation

EXAMPLES = """\b
Examples:
  clbench eval --model simclr_at
  clbench eval --model simclr_at --protocol cifar10-linf --data-dir DIR
  clbench eval --model net.py:make_net --data images.npz --eps 2/255
  clbench eval --model simclr_at --model supcon_at --eps 1/12 --eps 1/6
  clbench eval --model supcon_st --attack "apgd-ce,n_iter=50 + square"
  clbench eval --model simclr_at --shard 3/16
  torchrun --nproc-per-node 4 -m clbench eval --model simclr_at
\b
Exit status: 0 done; 2 something to mend, said in one line (of several models,
the others are done); 3 with --strict, a flag is raised; 130 Ctrl-C, 143
SIGTERM and 129 SIGHUP, after saving: the same command goes on.
"""


def evaluate_model(
    models: opt.EvaluatedModels,
    protocol: opt.Protocol = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    weights: opt.WeightsOfModels = None,
    mean: seen.Mean = None,
    std: seen.Std = None,
    resize: seen.Resize = None,
    crop: seen.Crop = None,
    interpolation: seen.Interpolation = None,
    output: seen.Outputs = None,
    norm: opt.Norm = None,
    eps: opt.SeveralEps = None,
    n_examples: opt.NExamples = None,
    attack: opt.Attack = None,
    backend: opt.Backend = "auto",
    batch_size: opt.BatchSize = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    seed: opt.Seed = None,
    shard: opt.Shard = None,
    out: opt.Out = Path("results"),
    probe: opt.Probe = True,
    linear_probes: opt.LinearProbes = False,
    layer_probes: opt.OldLinearProbes = False,
    train_data: opt.TrainData = None,
    finish: opt.Finish = False,
    restart: opt.Restart = False,
    resume: opt.Resume = False,
    save_adversarial: opt.SaveAdversarial = False,
    transfer_from: opt.TransferFrom = None,
    escalate: opt.Escalate = False,
    evidence: opt.Evidence = None,
    events: opt.Events = None,
    strict: opt.Strict = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Evaluate models under attack and write them into the leaderboard.

    Several --model, and several --eps, are evaluated one after the other and shown in one table.
    """
    given: dict[str, Any] = {**locals()}
    for own in ("models", "eps", "weights", "output", "events", "strict", "as_json", "quiet"):
        del given[own]
    del given["layer_probes"], given["resume"]
    given |= {"linear_probes": linear_probes or layer_probes, "train_data": train_data or ()}
    given["transfer_from"] = transfer_from or ()
    if finish:
        from clbench.attacks.grammar import finishing

        given["attack"] = finishing(attack)
    wanted = requests(models, weights or (), eps or (), output or ())
    check(wanted, given)
    mine = processes()
    if mine is not None:
        check_together(given)
    silent = mine is not None and not mine.is_first
    quiet, as_json, events = quiet or silent, as_json and not silent, None if silent else events
    interrupted = "" if silent else _interrupted(out)
    with interruptible(interrupted), quietly(quiet=quiet, as_json=as_json):
        evaluate = partial(_evaluate, given, event_writer(events), not (quiet or as_json))
        find = partial(find_model, given=given)
        show = partial(_show, several=len(wanted) > 1, as_json=as_json, quiet=quiet)
        done, complete = each_evaluated(wanted, find, evaluate, say, show)
        if len(wanted) > 1:
            _show_all(done, as_json=as_json, quiet=quiet)
    if not complete:
        raise typer.Exit(EXIT_USER)
    if strict and not silent and any(one.record.flags for one in done):
        raise typer.Exit(EXIT_UNRELIABLE)


def _interrupted(out: Path) -> Callable[[], str]:
    """Return a function that says what an interrupt leaves behind in a folder of results."""

    def progress() -> dict[Path, int]:
        found = {}
        for path in (out / "progress").glob("*.npz"):
            with suppress(FileNotFoundError):  # another run has ended
                found[path] = path.stat().st_mtime_ns
        return found

    before = progress()

    def words() -> str:
        if progress() == before:
            return (
                "interrupted before the run under way saved anything new; the same command goes on"
            )
        return "interrupted and saved; the same command goes on from here"

    return words


def _evaluate(
    given: dict[str, Any],
    write: Callable[[str, Any], None],
    shown: bool,
    request: Request,
) -> "Evaluation":
    import clbench
    from clbench.cli.render.evaluation_progress import evaluation_progress

    begin, mine = in_words(request, given), processes()
    with evaluation_progress(write, begin=begin, shown=shown) as hooks, code_of_others():
        settings = given | request._asdict() | hooks
        if mine is None:
            return clbench.evaluate(**settings)
        with notes_once():
            return evaluate_together(settings, mine)


def _show(evaluation: "Evaluation", *, several: bool, as_json: bool, quiet: bool) -> None:
    from clbench.cli.render.evaluation import record_json, show_evaluation, show_shard
    from clbench.cli.render.tables import show_json

    if evaluation.shard is not None:
        if as_json or not quiet:
            show_shard(evaluation, as_json=as_json)
    elif several and as_json:
        show_json(json.loads(record_json(evaluation.record)), lines=True)
    elif not several and (as_json or not quiet):
        show_evaluation(evaluation, as_json=as_json)


def _show_all(done: "list[Evaluation]", *, as_json: bool, quiet: bool) -> None:
    from clbench.cli.render.evaluations import rising, show_records

    records = [one.record for one in done if one.shard is None]
    if records and not (as_json or quiet):
        show_records(records)
    for note in rising(records) if not quiet else ():
        say(note)
