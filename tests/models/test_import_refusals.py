"""Checkpoints that cannot be imported rightly: one line, and nothing of theirs is run or kept."""

import io
import os
import pickle
import re
import subprocess
import zipfile

import pytest
import torch

import clbench
from clbench.schema.errors import ClbenchError
from clbench.testing.damage import cuts, flips
from tests.models.dialect_files import content, facts, tables


def saved(name, tmp_path, change=lambda whole: None):
    """Write a checkpoint of recorded names, changed; its tensors are one number each."""
    whole = content(name, tables(name))
    changed = change(whole)
    file = tmp_path / "checkpoint.pth"
    torch.save(whole if changed is None else changed, file)
    return file


def refusal(file, tmp_path, **options):
    out = tmp_path / "model"
    with pytest.raises(ClbenchError) as caught:
        clbench.import_checkpoint(file, out=out, **options)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# damaged or ambiguous


def without(name):
    def change(whole):
        for table in (whole, *(one for one in whole.values() if isinstance(one, dict))):
            for key in [key for key in table if re.search(name, str(key))]:
                del table[key]

    return change


def beside(key, value, table="state_dict"):
    return lambda whole: whole[table].__setitem__(key, value)


def of_two_projects(whole):
    whole["state_dict"]["projection_head.layers.0.weight"] = torch.zeros(4, 4)


def not_finite(whole):
    whole["model"]["module.layer3.0.conv1.weight"] = torch.full((256, 128, 3, 3), torch.nan)


def as_integers(whole):
    inner = whole["model"]
    inner["module.conv1.weight"] = torch.ones(64, 3, 3, 3, dtype=torch.int8)


def of_other_widths(whole):
    whole["model"]["module.layer3.0.conv1.weight"] = torch.zeros(250, 128, 3, 3)


