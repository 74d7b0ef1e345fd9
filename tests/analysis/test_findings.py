import json
import math
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest

from clbench.analysis.claims import CLAIMS
from clbench.analysis.findings import FAILS, HOLDS, NOT_TESTABLE, UNDECIDED, find, verdict
from clbench.analysis.inputs import FindingInputs, comparable
from clbench.analysis.report import FINDING_COLUMNS, write_findings
from clbench.analysis.store import load, save
from clbench.schema import record_files as records
from clbench.schema.errors import RecordError, UnknownNameError
from clbench.schema.estimate import Estimate, undefined

TRAINED = ("simclr_at", "simclr_full_at", "supcon_at", "supervised_at")
MODELS = ("simclr_st", *TRAINED, "supcon_st", "supervised_st")


def paper(comparison, rows, columns):
    """Return similarities as the paper tells them: adversarial training raises all but one."""
    robust = rows in TRAINED and columns in TRAINED
    if comparison == "clean-clean" and rows == "simclr_full_at":
        return 0.4
    if comparison == "adversarial-clean" and robust:
        return (0.9, 0.92, 0.9, 0.9)[TRAINED.index(rows)]
    return 0.9 if robust else 0.5


@pytest.fixture
def inputs(make_analysis, make_records):
    """Return a factory of what findings are made from: by default, a world as in the paper."""

    def make(names=MODELS, value=paper, trained_at=None, compared=True, **options):
        analysis = make_analysis(names, value, **options)
        right = {name: 60 + i if name in TRAINED else i for i, name in enumerate(names)}
        cka = {name: value("adversarial-clean", name, name) for name in names}
        known = comparable(make_records(right, cka))
        models = analysis.record.models
        return FindingInputs(models, known, analysis if compared else None, trained_at or {})

    return make


def of(found, claim):
    return [finding for finding in found if finding.claim == claim]


