"""The table of checks, a row for each known defect of an installation."""

import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Literal, NamedTuple

from clbench.diagnosis.import_checks import Result
from clbench.interop.autoattack import CLASSIC, attack_package_name
from clbench.interop.installed import (
    ROBUSTBENCH,
    TORCHATTACKS,
    Unmet,
    complaint,
    install_line,
    reinstall_clbench_line,
    reinstall_line,
    requirement_of,
    robustbench_files,
    unmet,
)
from clbench.schema.errors import ClbenchError
from clbench.schema.protocol import DEFAULT_PROTOCOL, config_dir, protocols
from clbench.schema.provenance import version_of

Outcome = Literal["ok", "warning", "broken"]
Results = Mapping[str, Result]

OLDEST_PYTHON = (3, 11)
THROUGH_CLBENCH = "clbench.interop.robustbench"
HUB, WEIGHTS, CACHE, DEVICE = (
    "timm.models._hub:has_hf_hub",
    "clbench.diagnosis.parts:weights",
    "clbench.diagnosis.parts:cache",
    "clbench.diagnosis.parts:device",
)
TORCH_PAIR = ("torch", "torchvision")
OTHERS: dict[str, str] = {
    "timm": "timm",
    "pyautoattack": "pyautoattack",
    "torchattacks": "torchattacks",
    "pandas": "pandas",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "pyarrow": "pyarrow",
    "PIL": "pillow",
    "typer": "typer",
    "rich": "rich",
    "jaxtyping": "jaxtyping",
    "matplotlib": "matplotlib",
    "jinja2": "Jinja2",
    "kornia": "kornia",
    "lightning_fabric": "lightning-fabric",
    "filelock": "filelock",
    "pydantic": "pydantic",
}
"""Modules that clbench imports, beside the pair above and robustbench; of which distribution."""

STEPS = (*TORCH_PAIR, *OTHERS, HUB, WEIGHTS, CACHE, DEVICE, THROUGH_CLBENCH)
"""Everything that has to be tried before the checks can answer."""


class Finding(NamedTuple):
    """What a check found, and the exact line that mends it where it is not in order."""

    outcome: Outcome
    found: str
    mend: str = ""


class Check(NamedTuple):
    """One known defect: its name, what is looked at, and how."""

    name: str
    looks_at: str
    examine: Callable[[Results], Finding]


def check_python(_: Results, version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Python itself."""
    found = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Finding("broken", found, f"python{wanted} -m venv .venv && . .venv/bin/activate")
    return Finding("ok", found)


def check_requirements(_: Results) -> Finding:
    """Everything that clbench says it needs."""
    lacking = [one for one in unmet("clbench") if one.distribution != "setuptools"]
    if not lacking:
        return Finding("ok", "all there")
    line = _install(lacking)
    names = {one.distribution for one in lacking}
    if TORCHATTACKS in names and ROBUSTBENCH not in names:
        line += f" && {reinstall_line(requirement_of(ROBUSTBENCH))}"  # it will be overwritten
    return Finding("broken", _describe(lacking), line)


def check_torch(results: Results) -> Finding:
    """Whether torch and torchvision go together."""
    pins = [one for one in unmet("torchvision") if one.distribution == "torch"]
    for name in TORCH_PAIR:
        if not results[name].ok:
            found = f"{name} {version_of(name)} cannot be imported: {results[name].said}"
            return Finding("broken", found, _mend_torch())
    if pins:
        return Finding("broken", f"torchvision needs {_describe(pins)}", _mend_torch())
    return Finding("ok", ", ".join(f"{name} {version_of(name)}" for name in TORCH_PAIR))


def check_robustbench(results: Results) -> Finding:
    """Whether robustbench has its own files and works through clbench."""
    files = robustbench_files()
    if wrong := complaint(files):
        return _broken(wrong)
    if not results[THROUGH_CLBENCH].ok:
        return _failed(results, THROUGH_CLBENCH, install_line(requirement_of(ROBUSTBENCH)))
    if files.changed:
        mend = reinstall_line(f"{ROBUSTBENCH}=={files.version}")
        return Finding("warning", f"{', '.join(files.changed)} changed by hand", mend)
    return Finding("ok", f"robustbench {files.version}, its own files")


def check_autoattack(_: Results) -> Finding:
    """Who answers robustbench's ``import autoattack``, which PyPI does not have."""
    name = attack_package_name()
    who = "itself" if name == CLASSIC else f"clbench with {name}"
    return Finding("ok", f"answered by {who} {version_of(name)}")


def check_pkg_resources(_: Results) -> Finding:
    """Whether setuptools still has the module that robustbench imports."""
    if find_spec("pkg_resources"):
        return Finding("ok", f"setuptools {version_of('setuptools')} has it")
    return Finding(
        "warning",
        "setuptools no longer has it; clbench answers for it, but only clbench",
        install_line("setuptools<81"),
    )


def check_robustbench_pins(_: Results) -> Finding:
    """What robustbench says it needs, such as one version of timm."""
    return _pins(ROBUSTBENCH)


def check_torchattacks_pins(_: Results) -> Finding:
    """What torchattacks says it needs, such as an old requests, which it never imports."""
    return _pins(TORCHATTACKS)


def check_hub(results: Results) -> Finding:
    """Whether timm and huggingface_hub go together; they need not for clbench's own models."""
    if not results[HUB].ok:
        return _failed(results, HUB, reinstall_line(requirement_of("timm")))
    if results[HUB].said == "True":
        return Finding("ok", f"timm can use huggingface_hub {version_of('huggingface_hub')}")
    return Finding(
        "warning",
        f"timm {version_of('timm')} cannot use huggingface_hub {version_of('huggingface_hub')}: "
        "timm's own pretrained models say that it is not installed",
        install_line("huggingface_hub<1"),
    )


def check_others(results: Results) -> Finding:
    """Whether everything else can be imported."""
    failed = [module for module in OTHERS if not results[module].ok]
    if not failed:
        return Finding("ok", f"{len(OTHERS)} packages can be imported")
    module, *more = failed
    version = version_of(OTHERS[module])
    wanted = f"{OTHERS[module]}=={version}" if version else requirement_of(OTHERS[module])
    found = _failed(results, module, reinstall_line(wanted))
    after = f"; nor can {', '.join(more)}" if more else ""
    return found._replace(found=f"{module} cannot be imported: {found.found}{after}")


def check_weights(results: Results) -> Finding:
    """Whether the packaged weights are there and as their sha256 says."""
    if results[WEIGHTS].ok:
        return Finding("ok", results[WEIGHTS].said)
    return _failed(results, WEIGHTS, reinstall_clbench_line())


def check_configs(_: Results) -> Finding:
    """Whether the configuration files came along and can be read."""
    recipes = sorted((config_dir() / "train").glob("*.toml"))
    try:
        known = protocols()
        for file in recipes:
            tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, ClbenchError) as error:
        return Finding("broken", str(error), reinstall_clbench_line())
    if DEFAULT_PROTOCOL not in known or not recipes:
        return Finding("broken", f"files are missing in {config_dir()}", reinstall_clbench_line())
    return Finding("ok", f"{len(known)} protocols, {len(recipes)} training recipes")


