"""The course of a training in TensorBoard, where that is installed."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from clbench.schema.errors import InstallationError
from clbench.training.phases import Epoch

_SCALARS = ("loss", "lr", "eps", "clean_acc", "robust_acc", "images_per_second")


def tensorboard_writer(folder: Path) -> Callable[[Epoch], None]:
    """Return what writes the figures of an epoch below ``folder``, one curve per phase.

    Raises:
        InstallationError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InstallationError(
            "--tensorboard needs TensorBoard; pip install 'clbench[tensorboard]'"
        ) from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(row: Epoch) -> None:
        figures = asdict(row)
        for name in _SCALARS:
            if figures[name] is not None:
                writer.add_scalar(f"{row.phase}/{name}", figures[name], row.epoch)
        writer.flush()

    return write
