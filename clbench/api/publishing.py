"""A model as a hub has it."""

from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, path_or_none

if TYPE_CHECKING:
    from clbench.leaderboard.export.hub_folder import Pushable


def push_folder(
    model: AnyPath, *, out: AnyPath | None = None, results: AnyPath | None = None
) -> "Pushable":
    """Write what a repository of the Hugging Face Hub needs of a model, ready to be pushed.

    These are the weights in full precision, a ``config.json`` that timm reads, and a card. Nothing
    is sent anywhere; the command that does it is returned.

    Args:
        model: A zoo name with its tag, or a folder that ``import_checkpoint`` or ``train`` made.
        out: The folder to write; ``hub/NAME`` unless given.
        results: A folder of ``evaluate``, whose records of these weights the card tells.

    Raises:
        ClbenchError: It is another model, its folder is damaged, there are no such records, or the
            folder to write has other files.
    """
    from clbench.leaderboard.export.hub_folder import write_hub_folder
    from clbench.models.publishing import publication

    made = publication(str(model))
    return write_hub_folder(made, path_or_none("out", out), path_or_none("results", results))
