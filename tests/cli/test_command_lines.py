"""Some two hundred command lines: each does what it says, or is refused in a line."""

import json
import shlex

import pytest

DIGITS = "１２"  # noqa: RUF001 - digits of another script, which Python would read
LONG = 6000 * "1"
NUMBERS = {  # by option: what is no number in its range, and a part of the answer
    "--seed": ("from 0 to 4294967295", "-1", "4294967296", "18446744073709551616"),
    "--n-examples": ("a whole number from 1 up", "0", "-1", "18446744073709551616"),
    "--batch-size": ("'auto' or a whole number from 1 to 2147483647", "0", "-4", "9" * 20),
}
NO_NUMBERS = (LONG, DIGITS, "1e3", "0x10", "1_000", "1.0", "", " 1", "+1", "one", "nan", "\x1b[1m")
NO_EPS = (
    *("8/255px", "8//255", "1/0", "0/0", LONG, f"1/{LONG}", f"0.{LONG}", DIGITS, "1e-3", "nan"),
    *("inf", "-1/255", "-0.5", "8", "255", "1.5", "½", "", " ", "8/255/2", "0x1", "1_0/255"),
    *("\x1b[31m8/255", "２/255"),  # noqa: RUF001
)
NO_NORM = ("L3", "linff", "L0", "", "l 2", "∞", "Linf,L2", "L2\x00", "[bold]L2[/x]")
NO_ATTACK = {
    "autoatack": "did you mean 'autoattack'?",
    "fgsm": "did you mean 'torchattacks:FGSM'?",
    "pgd,steps=0": "a count from 1",
    f"pgd,steps={LONG}": "a count from 1",
    f"pgd,steps={DIGITS}": "a count from 1",
    "pgd,stepz=3": "did you mean 'steps'?",
    "pgd,steps": "read like 'steps=40'",
    "pgd,steps=1,n_iter=2": "given twice",
    "pgd,step_size=1e999999999": "a number above 0",
    "pgd + pgd": "each attack once",
    "autoattack + square": "each attack once",
    "pgd +": "must read like",
    "": "must not be empty",
    "xyzzy": "clbench attacks lists them",
    "torchattacks:AutoAttack": "it is not AutoAttack",
    "torchattacks:OnePixel": "L0 only",
    "autoattack,n_iter=3": "takes no options",
    "pgd\x1b]0;x\x07": r"\x1b]0;x\x07",
    "[/x]": "unknown attack '[/x]'",
}
NO_PROTOCOL = {
    "cifar10": "did you mean 'cifar10-linf'?",
    "digits": "did you mean 'digits-linf'?",
    "digit-linf": "did you mean 'digits-linf'?",
    "imagenet": "unknown protocol 'imagenet'",
    "nowhere.toml": "protocol nowhere.toml cannot be read: No such file or directory",
    "": "must not be empty",
    "x" * 5000: "unknown protocol",
    "\x1b[2J": r"\x1b[2J",
}
NO_DEVICE = ("tpu", "cuda:-1", "cuda:x", "gpu", "CPU ", f"cuda:{LONG}", "", "cuda:99", "mps:[/x]")
NO_BACKEND = {
    "nativ": "did you mean 'native'?",
    "torchatacks": "did you mean 'torchattacks'?",
    "foolbox": "unknown backend 'foolbox'",
    "torchattacks": "runs on",
    "": "must not be empty",
}
NO_MODEL = {
    "simclr_att": "did you mean 'simclr_at'?",
    "resnet18": "unknown model 'resnet18'; did you mean 'timm:resnet18'?",
    "resnet18.a1_in1k": "did you mean 'timm:resnet18.a1_in1k'?",
    "w.pt": "'w.pt' is a weights file, not a network",
    "runs/a/weights.safetensors": "is a weights file",
    "checkpoint.pth.tar": "is a weights file",
    "nowhere.py:make": "there is no file 'nowhere.py'",
    "no_such_module:make": "no_such_module",
    "simclr_at.cifar10": "cifar10",
    "timm:nothing_like_it": "unknown timm model",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "[/x]": "'[/x]'",
    "net\nwork": r"net\nwork",
    "x" * 5000: "too long a name",
    f"{5000 * 'x'}.py:make": "too long a name",
    "\u202egnp": r"\u202egnp",
    "": "must not be empty",
}
TOGETHER = {
    "--restart --resume": "--resume has no effect beside --restart",
    "--train-data a.npz": "--train-data has no effect without --linear-probes",
    "--download --data a.npz --eps 1/6": "--download has no effect beside --data",
    "--data-dir d --data a.npz --eps 1/6": "--data-dir has no effect beside --data",
    "--data-dir .": "--data-dir has no effect on digits, which is in the package",
    "--download": "--download has no effect on digits, which is in the package; leave it out",
    "--protocol digits-linf --data-dir nowhere": "--data-dir has no effect on digits",
    "--protocol mine.toml --data-dir .": "protocol mine.toml cannot be read",
    "--protocol cifar10-linf --data-dir nowhere": "--data-dir must be a folder that is there",
    "--protocol cifar10-linff --data-dir .": "did you mean 'cifar10-linf'",
    "--data a.npz": "give an eps, such as '8/255' (in Linf), or a protocol",
    "--data a.npz --norm l2": "give an eps, such as '1/2' (in L2), or a protocol",
    "--data a.npz --norm l1": "give an eps, such as '12' (in L1), or a protocol",
    "--data nowhere.npz --eps 1/6": "nowhere.npz",
    f"--data {5000 * 'x'}.npz --eps 1/6": "",
    f"--out {5000 * 'x'}": "",
    f"--weights {5000 * 'x'}.pt": "",
    "--data a.npz --data b.npz --eps 1/6": "--data counts once, got 2, the last 'b.npz'",
    "--attack pgd --attack square": "--attack counts once",
    "--protocol digits-linf --protocol cifar10-linf": "--protocol counts once",
    "--seed 1 --seed 2": "--seed counts once",
    "--norm L2": "norm L2 needs an eps of its own, such as '1/2', got none",
    "--norm L1": "norm L1 needs an eps of its own, such as '12', got none",
    "--norm l1 --attack torchattacks:FGSM": "'torchattacks:FGSM' covers Linf only, got L1; L1 is",
    "--norm L1 --attack aa,n_iter=3": "did you mean 'autoattack'?",
    "--norm L1 --attack 'pgd + torchattacks:BIM' --data x.npz": "'torchattacks:BIM' covers Linf o",
    "--norm L1 --attack apgd-ce,rho=1/2": "option 'rho' of attack 'apgd-ce' does something in Linf",
    "--attack square+apgd-t,use_largereps=false": "'apgd-t' does something in L1 only, got Linf; l",
    "--norm L2 --eps 1 --attack apgd-dlr,use_largereps=true": "does something in L1 only, got L2",
    "--norm L1 --eps 9 --attack apgd-t,n_iter=1": "'n_iter' of attack 'apgd-t' must be at least 2",
    "--norm L1 --eps 9 --attack apgd-ce,use_largereps=1": "must be true or false, got '1'",
    "--norm L2 --attack torchattacks:FGSM": "L2 is covered by autoattack, ",
    "--eps 1/6 --eps x": "eps must read like",
    "--eps 1/6 --eps 7": "Linf eps must be at most 1",
    "--precision float16": "invalid value for '--precision': 'float16' is not one of 'auto', ",
    "supcon_at": "extra argument(s) (supcon_at); did you mean --model supcon_at?; see",
    "--seed": "requires an argument",
    "--sed 1": "no such option",
    "surplus": "unexpected extra argument",
    "--weights nowhere.safetensors": "nowhere.safetensors",
    "--weights a=b.safetensors --model supcon_at": "b.safetensors",
    "--weights b.safetensors --model supcon_at": "must read like NAME=FILE",
    "--n-examples 361": "from 1 to 360",
    "--linear-probes --protocol cifar10-linf": "needs --data-dir",
    "--out /dev/null/x": "choose another folder with --out",
}
OTHERS = {
    "": "Usage: clbench",
    "nope": "no such command",
    "evl": "no such command",
    "leaderboard": "Usage: clbench leaderboard",
    "leaderboard show --format pdf": "is not one of",
    "leaderboard show --out nowhere": "no records under nowhere",
    "leaderboard build --out nowhere": "no records under nowhere",
    "leaderboard check --out nowhere --json": "no records under nowhere",
    "leaderboard build --out ''": "--out must not be empty",
    "leaderboard nope": "no such command",
    "leaderboard export to --format robustbench --out nowhere": "no records under nowhere",
    "leaderboard export to --format csv": "'csv' is not one of",
    "leaderboard export to": "missing option '--format'",
    "leaderboard export --format robustbench": "missing argument",
    "leaderboard export '' --format robustbench": "must not be empty",
    "leaderboard external r.json --source x --robust-acc 58.4": "did you mean 0.584?",
    "leaderboard external r.json --source x --robust-acc 1/2": "must be a share from 0 to 1",
    "leaderboard external r.json --robust-acc 0.1": "missing option '--source'",
    "leaderboard external r.json --source x --robust-acc 0.1 --model simclr_at": "--certificate",
    "leaderboard external nowhere.json --source x --robust-acc 0.1": "cannot be read",
    "leaderboard add": "missing argument",
    "leaderboard add ''": "must not be empty",
    "leaderboard add nowhere.zip": "bundle nowhere.zip cannot be read: No such file",
    "leaderboard add .": "bundle . is a folder; clbench bundle RECORD makes one",
    "leaderboard add a.zip --level 3": "no such option",
    "leaderboard add a.zip --audit 0": "--audit must be",
    "leaderboard add a.zip --device tpu": "tpu",
    "leaderboard add a.zip --data a.npz --data-dir .": "--data-dir has no effect beside --data",
    "leaderboard add a.zip --data-dir nowhere": "--data-dir must be a folder that is there, got",
    "bundle": "missing argument",
    "bundle .": "is a folder; give",
    "bundle nowhere.json": "record nowhere.json lies in no folder called records",
    "bundle a.json --weights-url http://a/b": "weights_url must read like https://HOST/PATH, got",
    "verify a.json --data-dir nowhere": "--data-dir must be a folder that is there, got 'nowhere'",
    "eval simclr_at": "missing option '--model'; did you mean --model simclr_at?; see clbench eval",
    "eval simclr_at --out x --quiet": "missing option '--model'; did you mean --model simclr_at?",
    "eval --out x": "missing option '--model'; see clbench eval --help",
    "eval \x1b[31m": r"did you mean --model \x1b[31m?",
    "probe simclr_at": "no such command 'simclr_at'; did you mean --model simclr_at?",
    "probe findings results --out f": "missing option '--records'; did you mean --records results?",
    "leaderboard show results --format tex": "invalid value for '--format': 'tex' is not one of",
    "train simclr_at --out t --precision float16": "invalid value for '--precision': 'float16' is",
    "show": "missing argument",
    "show nowhere.json": "nowhere.json cannot be read",
    "show .": "is a folder; give one, such as results/records/.../NAME.json",
    f"show {5000 * 'x'}": "",
    f"clean {5000 * 'x'}": "",
    f"leaderboard check --out {5000 * 'x'}": "",
    "show 'a[/x].json'": "a[/x].json cannot be read",
    "clean nowhere": "there is no folder nowhere",
    "clean ''": "must not be empty",
    "probe": "give --model at least once",
    "probe --model simclr_at --estimator unbiased": "did you mean 'debiased'?",
    "probe --model simclr_at --attack-steps 0": "--attack-steps must be a whole number from 1 to",
    f"probe --model simclr_at --attack-steps {LONG}": "--attack-steps must be a whole number",
    "probe --model simclr_at --pooling spatial": "--pooling has no effect without --linear-probes",
    "probe --model simclr_at --download --data x.npz --eps 1/6": "--download has no effect beside",
    "probe --model simclr_at --norm l3 --eps x --seed -1": "norm must be one of",
    "probe --model simclr_at --data-dir .": "--data-dir has no effect on digits",
    "probe --model simclr_at --download": "--download has no effect on digits",
    "probe --model simclr_at --protocol cifar10-linf --data-dir x": "--data-dir must be a folder",
    "probe findings --records r --out f --compare --data-dir .": "has no effect on digits",
    "probe findings --records r --out f --data-dir .": "--data-dir has no effect without --comp",
    "layers simclr_at --data-dir .": "--data-dir has no effect on digits",
    "layers simclr_at --data-dir . --data x.npz": "--data-dir has no effect beside --data",
    "layers simclr_at --protocol cifar10-linf --data-dir nowhere": "got 'nowhere'; give that",
    "train simclr_at --out t --data-dir .": "or name other images with --dataset",
    "train simclr_at --out t --data x.npz --download": "--download has no effect on digits",
    "train simclr_at --out t --dataset cifar10 --data-dir nowhere": "or add --download",
    "probe findings": "missing option '--records'",
    "probe findings --records nowhere --out f": "no records under nowhere",
    "probe findings --records r --out f --compare --probe p": "--probe has no effect beside",
    "probe findings --records r --out f --data x.npz": "--data has no effect without --compare",
    f"train simclr_at --out t --seed {LONG}": "--seed must be a whole number",
    "train simclr_at --out ''": "--out must not be empty",
    "train simclr_at --out t --device gpu": "--device must be auto, cpu, cuda",
    "doctor --nope": "no such option",
    "models --jsn": "no such option",
    "attacks extra": "unexpected extra argument",
}


