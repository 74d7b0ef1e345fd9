import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clbench.leaderboard import table
from clbench.schema.errors import RecordError
from clbench.schema.estimate import proportion, undefined
from clbench.schema.files import write_atomically
from clbench.schema.records import run_paths, write_record


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
        "rank,model,scheme,scenario,backbone,dataset,norm,eps,n_examples,"
        "clean_acc,clean_acc_low,clean_acc_high,robust_acc,robust_acc_low,robust_acc_high,"
        "attack,attack_backend,attack_hash,acc_after_apgd-ce,acc_after_square,"
        "cka_stem,cka_stage1,cka_stage2,cka_stage3,cka_stage4,cka_pool,cka_logits,cka_mean,"
        "probe_stage4_clean,unreliable,flags,seed,weights_sha256,data_sha256,"
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
    records.append(replace(make_record("d"), flags=("zero_gradient", "softmax_output")))
    assert table.render(records) == golden.read_bytes()
