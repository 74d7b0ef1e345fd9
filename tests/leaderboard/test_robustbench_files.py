"""RobustBench's ``model_info``: read, written, and taken by its own leaderboard."""

import json
from dataclasses import replace
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.leaderboard.export.about import About, Paper, read_about
from clbench.leaderboard.export.model_info import FIELDS, REQUIRED, ModelInfo, read_model_info
from clbench.leaderboard.export.robustbench import TABLES, export
from clbench.schema.errors import BadValueError, RecordError, UnknownNameError
from clbench.schema.records import AttackEntry, DataEntry, External, ThreatEntry

PUBLISHED: dict[str, Any] = {
    "link": "https://arxiv.org/abs/2404.00001",
    "name": "Robustness é and more",
    "authors": "A. Müller, B",
    "additional_data": False,
    "number_forward_passes": 1,
    "dataset": "cifar10",
    "venue": "GitHub,<br>Oct 2019",
    "architecture": "WideResNet-28-10",
    "eps": "8/255",
    "clean_acc": "93.68",
    "reported": "73.71",
    "autoattack_acc": "73.71",
}
"""As one of theirs looks."""

texts = st.text(max_size=12)
percents = st.decimals(0, 100, places=2).map(str)
values = {
    name: st.one_of(
        *(
            {
                str: percents if name.endswith("_acc") or name in ("external",) else texts,
                bool: st.booleans(),
                int: st.integers(1, 9),
                type(None): st.none(),
            }[kind]
            for kind in kinds
        )
    )
    for name, kinds in FIELDS.items()
}
values |= dict.fromkeys(("corruptions_acc", "corruptions_acc_3d"), percents)


@st.composite
def files(draw):
    """Fields in any order, each that may be left out there or not, and the file of them."""
    optional = [name for name in FIELDS if name not in REQUIRED and draw(st.booleans())]
    order = draw(st.permutations([*REQUIRED, *optional]))
    fields = {name: draw(values[name]) for name in order}
    indent = draw(st.sampled_from([None, 2, 4]))
    ascii_only = draw(st.booleans())
    text = json.dumps(fields, indent=indent, ensure_ascii=ascii_only)
    return fields, (text + draw(st.sampled_from(["", "\n", "\n\n"]))).encode()


@given(files())
def test_what_is_read_is_written_back_equal(tmp_path_factory, made):
    fields, content = made
    path = tmp_path_factory.mktemp("info") / "x.json"
    path.write_bytes(content)
    back = read_model_info(path).to_bytes()
    assert list(json.loads(back).items()) == list(fields.items())
    path.write_bytes(back)
    assert read_model_info(path).to_bytes() == back


def test_a_file_laid_out_as_most_of_theirs_is_written_back_to_the_byte(tmp_path):
    content = f"{json.dumps(PUBLISHED, indent=2)}\n".encode()
    (tmp_path / "x.json").write_bytes(content)
    assert read_model_info(tmp_path / "x.json").to_bytes() == content


def test_a_field_that_is_there_twice_has_its_last_value_as_robustbench_reads_it(tmp_path):
    text = json.dumps(PUBLISHED)[:-1] + ', "autoattack_acc": "70.00"}'
    (tmp_path / "x.json").write_text(text)
    assert read_model_info(tmp_path / "x.json").share("autoattack_acc") == 0.7


def test_a_field_of_a_later_version_stays(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(PUBLISHED | {"carbon": {"kg": 3}}))
    assert json.loads(read_model_info(tmp_path / "x.json").to_bytes())["carbon"] == {"kg": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clean_acc": 93.68}, "clean_acc must be str, got 93.68"),
        ({"clean_acc": "ninety"}, "clean_acc must be a percentage, got 'ninety'"),
        ({"clean_acc": "nan"}, "clean_acc must be a percentage, got 'nan'"),
        ({"autoattack_acc": "100.01"}, "autoattack_acc must be a percentage"),
        ({"external": "-1"}, "external must be a percentage"),
        ({"number_forward_passes": True}, "number_forward_passes must be int, got True"),
        ({"number_forward_passes": "1"}, "number_forward_passes must be int, got '1'"),
        ({"additional_data": 0}, "additional_data must be bool, got 0"),
        ({"additional_data": None}, "additional_data must be bool, got None"),
        ({"eps": 0.031}, "eps must be str or NoneType, got 0.031"),
        ({"unreliable": "false"}, "unreliable must be bool, got 'false'"),
        ({"footnote": []}, "footnote must be str or NoneType"),
    ],
)
def test_a_file_of_other_types_is_refused_by_name(tmp_path, changes, message):
    (tmp_path / "x.json").write_text(json.dumps(PUBLISHED | changes))
    with pytest.raises(RecordError, match=rf"^model_info .*x.json is none: {message}"):
        read_model_info(tmp_path / "x.json")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_field_is_named(name):
    with pytest.raises(BadValueError, match=f"^it lacks {name}$"):
        ModelInfo({key: value for key, value in PUBLISHED.items() if key != name})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"3", b"[" * 100_000, b"<html>"])
