"""Model cards as the Hugging Face Hub has them; the only file that imports its library."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Result(NamedTuple):
    """One number of a model card's ``model-index``, its fields called as there."""

    dataset_type: str
    dataset_name: str
    dataset_args: dict[str, Any]
    metric_name: str
    metric_value: float
    metric_args: dict[str, Any]


def model_card(model_name: str, results: Sequence[Result], text: str) -> str:
    """Return a model card: metadata with results of image classification, and a text below."""
    from huggingface_hub import EvalResult, ModelCardData

    found = [
        EvalResult(task_type="image-classification", metric_type="accuracy", **one._asdict())
        for one in results
    ]
    data = ModelCardData(model_name=model_name, eval_results=found, tags=["clbench"])
    return f"---\n{data.to_yaml()}\n---\n\n{text}\n"