@pytest.mark.parametrize(
    ("low", "high", "sign", "expected"),
    [
        (0.1, 0.3, 1, HOLDS),
        (0.1, 0.3, -1, FAILS),
        (-0.3, -0.1, 1, FAILS),
        (-0.3, -0.1, -1, HOLDS),
        (-0.1, 0.3, 1, UNDECIDED),
        (-0.1, 0.3, -1, UNDECIDED),
        (0.0, 0.3, 1, UNDECIDED),
        (math.nan, math.nan, 1, NOT_TESTABLE),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_claimed_sign(low, high, sign, expected):
    assert verdict(Estimate("cka", (low + high) / 2, 100, low, high), sign) == expected


def test_without_a_value_nothing_is_tested():
    assert verdict(undefined("cka", 100, "features do not vary"), 1) == NOT_TESTABLE
    assert verdict(Estimate("cka", 0.5, 100, math.nan, math.nan, "one group"), 1) == NOT_TESTABLE


def test_every_claim_is_told_with_an_effect_and_an_interval_where_all_models_are(inputs):
    found = find(inputs())
    assert list(dict.fromkeys(finding.claim for finding in found)) == list(CLAIMS)
    assert all(finding.low <= finding.effect <= finding.high for finding in found)
    assert all(finding.n for finding in found)


def test_the_end_is_told_for_every_scheme_and_place(inputs):
    found = of(find(inputs()), "end-similarity")
    assert len(found) == 3 * 3
    assert {finding.verdict for finding in found} == {HOLDS}
    assert all(finding.effect == pytest.approx(0.4) for finding in found)
    assert found[0].measured == "simclr_at - simclr_st, last stage"
    assert {finding.note for finding in found} == {"paired jackknife"}


def test_schemes_that_become_alike_are_found(inputs):
    found = find(inputs())
    for claim in ("cross-scheme", "cross-scheme-end"):
        rows = of(found, claim)
        assert [row.scheme for row in rows] == [
            "simclr x supcon",
            "simclr x supervised",
            "supcon x supervised",
        ]
        assert all(row.effect == pytest.approx(0.4) and row.verdict == HOLDS for row in rows)


def test_two_statements_that_contradict_each_other_never_both_hold(inputs):
    found = find(inputs())
    (raises,), (lowers,) = (
        of(found, f"long-range-full-at-{direction}") for direction in ("raises", "lowers")
    )
    assert raises.effect == lowers.effect == pytest.approx(-0.5)
    assert (raises.verdict, lowers.verdict) == (FAILS, HOLDS)


def test_no_difference_is_undecided(make_block, inputs):
    noise = iter([0.02, -0.05, 0.03, 0.01] * 100)
    given = inputs(value=lambda comparison, rows, columns: 0.5 + (1e-3 if "at" in rows else 0))
    blocks = [
        one._replace(
            similarity=replace(one.similarity, left_out=one.similarity.left_out + next(noise))
        )
        for one in given.analysis.matrices
    ]
    uneven = [
        one._replace(
            similarity=replace(one.similarity, left_out=one.similarity.values + factor * shift)
        )
        for one, factor in zip(blocks, [1, -1] * len(blocks), strict=False)
        for shift in [(one.similarity.left_out - one.similarity.left_out.mean(axis=0))]
    ]
    found = find(replace(given, analysis=replace(given.analysis, matrices=tuple(uneven))))
    assert UNDECIDED in {finding.verdict for finding in of(found, "end-similarity")}


def test_growth_between_two_scenarios_says_that_it_is_two_points(inputs):
    found = of(find(inputs()), "growth-with-eps")
    assert [finding.verdict for finding in found] == [HOLDS] * 3
    assert all("two points only: from eps 0 (st)" in finding.note for finding in found)


def test_growth_over_several_eps_is_from_the_smallest_to_the_largest(inputs):
    similar = {"simclr_st": 0.3, "a.py:small": 0.5, "a.py:large": 0.8}
    given = inputs(
        list(similar),
        lambda comparison, rows, columns: similar[rows],
        {"a.py:small": Fraction(2, 255), "a.py:large": Fraction(8, 255)},
    )
    simclr, other = of(find(given), "growth-with-eps")
    assert simclr.verdict == NOT_TESTABLE
    assert simclr.note.endswith("needs simclr_at and simclr_st")
    assert other.effect == pytest.approx(0.3)
    assert other.measured == "a.py:large - a.py:small, end"
    assert "2/255 (a.py:small), 8/255 (a.py:large): it grows at every step" in other.note


def test_a_fall_between_two_eps_is_told(inputs):
    similar = {"simclr_st": 0.3, "simclr_at": 0.9, "simclr_full_at": 0.7}
    given = inputs(
        list(similar),
        lambda comparison, rows, columns: similar[rows],
        {"simclr_at": Fraction(1, 5), "simclr_full_at": Fraction(1, 4)},
    )
    (found,) = of(find(given), "growth-with-eps")
    assert found.effect == pytest.approx(0.4)
    assert "not at every step" in found.note


def test_of_several_trainings_of_a_comparison_the_claims_are_about_the_usual_one(inputs):
    found = find(inputs(("simclr_st", "simclr_at@long", "simclr_at")))
    assert of(found, "end-similarity")[0].measured == "simclr_at - simclr_st, last stage"
    only = find(inputs(("simclr_st", "simclr_at@long")))
    assert of(only, "end-similarity")[0].measured == "simclr_at@long - simclr_st, last stage"


def test_robustness_is_correlated_over_all_models_and_without_the_standard_ones(inputs):
    rising = {name: 0.3 + 0.08 * i for i, name in enumerate(sorted(MODELS, key=MODELS.index))}
    everything, trained = of(
        find(inputs(value=lambda comparison, rows, columns: rising[rows])),
        "similarity-and-robustness",
    )
    assert (everything.scheme, trained.scheme) == ("all models", "without st")
    assert (everything.n, trained.n) == (7, 4)
    assert trained.effect == pytest.approx(1.0)
    assert trained.p_value == pytest.approx(2 / 24)
    assert trained.verdict == HOLDS


def test_what_models_are_missing_for_is_not_testable_and_says_so(inputs):
    found = find(inputs(("supcon_st", "supcon_full_at")))
    assert {finding.verdict for finding in found} == {NOT_TESTABLE}
    notes = {finding.claim: finding.note for finding in found}
    assert notes["end-similarity"] == "needs supcon_at and supcon_st"
    assert notes["long-range"] == "needs a clean-clean matrix of at and one of st"
    assert notes["cross-scheme"] == "needs models of two schemes"
    assert notes["similarity-and-robustness"] == "needs 4 models with both numbers, there are 1"


def test_without_a_comparison_the_cka_columns_of_records_count(inputs):
    found = find(inputs(compared=False))
    ends = of(found, "end-similarity")
    assert {finding.verdict for finding in ends} == {HOLDS}
    assert ends[0].effect == pytest.approx(0.4)
    assert ends[0].note == "intervals combined as if independent"
    assert {finding.verdict for finding in of(found, "long-range")} == {NOT_TESTABLE}
    assert of(found, "similarity-and-robustness")[0].n == 7


def test_layers_that_were_not_asked_for_are_not_tested(inputs, make_analysis):
    given = inputs(("simclr_st", "simclr_at"))
    few = [
        one._replace(similarity=one.similarity.take(["stem", "stage1.0"]))
        for one in given.analysis.matrices
    ]
    found = find(replace(given, analysis=replace(given.analysis, matrices=tuple(few))))
    notes = [finding.note for finding in of(found, "end-similarity")]
    assert notes[0] == "paired jackknife"
    assert notes[1].endswith("no layer called 'pool'")


def test_records_of_the_most_models_are_compared(make_records, make_record):
    first = make_records({"simclr_st": 1, "simclr_at": 60})
    other = [replace(one, attack=replace(one.attack, hash="b" * 12)) for one in first[:1]]
    assert list(comparable([*other, *first])) == ["simclr_st", "simclr_at"]
    assert comparable([*other, *first])["simclr_st"].attack.hash == "a" * 12
    assert comparable([]) == {}


def test_only_records_of_the_compared_networks_count(make_records, make_analysis):
    found = make_records({"simclr_st": 1, "simclr_at": 60, "supcon_at": 50})
    described = make_analysis(("simclr_st", "simclr_at")).record
    assert list(comparable(found, described)) == ["simclr_st", "simclr_at"]
    retrained = replace(described, models=(replace(described.models[0], weights_sha256="0" * 64),))
    assert comparable(found, retrained) == {}


@pytest.fixture
def folders(make_analysis, make_records, tmp_path):
    """Folders as ``clbench eval`` and ``clbench probe`` leave them."""
    right = {name: 60 + i if name in TRAINED else i for i, name in enumerate(MODELS)}
    for one in make_records(right):
        records.write_record(one, tmp_path / "results" / "records" / f"{one.model.name}.json")
    pictures = {f"figures/{name}.png": b"" for name in ("depth-curves", "clean-clean")}
    save(make_analysis(MODELS, paper), tmp_path / "probe", pictures)
    return tmp_path


def test_findings_are_written_for_machines_and_for_people(folders):
    out = folders / "findings"
    found = write_findings(folders / "results", folders / "probe", out).findings
    assert {path.name for path in out.iterdir()} == {
        *("findings.csv", "findings.md", "findings.json"),
        *("similarity-and-robustness.png", "similarity-and-robustness.svg"),
    }
    table = pd.read_csv(out / "findings.csv")
    assert tuple(table.columns) == FINDING_COLUMNS
    assert len(table) == len(found)
    assert set(table["verdict"]) <= {HOLDS, FAILS, UNDECIDED}
    content = json.loads((out / "findings.json").read_text())
    assert [row["claim"] for row in content["findings"]] == list(table["claim"])
    assert content["probe"]["threat_model"] == {"norm": "Linf", "eps": "8/255"}
    assert len(content["records"]) == len(MODELS)
    text = (out / "findings.md").read_text()
    assert all(claim.statement in text and claim.source in text for claim in CLAIMS.values())
    assert "Representations: 100 images of cifar10, pgd in Linf 8/255" in text


def test_figures_that_were_drawn_are_linked_from_the_findings(folders):
    found = write_findings(
        *(folders / "results", folders / "probe", folders / "deep" / "findings")
    ).findings
    figures = {finding.claim: finding.figure for finding in found}
    assert figures["end-similarity"] == "../../probe/figures/depth-curves.png"
    assert figures["cross-scheme"] == ""
    assert figures["similarity-and-robustness"] == "similarity-and-robustness.png"


def test_the_same_inputs_gives_the_same_bytes_but_for_the_time(folders):
    for place in ("a", "b"):
        write_findings(folders / "results", folders / "probe", folders / place)
    for name in ("findings.csv", "findings.md", "similarity-and-robustness.svg"):
        assert (folders / "a" / name).read_bytes() == (folders / "b" / name).read_bytes()
    one, other = (json.loads((folders / p / "findings.json").read_text()) for p in ("a", "b"))
    assert one | {"created": ""} == other | {"created": ""}


def test_a_folder_without_records_is_named(folders):
    with pytest.raises(RecordError, match=r"no records under .*probe; run clbench eval"):
        write_findings(folders / "probe", None, folders / "out")


def test_a_mistyped_model_of_a_training_eps_is_met_with_the_nearest(folders):
    with pytest.raises(UnknownNameError, match="'simclr_tt'; did you mean 'simclr_st'"):
        write_findings(
            folders / "results", None, folders / "out", trained_at={"simclr_tt": Fraction(1, 2)}
        )


def test_a_comparison_in_memory_gives_the_findings_of_its_folder(folders, make_analysis):
    for place, compared in (("a", folders / "probe"), ("b", load(folders / "probe"))):
        write_findings(folders / "results", compared, folders / place)
    unsaved = write_findings(folders / "results", make_analysis(MODELS, paper)).findings
    for name in ("findings.csv", "findings.md"):
        assert (folders / "a" / name).read_bytes() == (folders / "b" / name).read_bytes()
    table = pd.read_csv(folders / "a" / "findings.csv")
    assert [one.effect for one in unsaved] == pytest.approx(list(table["effect"]), abs=1e-6)


def test_nothing_is_written_where_no_place_is_named(folders, monkeypatch):
    before = sorted(folders.rglob("*"))
    monkeypatch.chdir(folders)
    assert write_findings(folders / "results", folders / "probe").findings
    assert sorted(folders.rglob("*")) == before
