"""``clbench eval``: the main job."""

from pathlib import Path
from typing import Any

import typer

from clbench.cli import options as opt
from clbench.cli.run import EXIT_UNRELIABLE, event_writer, interruptible, quietly

EXAMPLES = """\b
Examples:
  clbench eval --model simclr_at
  clbench eval --model simclr_at --protocol cifar10-linf --data-dir DIR --weights FILE
  clbench eval --model net.py:make_net --weights FILE --data images.npz --eps 2/255
  clbench eval --model supcon_st --attack pgd,steps=50,restarts=5 --n-examples 100
"""


def evaluate_model(
    model: opt.Model,
    protocol: opt.Protocol = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    weights: opt.Weights = None,
    norm: opt.Norm = None,
    eps: opt.Eps = None,
    n_examples: opt.NExamples = None,
    attack: opt.Attack = None,
    backend: opt.Backend = "auto",
    batch_size: opt.BatchSize = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = "float32",
    seed: opt.Seed = None,
    out: opt.Out = Path("results"),
    probe: opt.Probe = True,
    linear_probes: opt.LinearProbes = False,
    layer_probes: opt.OldLinearProbes = False,
    train_data: opt.TrainData = None,
    restart: opt.Restart = False,
    save_adversarial: opt.SaveAdversarial = False,
    events: opt.Events = None,
    strict: opt.Strict = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Evaluate a model under attack and write it into the leaderboard."""
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.evaluation import show_evaluation
    from clbench.cli.render.evaluation_progress import evaluation_progress

    for own in ("events", "strict", "as_json", "quiet", "layer_probes"):
        del given[own]
    given |= {"linear_probes": linear_probes or layer_probes, "train_data": train_data or ()}
    saved = "interrupted and saved; the same command goes on from here"
    with interruptible(saved), quietly(quiet=quiet):
        with evaluation_progress(event_writer(events), shown=not (quiet or as_json)) as hooks:
            evaluation = clbench.evaluate(**given | hooks)
        if not quiet:
            show_evaluation(evaluation, as_json=as_json)
    if strict and evaluation.record.flags:
        raise typer.Exit(EXIT_UNRELIABLE)