def test_what_is_no_table_of_json_is_one_line(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"^model_info .*x.json is (cut off|none)"):
        read_model_info(tmp_path / "x.json")


# out

NOTHING = About()


@pytest.fixture
def made(make_record, tmp_path):
    """Return a function that exports one record, and what was left out."""

    def run(*records, about=NOTHING):
        written = export(records or (make_record(n=10_000, right=5848),), about, tmp_path)
        return {name: json.loads(content) for name, content in written.files.items()}, written

    return run


def test_a_record_becomes_an_entry(made):
    files, written = made()
    assert not written.left_out
    assert files == {
        "cifar10/Linf/simclr_at.json": {
            "link": "",
            "name": "simclr_at",
            "authors": "",
            "additional_data": False,
            "number_forward_passes": 1,
            "dataset": "cifar10",
            "venue": "",
            "architecture": "resnet18",
            "eps": "8/255",
            "clean_acc": "0.90",
            "reported": "",
            "autoattack_acc": "58.48",
            "unreliable": False,
        }
    }


@pytest.mark.parametrize(("dataset", "norm"), TABLES)
def test_every_table_has_its_own_eps_and_folder(made, make_record, dataset, norm):
    eps, n = TABLES[dataset, norm]
    record = make_record(n=n, right=1, eps=eps)
    record = replace(
        record, data=DataEntry(dataset, n, "d" * 64), threat_model=ThreatEntry(norm, eps)
    )
    files, _ = made(record)
    (content,) = files.values()
    assert list(files) == [f"{dataset}/{norm}/simclr_at.json"]
    assert (content["eps"], content["dataset"]) == (eps, dataset)


def test_the_same_eps_in_another_spelling_is_theirs(made, make_record):
    record = replace(make_record(n=10_000), threat_model=ThreatEntry("L2", "1/2"))
    files, _ = made(record)
    assert files["cifar10/L2/simclr_at.json"]["eps"] == "0.5"


def test_fewer_images_are_told_in_a_footnote(made, make_record):
    files, _ = made(make_record(n=512, right=82))
    told = files["cifar10/Linf/simclr_at.json"]["footnote"]
    assert told == "On 512 of 10000 test images: 95% interval from 13.09% to 19.44%."


def test_an_external_accuracy_is_theirs_too_and_flags_go_along(made, make_record):
    record = replace(make_record(n=10_000), external=External(0.0058, "X"), unreliable=True)
    files, _ = made(record)
    entry = files["cifar10/Linf/simclr_at.json"]
    assert (entry["external"], entry["unreliable"]) == ("0.58", True)
    ModelInfo(entry)


def attacked_by(record, name):
    attack = record.attack
    return replace(record, attack=AttackEntry(name, attack.backend, attack.parameters, attack.hash))