def check_cache(results: Results) -> Finding:
    """Whether downloaded weights can be kept."""
    if results[CACHE].ok:
        return Finding("ok", results[CACHE].said)
    return _failed(results, CACHE, "export CLBENCH_CACHE=FOLDER")._replace(outcome="warning")


def check_device(results: Results) -> Finding:
    """Where networks run."""
    if results[DEVICE].ok:
        return Finding("ok", results[DEVICE].said)
    return _failed(results, DEVICE, reinstall_clbench_line())._replace(outcome="warning")


CHECKS = (
    Check("python", "version of Python", check_python),
    Check("requirements", "what clbench needs", check_requirements),
    Check("torch", "torch and torchvision together", check_torch),
    Check("robustbench", "its files, torchattacks' copy", check_robustbench),
    Check("autoattack", "the module robustbench imports", check_autoattack),
    Check("pkg_resources", "the module robustbench imports", check_pkg_resources),
    Check("robustbench pins", "versions robustbench asks for", check_robustbench_pins),
    Check("torchattacks pins", "versions torchattacks asks for", check_torchattacks_pins),
    Check("hub", "timm and huggingface_hub together", check_hub),
    Check("packages", "imports of everything else", check_others),
    Check("weights", "packaged weights and their sha256", check_weights),
    Check("configs", "protocols and training recipes", check_configs),
    Check("cache", "folder for downloaded weights", check_cache),
    Check("device", "where networks run", check_device),
)


def examine(check: Check, results: Results) -> Finding:
    """Return what ``check`` finds; an installation too broken for it to look is a finding too."""
    try:
        return check.examine(results)
    except ClbenchError as error:
        return _broken(str(error))


def _broken(message: str) -> Finding:
    """Return a finding from an error whose message ends with the mending line."""
    found, _, mend = message.partition("; run: ")
    return Finding("broken", found, mend)


def _failed(results: Results, step: str, mend: str) -> Finding:
    """Return a finding from a step that failed; where torch is the cause, torch is to be mended."""
    found = _broken(results[step].said)
    if not all(results[name].ok for name in TORCH_PAIR):
        mend = _mend_torch()
    return found._replace(mend=found.mend or mend)


def _mend_torch() -> str:
    """Return the line that installs torchvision again, with the torch that it was built for."""
    pins = [one.requirement for one in unmet("torchvision") if one.distribution == "torch"]
    there = [f"{name}=={version_of(name).partition('+')[0]}" for name in TORCH_PAIR]
    return install_line("--force-reinstall", pins[0] if pins else there[0], there[1])


def _pins(distribution: str) -> Finding:
    lacking = unmet(distribution)
    if not lacking:
        return Finding("ok", f"{distribution} {version_of(distribution)} has what it asks for")
    missing = any(not one.found for one in lacking)
    return Finding("broken" if missing else "warning", _describe(lacking), _install(lacking))


def _describe(lacking: list[Unmet]) -> str:
    return ", ".join(f"{one.requirement} (found {one.found or 'none'})" for one in lacking)


def _install(lacking: list[Unmet]) -> str:
    return install_line(*(one.requirement for one in lacking))