REFUSED = {
    "a block is missing": (
        "rocl",
        without(r"layer3\.1\.conv2\.weight"),
        {},
        "it lacks 'layer3.1.conv2.weight'",
    ),
    "a stage is missing": ("rocl", without(r"layer2\.[01]\.(conv|bn)"), {}, "stage|it lacks"),
    "a layer that nobody knows": (
        "acl",
        beside("attention.weight", torch.ones(3)),
        {},
        r"it has 'attention.weight', which the network has not",
    ),
    "a part that the dialect does not know": (
        "moco-v1",
        beside("module.decoder.weight", torch.ones(3)),
        {},
        "'decoder.weight', which are no part that clbench knows of",
    ),
    "another width": ("rocl", of_other_widths, {}, r"\[250, 128, 3, 3\], the network's is \[256"),
    "values that are not finite": ("rocl", not_finite, {}, "NaN or infinite values in 'layer3.0"),
    "integers for floats": ("rocl", as_integers, {}, "int8 in 'conv1.weight'"),
    "the normalisation is broken": (
        "acl-tuned",
        beside("normalize.std", torch.tensor([0.2, 0.0, 0.2])),
        {},
        "no mean and deviation per channel",
    ),
    "a branch of batch norms is missing": (
        "acl",
        without(r"layer1.*bn_list\.1"),
        {},
        r"no batch norm of the branch 'adv' in \d+ places, such as 'layer1.* try --bn clean",
    ),
    "a branch asked for where there is one": (
        "acl-tuned",
        lambda whole: None,
        {"bn": "clean"},
        "one batch norm in each place, got --bn clean",
    ),
    "may be of two projects": (
        "simclr",
        of_two_projects,
        {},
        "may be in several dialects: lightly .it has .*; simclr .* by --dialect lightly",
    ),
    "no names that are known": (
        "rocl",
        lambda whole: {"state_dict": {"w1": torch.ones(3), "w2": torch.ones(3)}},
        {},
        "in no dialect that clbench knows: it has 'w1', 'w2' in 'state_dict'; .* with --arch",
    ),
    "a network of another activation": (
        "rocl",
        lambda whole: {"layer.0.block.0.conv_0.weight": torch.ones(3)},
        {},
        "RobustBench's DMWideResNet, whose activation .* --model robustbench:NAME",
    ),
    "shortcuts that begin where nobody tells": (
        "fast-adversarial",
        lambda whole: whole.update(mu=torch.ones(1, 3, 1, 1), sigma=torch.ones(1, 3, 1, 1)),
        {},
        "tell its shortcut of .activated or input.; say it by FILE.py:FACTORY, or give validation",
    ),
    "heads that no tensor tells": (
        "vit-encoder",
        lambda whole: None,
        {"mean": "0,0,0", "std": "1,1,1"},
        "tell its num heads .6 or 3 or 8 or 12 or 16.; say it by --arch",
    ),
    "no tensors": ("rocl", lambda whole: {"epoch": 3}, {}, "holds no tensors by name"),
    "only a projector": (
        "rocl",
        lambda whole: {"model": {"module.linear_1.weight": torch.ones(8, 8)}, "acc": 0},
        {},
        "in no dialect",
    ),
    "another dialect asked for": (
        "rocl",
        lambda whole: None,
        {"dialect": "moco"},
        "is not in the dialect 'moco', .* leave --dialect out",
    ),
    "a dialect that there is not": (
        "rocl",
        lambda whole: None,
        {"dialect": "mocoo"},
        "unknown dialect 'mocoo'; did you mean 'moco'",
    ),
    "another architecture asked for": (
        "torchvision",
        lambda whole: None,
        {"arch": "resnet34"},
        "of another network: it lacks 'layer1.2.*",
    ),
    "an architecture that there is not": (
        "torchvision",
        lambda whole: None,
        {"arch": "resnet19"},
        "unknown architecture 'resnet19'; did you mean",
    ),
    "a normalisation that nobody tells": (
        "awp",
        lambda whole: None,
        {},
        "neither the tensors nor its dialect tell its normalisation .none or mean 0.4914.* images",
    ),
    "a normalisation of an encoder that nobody tells": (
        "supcontrast",
        lambda whole: whole.__setitem__("opt", 3),
        {},
        "tell its normalisation",
    ),
    "a normalisation by hand beside the file's": (
        "acl-tuned",
        lambda whole: None,
        {"mean": (0.5,) * 3, "std": (0.5,) * 3},
        "holds its normalisation, .* leave out --mean and --std",
    ),
    "a mean without a deviation": ("rocl", lambda whole: None, {"mean": "0.5"}, "got no std"),
    "a mean of words": (
        "rocl",
        lambda whole: None,
        {"mean": "a,b", "std": "1,1"},
        "mean must be a number per channel",
    ),
    "a mean of one channel": (
        "rocl",
        lambda whole: None,
        {"mean": "0.5,0.4", "std": "0.5,0.5"},
        "have 3 channels, got a normalisation of 2",
    ),
    "a padding that there is not": (
        "rocl",
        lambda whole: None,
        {"stem_padding": 3},
        "stem padding must be 1 or 2, got 3",
    ),
    "a padding of a large network": (
        "moco-v1",
        lambda whole: None,
        {"stem_padding": 2},
        "--stem-padding is of networks for small images",
    ),
    "a branch that there is not": (
        "acl",
        lambda whole: None,
        {"bn": "adversarial"},
        "unknown branch of batch norms 'adversarial'",
    ),
}
"""What is wrong, with which file, changed how, what was asked for, and what is said."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_right_is_refused(case, tmp_path):
    name, change, options, said = REFUSED[case]
    found = refusal(saved(name, tmp_path, change), tmp_path, **options)
    assert re.search(said, found), found


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_damaged_file_is_refused_or_read_as_what_it_was(zipped, tmp_path):
    small = {"model": {"module.conv1.weight": torch.ones(4, 3, 3, 3)}, "acc": 1, "rng_state": 0}
    buffer = io.BytesIO()
    torch.save(small, buffer, _use_new_zipfile_serialization=zipped)
    file = tmp_path / "damaged.pth"
    data = buffer.getvalue()
    for damaged in [*cuts(data, 12), *(changed for _, changed in flips(data, 12))]:
        file.write_bytes(damaged)
        assert refusal(file, tmp_path)


def test_another_model_in_the_folder_stays(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(ClbenchError, match=r"has a model already, .*; choose another --out"):
        clbench.import_checkpoint(saved("rocl", tmp_path), out=tmp_path / "model")


def test_a_missing_file_is_one_line(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "nothing.pth", tmp_path)


# what would run something


class Runs:
    """Runs a function of Python's when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class SetsState:
    """Runs its own code when its state is set."""

    def __init__(self, marker):
        self.marker = marker

    def __setstate__(self, state):
        os.system(f"touch {state['marker']}")


def raw_pickle(instructions, marker):
    return instructions.replace(b"MARKER", str(marker).encode())


