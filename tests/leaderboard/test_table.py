import csv
import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from clbench.leaderboard import table
from clbench.schema.errors import RecordError
from clbench.schema.estimate import proportion, undefined
from clbench.schema.files import write_atomically
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import run_paths, write_record
from clbench.schema.records import DataEntry, ThreatEntry


@pytest.fixture
def folder(tmp_path):
    def fill(*records):
        for record in records:
            write_record(record, run_paths(tmp_path, record.run).record)
        return tmp_path

    return fill


def read_back(records):
    return pd.read_csv(io.BytesIO(table.render(records)))


def test_columns_stand_in_the_order_of_the_contract(make_record):
    extra = make_record(measures=(*make_record().measures, proportion("probe_stage4_clean", 1, 2)))
    header = (
        "rank,rank_low,rank_high,model,scheme,scenario,backbone,dataset,norm,eps,eps_value,n_examples,"
        "clean_acc,clean_acc_low,clean_acc_high,robust_acc,robust_acc_low,robust_acc_high,"
        "attack,attack_backend,attack_hash,acc_after_apgd-ce,acc_after_square,"
        "cka_stem,cka_stage1,cka_stage2,cka_stage3,cka_stage4,cka_pool,cka_logits,cka_mean,"
        "probe_stage4_clean,unreliable,flags,seed,n_seeds,weights_sha256,data_sha256,"
        "clbench_version,commit,created,device,wall_s"
    )
    assert ",".join(table.columns([extra])) == header


def test_models_are_ranked_by_robust_accuracy(make_record):
    board = read_back([make_record("a", right=50), make_record("b", right=70)])
    assert list(zip(board["rank"], board["model"], strict=True)) == [(1, "b"), (2, "a")]


def test_equal_robust_accuracy_shares_a_rank(make_record):
    board = read_back(
        [make_record(name, right=right) for name, right in zip("abc", (5, 7, 7), strict=True)]
    )
    assert list(board["rank"]) == [1, 1, 3]


@pytest.mark.parametrize("change", [{"eps": "4/255"}, {"attack_hash": "b" * 12}])
def test_other_settings_are_never_ranked_together(make_record, change):
    board = read_back([make_record("a", right=50), make_record("b", right=70, **change)])
    assert list(board["rank"]) == [1, 1]


def test_eps_is_sorted_as_a_number(make_record):
    board = read_back([make_record(eps="16/255"), make_record(eps="8/255"), make_record(eps="1/2")])
    assert list(board["eps"]) == ["8/255", "16/255", "1/2"]


def test_the_count_can_be_recovered_from_an_accuracy(make_record):
    board = read_back([make_record(right=3333, n=9999)])
    assert round(board["robust_acc"][0] * 9999) == 3333


def test_an_undefined_measure_is_an_empty_cell(make_record):
    missing = undefined("cka_pool", 3, "fewer than 4 examples")
    board = read_back([make_record(measures=(*make_record().measures, missing))])
    assert board["cka_pool"].isna().all()


def test_the_same_records_give_the_same_bytes_in_any_order(make_record):
    records = [
        make_record(name, right=right) for name, right in zip("abcd", (5, 7, 7, 9), strict=True)
    ]
    assert table.render(records) == table.render(records[::-1])


def test_records_without_an_attack_have_a_row_without_a_rank(make_record):
    corrupted = replace(
        make_record("b"),
        threat_model=None,
        attack=None,
        measures=(proportion("clean_acc", 90, 100),),
    )
    board = read_back([make_record("a"), corrupted])
    assert list(board["model"]) == ["b", "a"]
    assert board["rank"].isna().tolist() == [True, False]
    assert board["robust_acc"].isna().tolist() == [True, False]


def test_a_damaged_record_leaves_the_csv_as_it_was(folder, make_record):
    out = folder(make_record("a"))
    before = table.build(out).read_bytes()
    folder(make_record("b"))
    write_atomically(out / "records" / "cifar10" / "Linf" / "c.json", b'{"schema_version": 1')
    with pytest.raises(RecordError, match=r"^record .*c.json is cut off"):
        table.build(out)
    assert (out / table.CSV_NAME).read_bytes() == before


def test_a_folder_without_records_is_named(tmp_path):
    with pytest.raises(
        RecordError, match=r"^no records under .*; run clbench eval --out .* first$"
    ):
        table.build(tmp_path)


