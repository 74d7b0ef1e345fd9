"""``clbench models``: the models there are, and where their weights come from."""

from clbench.cli import options as opt

LEGEND = """
Each column is a tag, simclr_at.digits; its cells say where the weights are.
Where there are none: clbench train NAME --dataset DATASET --out DIR

--model also reads
  timm:NAME         a model of timm
  robustbench:NAME  a model of RobustBench's zoo, or corruptions/NAME, L2/NAME
  hf-hub:USER/NAME  a network of timm's on a hub; local-dir:DIR in a folder
  FILE.py:FACTORY   your own: a function without arguments that returns it
  pkg.mod:FACTORY   the same in an installed package"""


def models(as_json: opt.Json = False) -> None:
    """List the models of the zoo, and those that installed packages registered."""
    from clbench.cli.render.tables import show_rows

    if as_json:
        show_rows("models", _by_tag(), as_json=True)
        return
    show_rows("models", _by_name(), as_json=False)
    print(LEGEND)
    if registered := _registered():
        print()
        show_rows("registered by installed packages", registered, as_json=False)


def _by_tag() -> list[dict[str, str]]:
    """Return one row for each set of weights; those of other packages have no tag."""
    from clbench.models.weights import availability
    from clbench.models.zoo import ZOO

    rows = [
        {
            "model": spec.full_name,
            "scheme": spec.scheme,
            "scenario": spec.scenario,
            "dataset": spec.dataset,
            "backbone": spec.backbone,
            "weights": availability(spec),
        }
        for spec in ZOO
    ]
    nothing = dict.fromkeys(rows[0], "")
    return rows + [nothing | {"model": r["model"], "weights": r["from"]} for r in _registered()]


def _by_name() -> list[dict[str, str]]:
    """Return one row for each training, with a column for each data set."""
    from clbench.models.weights import availability
    from clbench.models.zoo import ZOO

    rows: dict[str, dict[str, str]] = {}
    for spec in ZOO:
        row = {"model": spec.name, "scheme": spec.scheme, "scenario": spec.scenario}
        rows.setdefault(spec.name, row)[spec.dataset] = availability(spec) or "-"
    return list(rows.values())


def _registered() -> list[dict[str, str]]:
    from clbench.models.sources.python import registered_models

    return [{"model": name, "from": point.value} for name, point in registered_models().items()]
