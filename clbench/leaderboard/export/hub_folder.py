"""A folder as a hub's repository has it: weights, ``config.json``, and a card with results."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from clbench.interop.huggingface import Result, model_card
from clbench.leaderboard.export.hf_model_index import TEXT, results_of
from clbench.leaderboard.export.write import write_beside
from clbench.leaderboard.table import in_order, read_ranked
from clbench.models.publishing import Publication
from clbench.models.sources.hub_config import CONFIG
from clbench.models.weights import save_weights
from clbench.schema.errors import RecordError
from clbench.schema.files import safe_name
from clbench.schema.text import visible

WEIGHTS, CARD = "model.safetensors", "README.md"

_FORMAT = {"format": "pt"}
"""What Hugging Face's libraries ask a safetensors file for."""


class Pushable(NamedTuple):
    """A folder that is ready for a hub, its files, and the command that sends it there."""

    folder: Path
    files: tuple[str, ...]
    command: str


def write_hub_folder(made: Publication, folder: Path | None, results: Path | None) -> Pushable:
    """Write what a hub's repository needs, and nothing else; nothing is sent anywhere.

    Args:
        made: What is published.
        folder: Where to write; ``hub/NAME`` where None.
        results: A folder of results, whose records of these weights the card tells.

    Raises:
        RecordError: It has no records of these weights, or one cannot be read.
        StorageError: The folder has other files of these names, or cannot be written.
    """
    repository = safe_name(made.name)
    to = folder or Path("hub") / repository
    found = _results(made, results) if results else []
    files = {
        WEIGHTS: _weights(made),
        CARD: _card(made, repository, found).encode(),
        CONFIG: f"{json.dumps(made.config, indent=2)}\n".encode(),
    }
    write_beside({to / name: content for name, content in files.items()})
    command = shlex.join(["hf", "upload", f"USER/{repository}", str(to)])
    return Pushable(to, tuple(sorted(files)), command)


def _results(made: Publication, results: Path) -> Sequence[Result]:
    records, _ = read_ranked(results)
    hashes = [{one.model.weights_sha256, one.model.file_sha256} for one in records]
    own = [one for one, known in zip(records, hashes, strict=True) if known & made.known_by]
    if not own:
        raise RecordError(
            f"no record under {results} is of the weights of {made.name!r}; evaluate it first, "
            "clbench eval, or leave --results out"
        )
    return results_of(in_order(own))


def _weights(made: Publication) -> bytes:
    with TemporaryDirectory() as place:
        file = Path(place) / WEIGHTS
        save_weights(made.network, file, half=False, about=_FORMAT)
        return file.read_bytes()


def _card(made: Publication, repository: str, results: Sequence[Result]) -> str:
    is_classifier = made.config["num_classes"]
    about = {
        "library_name": "timm",
        "pipeline_tag": "image-classification" if is_classifier else "image-feature-extraction",
        "tags": ["timm", "clbench", "adversarial-robustness"],
        **({"license": made.licence} if made.licence else {}),
    }
    return model_card(visible(made.name), results, _text(made, repository, results), about)


def _text(made: Publication, repository: str, results: Sequence[Result]) -> str:
    rows = [f"| {name} | {_cell(text)} |" for name, text in made.about.items()]
    first = "import clbench.models  # its architecture is none of timm's: pip install clbench\n"
    needs = first if made.needs_clbench else ""
    code = (
        f"```python\n{needs}import timm\n\n"
        f'network = timm.create_model("hf-hub:USER/{repository}", pretrained=True).eval()\n```'
    )
    seen = (
        "Inputs are normalised by `mean` and `std` of `network.pretrained_cfg`, after "
        f"pixels are brought to [0, 1]. `clbench eval --model hf-hub:USER/{repository}` does that."
    )
    parts = [f"# {_cell(made.name)}", "\n".join(("|  |  |", "| --- | --- |", *rows)), code, seen]
    return "\n\n".join([*parts, TEXT] if results else parts)


def _cell(text: str) -> str:
    return " ".join(visible(text).replace("|", "\\|").split())