TABLES = {
    **{
        option: dict.fromkeys((*wrong, *NO_NUMBERS), said)
        for option, (said, *wrong) in NUMBERS.items()
    },
    "--eps": dict.fromkeys(NO_EPS, "eps must"),
    "--norm": dict.fromkeys(NO_NORM, "norm must be one of Linf, L2, L1"),
    "--attack": NO_ATTACK,
    "--protocol": NO_PROTOCOL,
    "--backend": NO_BACKEND,
    "--device": dict.fromkeys(NO_DEVICE, "--device must"),
}
BASE = ("eval", "--model", "simclr_at")

REFUSED = [
    *(
        ([*BASE, option, text], said if text else f"{option} must not be empty, got ''")
        for option, table in TABLES.items()
        for text, said in table.items()
    ),
    *((["eval", "--model", text], said) for text, said in NO_MODEL.items()),
    *(([*BASE, *shlex.split(text)], said) for text, said in TOGETHER.items()),
    *((shlex.split(text), said) for text, said in OTHERS.items()),
]


def name_of(case):
    return " ".join(case[0])[:60].encode("unicode_escape").decode() if case else ""


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
def test_a_line_that_cannot_be_is_refused_and_nothing_is_written(
    clbench, case, tmp_path, monkeypatch
):
    arguments, said = case
    monkeypatch.chdir(tmp_path)
    done = clbench(*arguments)
    assert done.status == 2
    assert said in done.err
    assert done.out == ""
    assert "\x1b" not in done.err
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    if "Usage:" not in said:
        assert all(line.startswith("clbench: ") for line in lines)
        assert all(len(line) < 900 for line in lines)
        assert len(lines) == 1 or "--norm l3" in " ".join(arguments)
    assert not list(tmp_path.rglob("*.json"))


