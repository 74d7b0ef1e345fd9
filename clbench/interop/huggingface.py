"""Model cards and files of the Hugging Face Hub; the only file that imports its library."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from clbench.schema.errors import ModelError, describe

_PATIENCE = 5
"""Seconds that the Hub has for its first answer."""


class Result(NamedTuple):
    """One number of a model card's ``model-index``, its fields called as there."""

    dataset_type: str
    dataset_name: str
    dataset_args: dict[str, Any]
    metric_name: str
    metric_value: float
    metric_args: dict[str, Any]


def model_card(
    model_name: str,
    results: Sequence[Result],
    text: str,
    about: Mapping[str, Any] | None = None,
) -> str:
    """Return a model card: metadata with results of image classification, and a text below.

    ``about`` are more fields of the metadata, called as there.
    """
    from huggingface_hub import EvalResult, ModelCardData

    found = [
        EvalResult(task_type="image-classification", metric_type="accuracy", **one._asdict())
        for one in results
    ]
    fields = {"tags": ["clbench"], **(about or {})}
    data = ModelCardData(model_name=model_name, eval_results=found, **fields)
    return f"---\n{data.to_yaml()}\n---\n\n{text}\n"


def fetch(repository: str, names: Sequence[str], revision: str = "") -> Path | None:
    """Return a file of a repository on the Hub, fetched, or as this machine's cache has it.

    Where the Hub is not in reach, which a connection of a few seconds tells, only the cache is
    looked at; so it is with ``HF_HUB_OFFLINE``.

    Args:
        repository: ``USER/NAME``.
        names: The first of these that it has is taken; None is returned where it has none.
        revision: A branch, a tag or a commit; the newest where "".

    Raises:
        ModelError: They are neither in the cache nor to be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    offline, unseen = _why_not_in_reach(), ""
    for name in names:
        try:
            found = hf_hub_download(
                repository,
                name,
                revision=revision or None,
                local_files_only=bool(offline),
                etag_timeout=_PATIENCE,
            )
        except LocalEntryNotFoundError as error:
            unseen = offline or describe(error)
        except EntryNotFoundError:
            continue
        except Exception as error:  # of its library, of the one below it, or of the machine
            raise _not_fetched(repository, describe(error)) from error
        else:
            return Path(found)
    if unseen:
        raise _not_fetched(repository, unseen)
    return None


def _why_not_in_reach() -> str:
    """Return why the Hub is not asked, "" where it can be."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = urlsplit(constants.ENDPOINT)
    if address.hostname is None or getproxies().keys() & {address.scheme, "all"}:
        return ""  # a proxy is asked, not the Hub's own address
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname, port), timeout=_PATIENCE).close()
    except OSError as error:
        return f"{address.hostname} is not in reach: {describe(error)}"
    return ""


def _not_fetched(repository: str, why: str) -> ModelError:
    return ModelError(
        f"model 'hf-hub:{repository}' cannot be had from the hub ({why}), nor from this machine's "
        f"cache; fetch it where there is a network, hf download {repository} --local-dir DIR, and "
        "give --model local-dir:DIR"
    )
