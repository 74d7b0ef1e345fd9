"""Whether what ``--model`` names is there at all: asked of several models before the first runs."""

from pathlib import Path

from clbench.models.argument import read_argument
from clbench.models.checkpoints.read import bytes_of
from clbench.models.names import graph_first, is_folder, known_name
from clbench.models.sources import hub, scripted, timm
from clbench.models.weights import no_weights_yet
from clbench.models.zoo import find_spec, zoo_names
from clbench.runtime.user_code import check_there
from clbench.schema.errors import ModelError, WeightsError


def check_model(name: str, *, dataset: str | None, weights: Path | None = None) -> None:
    """Check that a name is of a model, and that files it names are there; nothing is loaded or run.

    Of ``robustbench:NAME`` and ``hf-hub:USER/NAME`` only loading tells.

    Args:
        name: As for ``load_model``; so are the others.
        dataset: See there.
        weights: See there.

    Raises:
        UnknownNameError: Nothing has this name.
        BadValueError: A zoo name's tag is of another data set.
        ModelError: A user's file or module is not there.
        WeightsError: A file of weights is not there, or the zoo has none for this model.
    """
    given = graph_first(read_argument(name))
    file = weights or given.weights
    if file and not file.exists():
        bytes_of(file)  # which says why not
    what = hub.without_timm(given.what)
    prefix, colon, rest = what.partition(":")
    if colon and prefix in hub.PREFIXES:
        if prefix == hub.LOCAL:
            hub.check_local(rest)
    elif prefix == "timm" and colon:
        timm.pretrained_cfg(rest)
    elif prefix != "robustbench" and (is_folder(what) or scripted.holds_graph(Path(what))):
        return
    elif colon and prefix != "robustbench":
        check_there(f"model '{what}'", what, ModelError)
    elif not colon:
        _check_name(what, dataset, file)


def _check_name(typed: str, dataset: str | None, weights: Path | None) -> None:
    name = known_name(typed)
    if name.endswith(".py"):
        check_there(f"model '{name}'", name, ModelError)
    elif name in zoo_names() and (dataset or "." in name):  # else the images' shape tells its tag
        spec = find_spec(name, dataset)
        if spec.weights is None and weights is None:
            raise WeightsError(no_weights_yet(spec))