def test_there_are_enough_of_them():
    assert len(REFUSED) + len(LISTS) + len(SHORT) >= 200


LISTS = (
    *("--version", "--help", "-h"),
    *(f"{command} --help" for command in ("eval", "probe", "probe findings", "doctor")),
    *(
        f"{command} -h"
        for command in ("show", "compare", "bundle", "models", "attacks", "protocols", "clean")
    ),
    *(
        f"leaderboard {command} --help"
        for command in ("add", "build", "check", "show", "upgrade", "export")
    ),
    *("models", "protocols", "attacks", "measures", "leaderboard --help"),
)


@pytest.mark.parametrize("line", LISTS)
def test_what_there_is_is_shown_within_eighty_columns(clbench, line):
    done = clbench(*shlex.split(line), columns=80)
    assert done.status == 0
    assert done.err == ""
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["models", "attacks", "protocols", "measures"])
def test_lists_are_json_for_machines(clbench, command):
    rows = json.loads(clbench(command, "--json").out)
    assert len(rows) > 3


SHORT = (
    "--norm linf",
    "--model SimCLR_AT.digits",
    "--norm LINF --eps 1/6",
    "--norm l2 --eps 1/2",
    "--norm L2 --eps .5",
    "--eps 0",
    "--eps 0.0313725490196078431372549",
    "--eps ' 8 / 255 '",
    "--attack PGD,n_iter=1",
    "--attack 'pgd,alpha=1/100,steps=1'",
    "--attack 'pgd,steps=1 + torchattacks:fgsm'",
    "--attack torchattacks:fgsm",
    "--protocol DIGITS-LINF",
    "--protocol mine.toml",
    "--seed 0",
    "--seed 4294967295",
    "--batch-size auto",
    "--batch-size 2147483647",
    "--batch-size 007",
    "--device cpu",
    "--backend NATIVE",
    "--precision bfloat16",
    "--precision auto",
    "--resume",
    "--restart --save-adversarial",
    "--eps 1/6 --eps 1/12",
    "--out 'r[/x]'",
    "--out a --out b",
    "--events 'e[bold].jsonl'",
    "--quiet",
    "--json",
    "--json --quiet",
)

MINE = """
about = "a few digits"
dataset = "digits"
norm = "Linf"
eps = "1/6"
attack = "pgd,steps=1"
n_examples = 4
seed = 3
"""


@pytest.mark.parametrize("line", SHORT)
def test_a_line_that_can_be_is_run(clbench, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MINE)
    fast = ["--n-examples", "4", "--no-probe"]
    fast += [] if "--attack" in line else ["--attack", "pgd,steps=1"]
    fast += [] if "--model" in line else ["--model", "simclr_at.digits"]
    done = clbench("eval", *shlex.split(line), *fast)
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    assert len(list(tmp_path.rglob("records/**/*.json"))) == 1 + line.count("--eps 1/12")
    if "--json" in line:
        assert json.loads(done.out)["data"]["n"] == 4
    elif "--quiet" in line:
        assert done.out == ""
    else:
        assert "robust" in done.out