def zipped_with(pickled):
    """Return a file of torch.save whose pickle is another one."""
    buffer, changed = io.BytesIO(), io.BytesIO()
    torch.save({"model": torch.ones(2)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(changed, "w") as target:
        for one in source.infolist():
            data = pickled if one.filename.endswith("data.pkl") else source.read(one)
            target.writestr(one.filename, data)
    return changed.getvalue()


def persistent(marker):
    """Return a pickle whose persistent id is made by a call."""
    call = b"cos\nsystem\n(S'touch MARKER'\ntR"
    return zipped_with(raw_pickle(b"\x80\x02(" + call + b"tQ.", marker))


def hostile_tensor(marker):
    """Return a pickle that rebuilds a tensor with what a call returns, far outside its storage."""
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    call = b"(cos\nsystem\n(S'touch MARKER'\ntR"
    return zipped_with(
        raw_pickle(b"\x80\x02" + rebuild + call + b"K\x00(K\x09t(K\x01tI00\nNtR.", marker)
    )


def builds_on_a_class(marker):
    """Return a pickle that sets an attribute of a class that others use."""
    return zipped_with(
        raw_pickle(b"\x80\x02ccollections\nOrderedDict\n}S'marker'\nS'MARKER'\nsb.", marker)
    )


def nested(marker):
    """Return a checkpoint that holds another pickle, to be read by a function."""
    inner = pickle.dumps(Runs(os.system, f"touch {marker}"))
    return torch_bytes({"model": {"w": torch.ones(2)}, "more": Runs(pickle.loads, inner)})


def torch_bytes(whole, **options):
    buffer = io.BytesIO()
    torch.save(whole, buffer, **options)
    return buffer.getvalue()


def beside_weights(*what, **options):
    return torch_bytes({"model": {"module.w": torch.ones(2)}, "acc": Runs(*what)}, **options)


HOSTILE = {
    "a system call": lambda m: beside_weights(os.system, f"touch {m}"),
    "a system call, legacy": lambda m: beside_weights(
        os.system, f"touch {m}", _use_new_zipfile_serialization=False
    ),
    "eval": lambda m: beside_weights(eval, f"open({str(m)!r}, 'w')"),
    "exec": lambda m: beside_weights(exec, f"open({str(m)!r}, 'w')"),
    "getattr": lambda m: beside_weights(getattr, "text", "upper"),
    "a process": lambda m: beside_weights(subprocess.run, ["touch", str(m)]),
    "a compiled network": lambda m: beside_weights(torch.jit.load, str(m)),
    "opening a file": lambda m: beside_weights(open, str(m), "w"),
    "an import": lambda m: beside_weights(__import__, "antigravity"),
    "a state of its own class": lambda m: torch_bytes({"model": {}, "acc": SetsState(str(m))}),
    "a persistent id": persistent,
    "a tensor of a call": hostile_tensor,
    "the state of a shared class": builds_on_a_class,
    "a pickle in a pickle": nested,
    "a hub": lambda m: beside_weights(torch.hub.load_state_dict_from_url, f"file://{m}"),
    "torch.load": lambda m: beside_weights(torch.load, str(m)),
}
"""What would run something, each given the file that would then be there."""


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_in_a_checkpoint_is_run(case, tmp_path):
    marker = tmp_path / "ran"
    file = tmp_path / "hostile.pth"
    file.write_bytes(HOSTILE[case](marker))
    assert refusal(file, tmp_path)
    assert not marker.exists()


CALLS = {
    "a system call": (os.system, "true"),
    "eval": (eval, "1"),
    "a process": (subprocess.run, ["true"]),
    "a pickle": (pickle.loads, b"N."),
    "torch.load": (torch.load, "x"),
    "a hub": (torch.hub.load_state_dict_from_url, "file://x"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_beside_sound_weights_is_named(case, tmp_path):
    call = Runs(*CALLS[case])
    file = saved("rocl", tmp_path, lambda whole: whole.__setitem__("acc", call))
    assert re.search(r"would run '\S+' where they are unpickled", refusal(file, tmp_path))


def test_a_shared_class_is_as_it_was(tmp_path):
    from collections import OrderedDict

    file = tmp_path / "hostile.pth"
    file.write_bytes(builds_on_a_class("x"))
    refusal(file, tmp_path)
    assert not hasattr(OrderedDict, "marker")


def test_the_facts_have_no_code():
    assert all(
        isinstance(shape, list)
        for names in facts("acl")["tables"].values()
        for shape in names.values()
    )
