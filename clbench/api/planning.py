"""What evaluating a network would cost."""

from fractions import Fraction
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath
from clbench.schema.settings import Settings

if TYPE_CHECKING:
    from clbench.data.load import Data
    from clbench.evaluation.plan import Plan
    from clbench.models.load import Model
    from clbench.models.preprocessing import Numbers


def plan(
    model: "Model",
    *,
    protocol: str | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
    weights: AnyPath | None = None,
    mean: "Numbers | None" = None,
    std: "Numbers | None" = None,
    resize: int | None = None,
    crop: int | None = None,
    interpolation: str | None = None,
    output: str | int | None = None,
    norm: str | None = None,
    eps: str | Fraction | None = None,
    n_examples: int | None = None,
    attack: str | None = None,
    backend: str = "auto",
    batch_size: int | str | None = "auto",
    device: str = "auto",
    precision: str = "auto",
    seed: int | None = None,
) -> "Plan":
    """Return what an evaluation would cost here, and how wide its interval will be.

    Passes and time are told for the case that every image stands every attack, and for as many as
    stand a short attack on the first ones. The network and each component are run for about a
    second; probes are not planned. Nothing is written.

    Args:
        model: As for ``evaluate``, like all that follow.
        protocol: How to evaluate.
        data: Images instead of the protocol's.
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.
        weights: A file instead of the model's own weights.
        mean: What to subtract from pixels.
        std: What to divide them by.
        resize: The shorter side that images are brought to.
        crop: What is cut out of their middle.
        interpolation: How they are resized.
        output: Which entry of the network's answer is the logits.
        norm: Linf, L2 or L1.
        eps: Largest perturbation.
        n_examples: The first so many examples.
        attack: Its name and options.
        backend: Who must run the attack.
        batch_size: Images attacked at once.
        device: Where to run.
        precision: Of the attacks.
        seed: Of random numbers.

    Raises:
        ClbenchError: As ``evaluate``.

    >>> costs = plan("simclr_at", attack="pgd,steps=2", n_examples=16).most
    >>> [(one.name, one.backward) for one in costs]
    [('clean', 48), ('pgd', 48)]
    """
    given = Settings.among(locals())

    from clbench.api.evaluating import begin_session
    from clbench.evaluation.planning import planned

    return planned(begin_session(given))