LEFT_OUT = {
    "digits": (
        lambda r: replace(r, data=DataEntry("digits", 100, "d" * 64)),
        "RobustBench has no data set digits, but cifar10, cifar100, imagenet",
    ),
    "a user's file": (
        lambda r: replace(r, data=DataEntry("images.npz", 100, "d" * 64)),
        "RobustBench has no data set images.npz",
    ),
    "L1": (
        lambda r: replace(r, threat_model=ThreatEntry("L1", "12")),
        "RobustBench has no name for L1; its threat models are Linf, L2",
    ),
    "no table": (
        lambda r: replace(
            r, data=DataEntry("cifar100", 9, "d" * 64), threat_model=ThreatEntry("L2", "1/2")
        ),
        "RobustBench has no leaderboard of cifar100 in L2",
    ),
    "another eps": (
        lambda r: replace(r, threat_model=ThreatEntry("Linf", "4/255")),
        "RobustBench's leaderboard of cifar10 in Linf is at eps 8/255",
    ),
    "0.031": (
        lambda r: replace(r, threat_model=ThreatEntry("Linf", "0.031")),
        "RobustBench's leaderboard of cifar10 in Linf is at eps 8/255",
    ),
    **{
        name: (
            lambda r, name=name: attacked_by(r, name),
            "RobustBench's leaderboards hold robust accuracies under autoattack",
        )
        for name in ("pgd", "fast", "best", "autoattack-plus", "autoattack-rand", "apgd-ce")
    },
    "no attack": (lambda r: replace(r, attack=None, threat_model=None), "nothing was attacked"),
    "too many images": (
        lambda r: replace(r, data=DataEntry("cifar10", 10_001, "d" * 64)),
        "RobustBench evaluates 10000 images, not 10001",
    ),
    "unknown training data": (
        lambda r: replace(r, model=replace(r.model, name="net.py:make", source="net.py")),
        'tell it with --about FILE: [models."net.py:make"] additional_data = true or false',
    ),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_has_no_place_there_is_left_out_with_the_reason(made, make_record, case):
    change, reason = LEFT_OUT[case]
    files, written = made(change(make_record()))
    assert not files
    (line,) = written.left_out
    assert reason in line


def test_of_two_records_of_a_model_the_larger_then_the_lower_is_taken(made, make_record):
    few, many, low = make_record(n=90), make_record(n=100), make_record(n=100, right=55, seed=1)
    files, written = made(few, many, low)
    assert files["cifar10/Linf/simclr_at.json"]["autoattack_acc"] == "55.00"
    assert len(written.left_out) == 2


def test_papers_come_from_a_file(tmp_path, made, make_record):
    (tmp_path / "about.toml").write_text(
        """
organization = "ours"
[models.simclr_at]
link = "https://arxiv.org/abs/2302.02502"
name = "Robustness <of> contrastive & others"
additional_data = true
reported = "58.4"
number_forward_passes = 2
architecture = "ResNet-18"
"""
    )
    about = read_about(tmp_path / "about.toml", ["simclr_at"])
    files, _ = made(make_record(n=10_000), about=about)
    entry = files["cifar10/Linf/simclr_at.json"]
    assert entry["name"] == "Robustness &lt;of&gt; contrastive &amp; others"
    assert (entry["additional_data"], entry["number_forward_passes"]) == (True, 2)
    assert (entry["reported"], entry["architecture"]) == ("58.4", "ResNet-18")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[models.simclr_att]\nlink = ""', "did you mean 'simclr_at'"),
        ('[models.simclr_at]\nlnk = ""', "lnk"),
        ("[models.simclr_at]\nadditional_data = 1", "additional_data"),
        ('[models.simclr_at]\nlink = "javascript:alert(1)"', "link must be an address"),
        ('[models.simclr_at]\nlink = "https://a\\"><script>"', "link must be an address"),
        ('[models.simclr_at]\nreported = "58 %"', "reported must be in percent"),
        ("[models.simclr_at]\nnumber_forward_passes = 0", "must be from 1 up, got 0"),
        ('relationship = "friend"', "relationship"),
        ("[models", "is no TOML"),
    ],
)
def test_a_wrong_file_of_papers_is_one_line(tmp_path, text, message):
    (tmp_path / "about.toml").write_text(text)
    with pytest.raises((BadValueError, UnknownNameError), match=message) as told:
        read_about(tmp_path / "about.toml", ["simclr_at"])
    assert "\n" not in str(told.value)


# RobustBench's own code

PAGE = """{% for m in models %}{{ loop.index }} {{ m.name }} {{ m.clean_acc }} {{ m[acc_field] }}
{{ m.external if m.external is defined else "" }} {{ m.unreliable }} {{ m.additional_data }}
{{ m.architecture }} {{ m.venue }} {{ m.link }} {{ m.footnote }}
{% endfor %}"""
"""Asks of an entry what its page does; the wheel lacks the page."""


@pytest.fixture
def generate(monkeypatch):
    """RobustBench's generator of leaderboards."""
    from clbench.interop import robustbench as interop

    assert interop.benchmark
    from robustbench.leaderboard import template

    loader = jinja2.DictLoader({"leaderboard.html.j2": PAGE})
    monkeypatch.setattr(template, "PackageLoader", lambda *_: loader)
    return template.generate_leaderboard


def test_robustbench_makes_its_leaderboard_of_our_files(generate, make_record, tmp_path):
    low = replace(make_record("b", n=10_000, right=6000), external=External(0.5, "X"))
    records = [make_record("a", n=10_000, right=5500), low, make_record("<i>", n=10_000, right=1)]
    for name, content in export(records, About(), tmp_path).files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    page = generate("cifar10", "Linf", str(tmp_path))
    rows = [line.split() for line in page.splitlines() if line[:1].isdigit()]
    assert [row[1] for row in rows if len(row) == 4] == ["a", "b", "&lt;i&gt;"]
    assert "<i>" not in page


def test_every_paper_field_is_one_of_theirs():
    assert set(vars(Paper())) <= set(FIELDS)
