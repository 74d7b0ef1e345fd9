"""``clbench protocols``: the evaluation protocols there are."""

from typing import TYPE_CHECKING

from clbench.cli import options as opt
from clbench.schema.threat_model import format_eps

if TYPE_CHECKING:
    from clbench.schema.protocol import Protocol


def protocols(as_json: opt.Json = False) -> None:
    """List the protocols: data, threat model, attack, sample size."""
    from clbench.cli.render.tables import show_entries, show_rows
    from clbench.schema.protocol import protocols as known

    if as_json:
        show_rows("protocols", [_row(protocol) for protocol in known().values()], as_json=True)
        return
    show_entries([(name, _in_words(protocol)) for name, protocol in known().items()])


def _row(protocol: "Protocol") -> dict[str, str | int]:
    return {
        "name": protocol.name,
        "about": protocol.about,
        "dataset": protocol.dataset,
        "norm": protocol.threat_model.norm,
        "eps": format_eps(protocol.threat_model.eps),
        "attack": protocol.attack,
        "n_examples": protocol.n_examples,
        "seed": protocol.seed,
    }


def _in_words(protocol: "Protocol") -> list[str]:
    images = f"{protocol.n_examples} images of {protocol.dataset}, {protocol.threat_model}"
    return [protocol.about, f"{images}, {protocol.attack}, seed {protocol.seed}"]