def test_a_golden_record_gives_a_golden_csv(make_record):
    golden = Path(__file__).parents[1] / "golden" / "leaderboard.csv"
    records = [make_record("a"), make_record("b", right=70), make_record("c", eps="4/255")]
    records.append(
        replace(
            make_record("d"),
            flags=(RaisedFlag("zero_gradient", 3.0, 0.0), RaisedFlag("softmax_output")),
        )
    )
    assert table.render(records) == golden.read_bytes()


@pytest.mark.parametrize(
    ("changes", "ranks"),
    [
        ({}, [1, 2]),
        ({"seed": 7}, [1, 2]),
        ({"data": DataEntry("other.npz", 100, "d" * 64)}, [1, 2]),  # the same images
        ({"threat_model": ThreatEntry("Linf", "16/510")}, [1, 2]),  # the same number
        ({"data": DataEntry("cifar10", 100, "0" * 64)}, [1, 1]),
        ({"data": DataEntry("cifar10", 99, "d" * 64)}, [1, 1]),
        ({"threat_model": ThreatEntry("L2", "8/255")}, [1, 1]),
        ({"threat_model": ThreatEntry("Linf", "9/255")}, [1, 1]),
        ({"threat_model": ThreatEntry("Linf", "8.0000001/255")}, [1, 1]),
    ],
)
def test_rows_are_ranked_where_images_threat_model_and_attack_agree(make_record, changes, ranks):
    rows = [make_record("a", right=70), make_record("b", right=50, **changes)]
    assert sorted(read_back(rows)["rank"]) == ranks


@pytest.mark.parametrize(
    "hashed",
    ["53e700426816", "009210165438", "123456789012", "1e5", "0x1234567890", "inf", "nan", "1_000"],
)
def test_the_hash_of_an_attack_is_read_back_as_it_was_written(make_record, hashed):
    board = read_back([make_record(attack_hash=hashed)])
    assert board["attack_hash"][0] == f"h:{hashed}"


@pytest.mark.parametrize("eps", ["8/255", "1", "12", "0", "0.00000012345", "1/3"])
def test_eps_stands_as_a_number_too(make_record, eps):
    board = read_back([make_record(threat_model=ThreatEntry("L1", eps))])
    assert board["eps_value"][0] == float(Fraction(eps))


HOSTILE = {
    "=1+1.py:make": "'=1+1.py:make",
    "+1": "'+1",
    "-1+2": "'-1+2",
    "@SUM(A1)": "'@SUM(A1)",
    "  =1+1": "'  =1+1",
    "\u00a0=1": "'\u00a0=1",
    "\uff1d1+1": "'\uff1d1+1",  # read as an equals sign in some languages
    "\t=1+1": r"\t=1+1",
    "\r=1+1": r"\r=1+1",
    "a\nb": r"a\nb",
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\u2066x\u2069": r"\u2066x\u2069",
    "zero\u200bwidth": r"zero\u200bwidth",
    "half\udcff": r"half\udcff",
    "\x00": r"\x00",
    "a,b": "a,b",
    'a"b': 'a"b',
    "[bold]a[/x]": "[bold]a[/x]",
    "é 網路": "é 網路",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_text_of_others_is_text_in_the_csv(make_record, name):
    record = make_record(name)
    changed = replace(
        record,
        model=replace(record.model, backbone=name, scheme=name),
        data=replace(record.data, name=name),
        attack=replace(record.attack, name=name, parameters={name: {}}),
        measures=(*record.measures, proportion(name, 1, 2)),
        flags=(RaisedFlag(name),),
        device=name,
        versions={"clbench": name},
    )
    data = table.render([changed])
    lines = data.decode().splitlines()
    assert len(lines) == 2
    header, cells = csv.reader(lines)
    row = dict(zip(header, cells, strict=True))
    for column in ("model", "scheme", "backbone", "dataset", "attack", "flags", "device"):
        assert row[column] == HOSTILE[name]
    assert HOSTILE[name] in header
    texts = [*header, *(cell for cell in cells if not is_number(cell))]
    assert not [one for one in texts if one.lstrip().startswith(tuple("=+-@\uff1d"))]
    assert data.decode().replace("\n", "").isprintable() or "\u00a0" in name


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
