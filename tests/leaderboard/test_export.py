"""Records as files of Every Eval Ever and of the Hugging Face Hub, against what these publish."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from huggingface_hub import ModelCard

from clbench.leaderboard.export.about import About
from clbench.leaderboard.export.write import FORMATS, export
from clbench.schema.errors import RecordError, StorageError, UnknownNameError
from clbench.schema.files import sha256_of
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import evidence_of, read_record, write_record
from clbench.schema.records import External, ModelEntry, ThreatEntry

NOTHING = About()
HERE = Path(__file__).parent / "every_eval_ever"
PATH = re.compile(
    r"data/clbench/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


def validator(name):
    schema = json.loads((HERE / name).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


AGGREGATE = validator("eval.schema.json")
SAMPLES = validator("instance_level_eval.schema.json")

MODELS = {
    "packaged": ModelEntry("simclr_at", "simclr", "at", "r", "cifar10", "f" * 64, "package"),
    "timm": ModelEntry("timm:resnet18", "", "", "r", "", "f" * 64, "timm 1.0.9"),
    "robustbench": ModelEntry("robustbench:Wong2020Fast", "", "", "r", "", "f" * 64, "rb"),
    "corruptions": ModelEntry("robustbench:corruptions/A", "", "", "r", "", "f" * 64, "rb"),
    "a file": ModelEntry("net.py:make", "", "", "Net", "", "f" * 64, "net.py"),
    "reserved": ModelEntry("data", "", "", "Net", "", "f" * 64, "net.py"),
    "reserved by others": ModelEntry("con.x", "", "", "Net", "", "f" * 64, "net.py"),
    "hostile": ModelEntry("../../x\n---\n# <b>", "", "", "N\x1b[31m", "", "f" * 64, "---"),
    "empty": ModelEntry("...", "", "", "", "", "f" * 64, ""),
    "long": ModelEntry("x" * 500, "", "", "", "", "f" * 64, ""),
    "of other letters": ModelEntry("网络: é", "", "", "", "", "f" * 64, ""),
}
OTHERS = {
    "in L1": {"threat_model": ThreatEntry("L1", "12")},
    "by a better attack": {"external": External(0.2, "https://x")},
    "with a flag": {"flags": (RaisedFlag("upper_bound"), RaisedFlag("zero_gradient"))},
}


@pytest.fixture
def to(tmp_path):
    return tmp_path / "to"


def written(done):
    return {path: path.read_bytes() for path in done.paths}


@pytest.mark.parametrize("changes", [{"model": m} for m in MODELS.values()] + list(OTHERS.values()))
def test_every_file_is_as_every_eval_ever_publishes_its_schema(put, tmp_path, to, changes):
    record = read_record(put(**changes))
    done = export(to, form="every-eval-ever", out=tmp_path)
    samples, aggregate = (path.relative_to(to).as_posix() for path in done.paths)
    assert PATH.fullmatch(aggregate.removesuffix(".json"))
    assert samples == aggregate.removesuffix(".json") + "_samples.jsonl"
    table = json.loads((to / aggregate).read_bytes())
    AGGREGATE.validate(table)
    _, _, owner, folder, _ = aggregate.split("/")
    assert table["model_info"]["id"] == f"{owner}/{folder}"
    assert folder not in {"data", "con.x"}
    detail = table["detailed_evaluation_results"]
    assert detail["file_path"] == samples
    assert detail["checksum"] == sha256_of((to / samples).read_bytes())
    rows = [json.loads(line) for line in (to / samples).read_text().splitlines()]
    assert len(rows) == detail["total_rows"] == 80
    for row in rows:
        SAMPLES.validate(row)
    ids = {one["evaluation_result_id"] for one in table["evaluation_results"]}
    assert {row["evaluation_result_id"] for row in rows} == ids
    for one in table["evaluation_results"]:
        found = record.measure(one["metric_config"]["metric_id"])
        right = [
            row["evaluation"]["is_correct"]
            for row in rows
            if row["evaluation_result_id"] == one["evaluation_result_id"]
        ]
        assert one["score_details"]["score"] == found.value == sum(right) / 40
        low, high = (
            one["score_details"]["uncertainty"]["confidence_interval"][bound]
            for bound in ("lower", "upper")
        )
        assert (low, high) == (found.low, found.high)


def test_what_an_attack_was_is_in_the_metric(put, tmp_path, to):
    put(external=External(0.2, "https://x"))
    done = export(to, form="every-eval-ever", out=tmp_path)
    robust = json.loads(done.paths[1].read_bytes())["evaluation_results"][1]
    parameters = robust["metric_config"]["metric_parameters"]
    assert (parameters["norm"], parameters["eps"]) == ("Linf", "8/255")
    assert parameters["attack"] == "autoattack"
    details = robust["score_details"]["details"]
    assert (details["external_robust_acc"], details["external_source"]) == ("0.2", "https://x")


def test_evidence_of_another_record_is_refused(put, tmp_path, to):
    path = put()
    evidence_of(path, tmp_path).write_bytes(b"x")
    with pytest.raises(RecordError, match="is not the one that its record names"):
        export(to, form="every-eval-ever", out=tmp_path)
    assert not to.exists()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_hubs_reader_reads_what_was_written(put, tmp_path, to, model):
    path = put(model=model)
    put(model=model, threat_model=ThreatEntry("L2", "1/2"))
    record = read_record(path)
    (card,) = export(to, form="hf-model-index", out=tmp_path).paths
    found = ModelCard.load(card).data.eval_results
    assert [one.metric_name for one in found] == [
        "clean accuracy",
        "robust accuracy (autoattack in L2 1/2)",
        "robust accuracy (autoattack in Linf 8/255)",
    ]
    robust = record.measure("robust_acc")
    assert found[2].metric_value == robust.value
    assert found[2].metric_args["low"] == robust.low
    assert found[2].metric_args["attack_hash"] == record.attack.hash
    assert found[2].metric_args["flags"] == "square_improves"
    assert found[0].dataset_args == {"n_examples": 40, "sha256": record.data.sha256}
    assert {one.task_type for one in found} == {"image-classification"}


def test_a_card_has_the_best_known_accuracy_too(put, tmp_path, to):
    put(external=External(0.2, "https://x"))
    (card,) = export(to, form="hf-model-index", out=tmp_path).paths
    last = ModelCard.load(card).data.eval_results[-1]
    assert (last.metric_name, last.metric_value) == ("robust accuracy (best known)", 0.2)
    assert last.metric_args["source"] == "https://x"


def test_networks_that_would_share_a_file_have_cards_of_their_own(put, tmp_path, to):
    for name, weights in (("a/b", "1"), ("a_b", "1"), ("a_b", "2"), ("c", "1")):
        put(model=replace(MODELS["a file"], name=name, weights_sha256=weights * 64))
    cards = export(to, form="hf-model-index", out=tmp_path).paths
    assert len({card.parent.name for card in cards}) == 4
    assert sorted(ModelCard.load(card).data.model_name for card in cards) == [
        "a/b",
        "a_b",
        "a_b",
        "c",
    ]


def test_a_card_is_metadata_that_any_reader_of_yaml_reads(put, tmp_path, to):
    put(model=MODELS["hostile"])
    (card,) = export(to, form="hf-model-index", out=tmp_path).paths
    metadata = card.read_text().removeprefix("---\n").partition("\n---\n")[0]
    assert yaml.safe_load(metadata)["model-index"][0]["name"] == "../../x\\n---\\n# <b>"


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_records_give_the_same_bytes(put, tmp_path, to, form):
    for name in ("b", "a", "c"):
        put(name)
    first = written(export(to, form=form, out=tmp_path))
    assert written(export(to, form=form, out=tmp_path)) == first
    assert len(first) == {"every-eval-ever": 6}.get(form, 3)


@pytest.mark.parametrize("form", FORMATS)
def test_what_somebody_added_to_a_file_is_not_lost(put, tmp_path, to, form):
    put()
    path = export(to, form=form, out=tmp_path).paths[-1]
    path.write_bytes(path.read_bytes() + b" ")
    before = written(export(to.with_name("other"), form=form, out=tmp_path))
    with pytest.raises(StorageError, match=r"is there and is another; move it away, or choose"):
        export(to, form=form, out=tmp_path)
    assert path.read_bytes().endswith(b" ")
    assert before


@pytest.mark.parametrize("form", FORMATS)
def test_no_file_leaves_the_folder(put, tmp_path, to, form):
    put(model=MODELS["hostile"])
    if form == "robustbench":  # nobody knows what it was trained on
        with pytest.raises(RecordError, match=r"no record under .* has a place in robustbench: "):
            export(to, form=form, out=tmp_path)
        return
    for path in export(to, form=form, out=tmp_path).paths:
        assert path.resolve().is_relative_to(to.resolve())


def test_a_folder_without_records_and_an_unknown_format_are_one_line(tmp_path, to):
    with pytest.raises(RecordError, match=r"^no records under"):
        export(to, form="robustbench", out=tmp_path)
    with pytest.raises(UnknownNameError, match="unknown format 'robustbnch'; did you mean 'robust"):
        export(to, form="robustbnch", out=tmp_path)


def test_a_record_of_version_1_goes_without_samples(put, tmp_path, to):
    path = put()
    write_record(replace(read_record(path), schema_version=1, evidence_sha256=""), path)
    evidence_of(path, tmp_path).unlink()
    (aggregate,) = export(to, form="every-eval-ever", out=tmp_path).paths
    assert list(AGGREGATE.iter_errors(json.loads(aggregate.read_bytes()))) == []


HOSTILE = (
    "",
    "\udcff",
    "\x1b]0;x\x07\n---\n",
    "</script>",
    "=1+1",
    "a" * 10_000,
    "../..",
    "\u202e",
)


def hostile(record, text):
    """Yield a record with this text in each place that others wrote."""
    attack, model, data = record.attack, record.model, record.data
    yield replace(record, attack=replace(attack, name=text))
    yield replace(record, attack=replace(attack, hash=text, backend=text))
    yield replace(record, model=replace(model, name=text, source=text, backbone=text, tag=text))
    yield replace(record, data=replace(data, name=text))
    yield replace(record, data=replace(data, sha256=text))
    yield replace(record, flags=(RaisedFlag(text), RaisedFlag(text)), created=text)
    yield replace(record, versions={text: text}, commit=text, protocol=text, device=text)
    yield replace(record, external=External(0.1, f"x{text}"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_others_wrote_is_text_or_one_line(put, tmp_path, form, text):
    record = replace(read_record(put()), schema_version=1, evidence_sha256="")
    count = 0
    for one in hostile(record, text):
        try:
            written = FORMATS[form]([one], NOTHING, tmp_path / "none")
        except RecordError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most of them are written
            continue
        for name, content in written.files.items():
            assert (tmp_path / name).resolve().is_relative_to(tmp_path)
            content.decode()
            count += 1
        assert all("\n" not in line and "\x1b" not in line for line in written.left_out)
    assert count


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 400.0])
@pytest.mark.parametrize("name", ["clean_acc", "robust_acc"])
def test_what_no_run_measures_is_never_written(put, tmp_path, form, value, name):
    record = replace(read_record(put()), schema_version=1, evidence_sha256="")
    changed = [replace(one, value=value) if one.name == name else one for one in record.measures]
    written = FORMATS[form]([replace(record, measures=tuple(changed))], NOTHING, tmp_path / "none")
    for content in written.files.values():
        assert b"NaN" not in content
        assert b"Infinity" not in content
    if form == "robustbench":
        assert not written.files
        assert len(written.left_out) == 1
