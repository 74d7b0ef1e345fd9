"""``clbench plan``: what ``clbench eval`` would cost with the same options."""

from typing import Any

from clbench.cli import options as opt
from clbench.cli import options_of_preprocessing as seen
from clbench.cli.streams import code_of_others


def plan(
    model: opt.PlannedModel,
    protocol: opt.Protocol = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    weights: opt.Weights = None,
    mean: seen.Mean = None,
    std: seen.Std = None,
    resize: seen.Resize = None,
    crop: seen.Crop = None,
    interpolation: seen.Interpolation = None,
    output: seen.Output = None,
    norm: opt.Norm = None,
    eps: opt.Eps = None,
    n_examples: opt.NExamples = None,
    attack: opt.Attack = None,
    backend: opt.Backend = "auto",
    batch_size: opt.BatchSize = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    seed: opt.Seed = None,
    as_json: opt.Json = False,
) -> None:
    """Tell what an evaluation would cost here, before it is paid: passes, time, memory.

    And how wide the interval of its robust accuracy will be. It takes a few seconds.
    """
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.plan import show_plan

    del given["as_json"]
    with code_of_others():
        found = clbench.plan(**given)
    show_plan(found, as_json=as_json)
