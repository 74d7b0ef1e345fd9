"""``clbench layers``: what ``--layer`` can name in a model."""

from typing import Any

from clbench.cli import options as opt
from clbench.cli import options_of_preprocessing as seen
from clbench.cli.streams import code_of_others


def layers(
    model: opt.LayersModel,
    protocol: opt.Protocol = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    weights: opt.Weights = None,
    mean: seen.Mean = None,
    std: seen.Std = None,
    resize: seen.Resize = None,
    crop: seen.Crop = None,
    interpolation: seen.Interpolation = None,
    output: seen.Output = None,
    as_json: opt.Json = False,
) -> None:
    """List the layers of a model: those that are compared by default, then all others."""
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.tables import show_rows

    del given["as_json"]
    with code_of_others():
        found = clbench.list_layers(**given)
    rows = [
        {
            "layer": row.layer,
            "module": row.module,
            "features": "x".join(map(str, row.features or ())) or "-",
            "axes": row.axes,
            "by default": "yes" if row.is_usual else "",
        }
        for row in found
    ]
    show_rows(f"layers of {model}", rows, as_json=as_json)
