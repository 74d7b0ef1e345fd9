"""The card of a bundle: what was evaluated, the numbers, and what to know of them, in Markdown."""

from clbench.leaderboard.formats import Row, as_markdown
from clbench.schema.flags import meaning
from clbench.schema.records import EvaluationRecord

_AGAIN = """\
    clbench leaderboard add NAME.clbench.zip --out FOLDER

checks the files, and asks the network again; with `--audit 299`, examples that are said to be
robust are drawn and attacked again."""


def card(record: EvaluationRecord, weights: str) -> str:
    """Return the card of a record; what others wrote is text in it.

    Args:
        record: The record.
        weights: Where its weights are.
    """
    attack = record.attack.name if record.attack else ""
    numbers: list[Row] = [
        {"measure": one.name, "value": one.value, "low": one.low, "high": one.high, "n": one.n}
        for one in record.measures
    ]
    flags: list[Row] = [{"flag": one.name, "meaning": meaning(one, attack)} for one in record.flags]
    sections = {
        "# A record of clbench": as_markdown(_facts(record, weights)),
        "## Numbers": as_markdown(numbers),
        "## Flags": as_markdown(flags) if flags else "None.",
        "## Is it true?": _AGAIN,
    }
    return "\n".join(f"{title}\n\n{text}\n" for title, text in sections.items())


def _facts(record: EvaluationRecord, weights: str) -> list[Row]:
    model, data = record.model, record.data
    facts = {
        "network": model.name,
        "scheme, scenario": f"{model.scheme}, {model.scenario}" if model.scheme else "",
        "backbone": model.backbone,
        "weights": weights,
        "sha256 of weights": model.weights_sha256,
        "images": f"{data.n} of {data.name}",
        "sha256 of images": data.sha256,
        "attack": record.setting,
        "backend": record.attack.backend if record.attack else "",
        "protocol": record.protocol,
        "unreliable": "yes" if record.unreliable else "no",
        "seed, precision": f"{record.seed}, {record.precision}",
        "run": record.run.hash,
        "made": f"{record.created} by clbench {record.versions.get('clbench', '')}",
    }
    return [{"what": what, "told": told} for what, told in facts.items() if told]
