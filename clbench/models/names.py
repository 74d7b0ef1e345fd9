"""What a model may be called, and what a name is of."""

from pathlib import Path

import timm as timm_package

from clbench.models.argument import ModelArgument, is_weights_file
from clbench.models.interface import LoadedModel
from clbench.models.sources import folder, python, scripted
from clbench.models.zoo import zoo_names
from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.names import closest, spelled


def check_name(name: str, loaded: LoadedModel) -> None:
    """Check that a name of the zoo is not given to another network; "" gives none.

    Raises:
        BadValueError: It is: who reads the record would take it for the zoo's.
    """
    own = loaded.name.removeprefix("timm:")
    same = {own, own.partition(".")[0], f"{own}.{loaded.tag}"}
    if spelled(name, zoo_names()) in set(zoo_names()) - same:
        raise BadValueError(
            f"the name {name!r} is of a model of the zoo, got it for {loaded.name!r}; "
            f"choose another one: --model mine={loaded.name}"
        )


def is_folder(what: str) -> bool:
    """Say whether a model is a folder with one; a name of the zoo or of a package goes before."""
    names = [*zoo_names(), *python.registered_models()]
    return spelled(what, names) not in names and folder.holds_model(Path(what))


def graph_first(given: ModelArgument) -> ModelArgument:
    """Return a model argument whose weights are no file of ``torch.jit``, which is a model.

    ``NAME=FILE`` reads like a model with its weights; such a file has a network of its own.
    """
    if given.weights is None or given.name or not scripted.holds_graph(given.weights):
        return given
    return ModelArgument(given.what, str(given.weights))


def known_name(typed: str) -> str:
    """Return a name without a colon as it is spelled: of the zoo, of a package, or a file.

    Raises:
        UnknownNameError: Nothing has this name.
        ModelError: Several packages registered it.
    """
    known = [*zoo_names(), *python.registered_models()]
    name = spelled(typed, known)
    python.check_only_owner(name, zoo=name in zoo_names())
    if name not in known and not name.endswith(".py"):
        raise _unknown(name, known)
    return name


def _unknown(name: str, known: list[str]) -> UnknownNameError:
    """Return the error of a name that is no model's, with what was likely meant."""
    path = Path(name)
    if path.is_dir() or is_weights_file(name):
        what = "folder" if path.is_dir() else "weights file"
        file = path / "weights.safetensors" if path.is_dir() else path
        return UnknownNameError(
            f"{name!r} is a {what}, not a network; name the network, such as a zoo name, "
            f"timm:NAME or FILE.py:FACTORY, and add --weights {file}"
        )
    near, stem = closest(name, known), name.partition(".")[0]
    if timm_package.is_model(stem) and stem not in known:
        near = f"timm:{name}"
    hint = f"did you mean {near!r}?" if near else "clbench models lists them"
    return UnknownNameError(f"unknown model {name!r}; {hint}")
