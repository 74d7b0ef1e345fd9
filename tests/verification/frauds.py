"""What somebody may forge who knows every format and mends every hash, and which level finds it."""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from clbench.attacks.grammar import read_attack
from clbench.evaluation.certificates import STEPS, changes
from clbench.leaderboard.table import build
from clbench.schema.files import sha256_of
from clbench.schema.record_files import certificate_of, evidence_of, write_record

N = 48
ATTACK = "apgd-ce,n_iter=10 + apgd-t,n_iter=5 + square,n_queries=50"
"""How many examples the honest record has, and what attacked them."""

NEVER = 0
"""The level of what no level finds."""


def nothing(_forger):
    """Leave all as it is."""


@dataclass(frozen=True)
class Fraud:
    """A forgery: what it is, the lowest level that finds it, and what is said then.

    ``change`` is made before all is sealed again, ``after`` thereafter. Of what no level finds,
    ``says`` is the reason.
    """

    name: str
    level: int
    says: str
    change: Callable[[Any], None] = nothing
    after: Callable[[Any], None] = nothing
    seal: Mapping[str, bool] = field(default_factory=dict)
    network: str = "make"
    settings: Mapping[str, Any] = field(default_factory=dict)
    asks: str = "make"

    @property
    def asks_again(self):
        """Whether the network and the images that are given are those of the record."""
        return self.name != "images of one's own chosen by difficulty"


def number(name, **values):
    return lambda forger: forger.measure(name).update(values)


def content(**values):
    return lambda forger: forger.content.update(values)


def inside(part, **values):
    return lambda forger: forger.content[part].update(values)


def evidence(**changes):
    """Change arrays of the evidence: each by a function of the evidence."""

    def change(forger):
        made = {name: of(forger.evidence) for name, of in changes.items()}
        forger.evidence = replace(forger.evidence, **made)

    return change


def certificates(**changes):
    def change(forger):
        kept = forger.evidence.certificates
        made = {name: of(kept) for name, of in changes.items()}
        forger.evidence = replace(forger.evidence, certificates=replace(kept, **made))

    return change


def both(*changes):
    def change(forger):
        for one in changes:
            one(forger)

    return change


def broken(of):
    return np.flatnonzero(~np.isin(of.broken_by, ["", "clean"]))


def robust(of):
    return np.flatnonzero(of.broken_by == "")


def put(array, places, values):
    changed = array.copy()
    changed[places] = values
    return changed


def rename_broken_to_robust(many, *, images):
    """Call some broken examples robust; drop their images, or leave them."""

    def change(forger):
        old = forger.evidence
        places = broken(old)[:many]
        kept = old.certificates
        left = kept if images else kept.only(np.setdiff1d(kept.places, places))
        forger.evidence = replace(
            old,
            broken_by=put(old.broken_by, places, ""),
            adv_pred=put(old.adv_pred, places, old.label[places]),
            certificates=left,
        )

    return change


def rename_robust_to_broken(*, image):
    """Call a robust example of somebody else's record broken, with a made-up image or without."""

    def change(forger):
        old = forger.evidence
        places = robust(old)[:1]
        kept = old.certificates
        if image:
            noise = np.random.default_rng(0).integers(-STEPS, STEPS + 1, kept.coded[:1].shape)
            at, order = np.append(kept.at, places), np.append(kept.at, places).argsort()
            coded = np.concatenate([kept.coded, noise.astype(np.int8)])[order]
            scale = np.append(kept.scale, kept.scale[:1])[order]
            kept = replace(kept, at=at[order], coded=coded, scale=scale)
        forger.evidence = replace(
            old,
            broken_by=put(old.broken_by, places, "apgd-ce"),
            adv_pred=put(old.adv_pred, places, (old.label[places] + 1) % 5),
            certificates=kept,
        )

    return change


def call_wrong_right(forger):
    old = forger.evidence
    places = np.flatnonzero(old.broken_by == "clean")[-2:]
    forger.evidence = replace(
        old,
        broken_by=put(old.broken_by, places, ""),
        clean_pred=put(old.clean_pred, places, old.label[places]),
        adv_pred=put(old.adv_pred, places, old.label[places]),
    )


def call_right_wrong(forger):
    old = forger.evidence
    places = robust(old)[-2:]
    other = (old.label[places] + 1) % 5
    forger.evidence = replace(
        old,
        broken_by=put(old.broken_by, places, "clean"),
        clean_pred=put(old.clean_pred, places, other),
        adv_pred=put(old.adv_pred, places, other),
    )


def call_it_autoattack(*, steps=100, leave_out=(), counts=10**9):
    """Name AutoAttack what was another attack."""

    def change(forger):
        spec = read_attack("autoattack", "Linf", 5)
        parameters = {key: dict(one) for key, one in spec.parameters.items()}
        parameters["apgd-ce"]["n_iter"] = steps
        for name in leave_out:
            del parameters[name]
        forger.content["attack"] = {
            "name": "autoattack", "backend": "native", "parameters": parameters, "hash": "",
        }  # fmt: skip
        if counts:
            forger.content["counts"] = {"forward": counts, "backward": counts}

    return change


def call_it_fast(forger):
    spec = read_attack("fast", "Linf", 5)
    by = forger.evidence.broken_by
    some = np.where(np.isin(by, ["", "clean"]), by, "pgd-targets")
    forger.evidence = replace(forger.evidence, broken_by=some)
    forger.content["attack"] = {
        "name": "fast", "backend": "native", "parameters": spec.parameters, "hash": "",
    }  # fmt: skip


def let_square_break_many(forger):
    old = forger.evidence
    forger.evidence = replace(old, broken_by=put(old.broken_by, broken(old)[:6], "square"))
    forger.content["flags"] = []


def half_a_ball_more(forger):
    """Say twice the eps that was attacked with."""
    forger.content["threat_model"]["eps"] = "2/25"


def own_sample(forger):
    """Choose which certificates a sample keeps."""
    old = forger.evidence
    kept = old.certificates
    forger.evidence = replace(old, certificates=kept.only(kept.places[1:]))


def digest_of_another(forger):
    kept = forger.evidence.certificates
    digests = put(kept.digests, kept.places[:2], kept.digests[kept.places[:2]][::-1])
    forger.evidence = replace(forger.evidence, certificates=replace(kept, digests=digests))


def edit_record(forger):
    text = forger.path.read_text()
    forger.path.write_text(text.replace('"seed": 0', '"seed": 1', 1))


def edit_evidence(forger):
    path = evidence_of(forger.path, forger.out)
    path.write_bytes(replace(forger.evidence, logits=None).to_bytes())


def cut_evidence(forger):
    path = evidence_of(forger.path, forger.out)
    path.write_bytes(path.read_bytes()[:-100])


def copy_record(forger):
    shutil.copy(forger.path, forger.path.with_name("copy.json"))


def rename(forger):
    evidence_of(forger.path, forger.out).rename(
        evidence_of(forger.path.with_name("other.json"), forger.out)
    )
    forger.path.rename(forger.path.with_name("other.json"))


def edit_csv(forger):
    csv = forger.out / "leaderboard.csv"
    csv.write_text(csv.read_text().replace("custom", "Custom").replace("float32", "float16") + "\n")


def attack(name=None, **components):
    """Change the attack's name, and parameters of its components."""

    def change(forger):
        said = forger.content["attack"]
        said["name"] = name or said["name"]
        for component, values in components.items():
            said["parameters"][component.replace("_", "-")].update(values)

    return change


def another_backend(name, **counts):
    return both(inside("attack", backend=name), lambda f: f.content["counts"].update(counts))


def to_the_bit_and_half_a_ball_more(forger):
    """Keep all images to the bit, where no step size tells of eps, and say twice the eps."""
    old = forger.evidence.certificates
    every = changes(old.coded, old.scale)
    forger.evidence = replace(
        forger.evidence,
        certificates=replace(
            old, at=old.at[:0], coded=old.coded[:0], scale=old.scale[:0],
            exact_at=old.at, exact=every,
        ),
    )  # fmt: skip
    half_a_ball_more(forger)


def external(**changed):
    """Add a lower accuracy that images of robust examples prove, as far as hashes tell."""

    def change(forger):
        index = changed.get("index", forger.evidence.index[robust(forger.evidence)[:2]])
        shape = (len(index), *forger.evidence.certificates.coded.shape[1:])
        images = changed.get("adversarial", np.full(shape, 0.5, np.float32))
        file = io.BytesIO()
        np.savez(file, index=np.asarray(index), adversarial=images)
        content = changed.get("content", file.getvalue())
        kept = certificate_of(forger.path, forger.out)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)
        shown = changed.get("robust_acc", (len(robust(forger.evidence)) - 2) / N)
        told = {"robust_acc": shown, "source": "a paper", "certificate_sha256": sha256_of(content)}
        forger.content["external"] = told

    return change


def not_a_number(forger):
    """Let the network have said nothing at all of the first images."""
    logits = np.full_like(forger.evidence.logits, np.nan)
    forger.evidence = replace(forger.evidence, logits=logits)


def odd_logits(of, value, places=slice(None)):
    changed = of.logits.copy()
    changed[places] = value
    return changed


def another(**model_or_seed):
    """Put a second record beside the first, with its evidence, as of another training or seed."""

    def change(forger):
        content = json.loads(forger.path.read_text())
        del content["checksum"]
        seed = model_or_seed.pop("seed", None)
        content["seed"] = content["seed"] if seed is None else seed
        content["model"].update(model_or_seed)
        first = forger.path.read_bytes(), evidence_of(forger.path, forger.out).read_bytes()
        places = forger.path, evidence_of(forger.path, forger.out)
        forger.content = content
        forger.seal()
        for place, data in zip(places, first, strict=True):
            place.write_bytes(data)
        build(forger.out)

    return change


def parameter(**values):
    """Change parameters of Square; None takes one away."""

    def change(forger):
        its = forger.content["attack"]["parameters"]["square"]
        its.update(values)
        for name in [name for name, value in its.items() if value is None]:
            del its[name]

    return change


def more(name, **values):
    """Add a measure like another one."""

    def change(forger):
        made = forger.measure("clean_acc") | {"name": name} | values
        forger.content["measures"].append(made)

    return change


def flag(name, *numbers, times=1):
    """Raise a flag that makes the number unreliable."""
    raised = {"name": name} | dict(zip(("value", "threshold"), numbers, strict=False))
    return content(unreliable=True, flags=[raised] * times)


def arrays(**changes):
    """Change arrays in the file of evidence, each by a function of all; None takes one away."""

    def change(forger):
        path = evidence_of(forger.path, forger.out)
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files}
        made = kept | {name: of(kept) for name, of in changes.items()}
        np.savez_compressed(path, **{name: one for name, one in made.items() if one is not None})
        digest = sha256_of(path.read_bytes())
        write_record(replace(forger.record, evidence_sha256=digest), forger.path)
        build(forger.out)

    return change


def turned(name):
    return lambda kept: kept[name][::-1].copy()


def as_type(name, dtype):
    return lambda kept: kept[name].astype(dtype)


FLOATS = {"save_adversarial": True}
SAMPLE = {"evidence": "sample"}
TORCHATTACKS = {"attack": "torchattacks:PGD,steps=3"}

FRAUDS = [
    # numbers
    Fraud("robust accuracy raised", 1, "robust_acc is 0.9", number("robust_acc", value=0.9),
          seal={"measures": False}),
    Fraud("clean accuracy raised", 1, "clean_acc is 1 of", number("clean_acc", value=1.0),
          seal={"measures": False}),
    Fraud("accuracy after a component raised", 1, "acc_after_apgd-ce is 0.9",
          number("acc_after_apgd-ce", value=0.9), seal={"measures": False}),
    Fraud("interval made narrower", 1, "interval of measures.robust_acc is from",
          number("robust_acc", low=0.3), seal={"measures": False}),
    Fraud("accuracy said to be of more examples", 1, "robust_acc is .* of 4800",
          number("robust_acc", n=4800), seal={"measures": False}),
    Fraud("no attack, and yet a robust accuracy", 1, "attack is null, expected one",
          content(attack=None, threat_model=None),
          seal={"measures": False, "hashes": False}),
    Fraud("no attack, and yet a threat model", 1, "attack is null, expected one, as there is a thr",
          content(attack=None), seal={"measures": False, "hashes": False}),
    Fraud("passes below none", 1, "counts.forward is -1, expected 0 or more",
          inside("counts", forward=-1)),
    Fraud("robust accuracy left out", 1, "robust_acc is missing",
          lambda f: f.content["measures"].remove(f.measure("robust_acc")),
          seal={"measures": False}),
    Fraud("robust accuracy there twice", 1, "robust_acc is there 2 times",
          lambda f: f.content["measures"].append(f.measure("robust_acc") | {"value": 0.9}),
          seal={"measures": False}),
    Fraud("more examples said than there are", 1, "index is of 48 examples, expected 480",
          inside("data", n=480)),
    Fraud("an accuracy after a component that there was not", 1,
          "acc_after_fab-t is there, expected none",
          lambda f: f.content["measures"].append(f.measure("clean_acc") | {
              "name": "acc_after_fab-t"}),
          seal={"measures": False}),
    Fraud("CKA or another probe changed", NEVER,
          "it does not follow from evidence; verify lists it as not checked",
          lambda f: f.content["measures"].append(f.measure("clean_acc") | {"name": "cka_mean"})),
    Fraud("time, device or commit changed", NEVER, "nobody can know where a run took place",
          content(wall_s=1.0, device="other", commit="0" * 40, created="2026-02-03T04:05:06Z")),
    # flags
    Fraud("a flag that evidence raises taken away", 1,
          "flags.square_improves is not raised, expected 6.0", let_square_break_many),
    Fraud("an upper bound without its flag", 1, "flags is without upper_bound", call_it_fast),
    Fraud("a flagged number called reliable", 1, "unreliable is False, expected True",
          content(unreliable=False), network="make_soft", asks="make_soft"),
    Fraud("the flag of a randomised network taken away", 2, "without randomized",
          content(flags=[], unreliable=False), network="make_noisy", asks="make_noisy"),
    Fraud("the same, and called the work of an older version", 2, "without randomized",
          content(flags=[], unreliable=False, versions={"clbench": "0.0.1"}),
          network="make_noisy", asks="make_noisy"),
    Fraud("the flag of a randomised network raised to excuse other predictions", 2,
          "prediction for clean_pred is",
          both(call_wrong_right, content(unreliable=True, flags=[{"name": "randomized"}]))),
    Fraud("the flag of a network that depends on its batch taken away", 2,
          "without batch_dependent", content(flags=[], unreliable=False),
          network="make_batchwise", asks="make_batchwise"),
    Fraud("the flag of a network that returns probabilities taken away", 2,
          "without softmax_output", content(flags=[], unreliable=False),
          network="make_soft", asks="make_soft"),
    Fraud("the flag of a network that masks its gradients taken away", 2,
          "without zero_gradient",
          lambda f: f.content.update(
              flags=[one for one in f.content["flags"] if one["name"] != "zero_gradient"]),
          network="make_flat", asks="make_flat"),
    # hashes and files
    Fraud("a record edited, its checksum left", 1, "not what its checksum was made of",
          after=edit_record),
    Fraud("evidence edited, its hash left", 1, "not the one that its record names",
          after=edit_evidence),
    Fraud("evidence cut off", 1, "not the one that its record names", after=cut_evidence),
    Fraud("evidence removed", 1, "cannot be read: No such file",
          after=lambda f: evidence_of(f.path, f.out).unlink()),
    Fraud("evidence of another run, its hash mended", 1, "identity is .*, expected",
          evidence(identity=lambda _: "0" * 12), seal={"identity": False}),
    Fraud("a record copied", 1, "run is that of", after=copy_record),
    Fraud("files called after another run", 1, "its name is of another run", after=rename),
    Fraud("leaderboard.csv edited", 1, "leaderboard.csv: content is another", after=edit_csv),
    Fraud("the attack's hash of another attack", 1, "attack.hash is 000000000000",
          inside("attack", hash="0" * 12), seal={"hashes": False}),
    Fraud("parameters changed, the attack's hash left", 1, "attack.hash is",
          lambda f: f.content["attack"]["parameters"]["square"].update(n_queries=5000),
          seal={"hashes": False}),
    Fraud("the hash of other weights", 2, "model.weights_sha256 is",
          inside("model", weights_sha256="0" * 64)),
    Fraud("another architecture or scheme said", 2, "model.backbone is ResNet, expected Sequential",
          inside("model", backbone="ResNet")),
    Fraud("an architecture that is not told", 2, "model.backbone is '', expected Sequential",
          inside("model", backbone="")),
    Fraud("where the network came from", 2, "model.source is elsewhere, expected ",
          inside("model", source="elsewhere")),
    Fraud("a training that nobody knows of", 2, "model.training_seed is 3, expected none",
          inside("model", training_seed=3, recipe_sha256="0" * 64)),
    Fraud("one evidence under two seeds of training", 1,
          "model.training_seed is .*, the seed of .*, whose evidence is the same",
          both(inside("model", training_seed=0, recipe_sha256="0" * 64)),
          after=another(training_seed=1, weights_sha256="1" * 64)),
    Fraud("one evidence under two seeds of an attack with random starts", 1,
          "seed is .*, the seed of .*, whose evidence is the same", after=another(seed=1)),
    Fraud("the hash of other code", 2, "model.files.net.py is",
          lambda f: f.content["model"]["files"].update({"net.py": "0" * 64})),
    Fraud("the hash of other images", 2, "data.sha256 is", inside("data", sha256="0" * 64)),
    Fraud("evidence of another network, every hash mended", 2, "prediction for clean_pred is",
          network="make_other"),
    # verdicts
    Fraud("a broken example called robust, its prediction left", 1,
          r"broken_by of example \d+ is '', expected",
          evidence(broken_by=lambda e: put(e.broken_by, broken(e)[:1], ""))),
    Fraud("a robust example called broken, its prediction left", 1,
          r"broken_by of example \d+ is 'square', expected",
          evidence(broken_by=lambda e: put(e.broken_by, robust(e)[:1], "square"))),
    Fraud("a broken example called robust, its image left", 1,
          r"certificates is there for example \d+, which was broken by ''",
          rename_broken_to_robust(1, images=True)),
    Fraud("many broken examples called robust, their images removed", 1,
          "counts.backward is", rename_broken_to_robust(18, images=False)),
    Fraud("broken examples called robust, their images removed, the counts mended", 3,
          "robust examples is .* broken",
          both(rename_broken_to_robust(8, images=False),
               content(counts={"forward": 10**9, "backward": 10**9}))),
    Fraud("a robust example called broken, without an image", 1,
          r"certificates is without example \d+", rename_robust_to_broken(image=False)),
    Fraud("a robust example called broken, with an image that breaks nothing", 2,
          "prediction for certificates is", rename_robust_to_broken(image=True)),
    Fraud("misclassified examples called right", 2, "prediction for clean_pred is",
          call_wrong_right),
    Fraud("right examples called misclassified", 2, "prediction for clean_pred is",
          call_right_wrong),
    Fraud("another wrong class for a broken example", 2, "prediction for certificates is",
          evidence(adv_pred=lambda e: put(
              e.adv_pred, broken(e)[:1],
              [next(k for k in range(5) if k not in (e.label[p], e.adv_pred[p]))
               for p in broken(e)[:1]]))),
    Fraud("another wrong class where nothing attacked", 1, "expected [0-4], as nothing attacked it",
          evidence(adv_pred=lambda e: np.where(
              e.broken_by == "clean",
              [next(k for k in range(5) if k not in both)
               for both in zip(e.label, e.clean_pred, strict=True)], e.adv_pred))),
    Fraud("a class that there is not", 1, "adv_pred is 7, expected a class from -1 to 4",
          evidence(adv_pred=lambda e: put(e.adv_pred, broken(e)[:1], 7))),
    Fraud("broken by something that is no component", 1, "'pgd', expected a component",
          evidence(broken_by=lambda e: put(e.broken_by, broken(e)[:1], "pgd"))),
    Fraud("broken by another component than said", NEVER,
          "an image says that an example is broken, not which component came first",
          evidence(broken_by=lambda e: put(e.broken_by, broken(e)[:1], "apgd-t"))),
    Fraud("other labels", 2, r"label of example \d+ is",
          evidence(label=lambda e: put(e.label, robust(e)[:1], (e.label[robust(e)[:1]] + 1) % 5),
                   clean_pred=lambda e: put(
                       e.clean_pred, robust(e)[:1], (e.label[robust(e)[:1]] + 1) % 5),
                   adv_pred=lambda e: put(
                       e.adv_pred, robust(e)[:1], (e.label[robust(e)[:1]] + 1) % 5),
                   logits=lambda _: None)),
    Fraud("an example there twice", 1, "index is with an example twice",
          evidence(index=lambda e: put(e.index, [1], 0))),
    Fraud("predictions that the logits contradict", 1, r"clean_pred of example \d+ is",
          evidence(logits=lambda e: -e.logits)),
    Fraud("logits of another network", 2, "logits is others",
          evidence(logits=lambda e: 2 * e.logits)),
    Fraud("logits that are no numbers, beside predictions", 1,
          r"clean_pred of example 0 is \d, expected -1 by its logits", not_a_number),
    Fraud("infinite logits of another class", 1, "clean_pred of example",
          evidence(logits=lambda e: odd_logits(
              e, np.inf, (np.arange(len(e.logits)), (e.clean_pred[:len(e.logits)] + 1) % 5)))),
    Fraud("infinite logits of the predicted class", 2, "logits is others",
          evidence(logits=lambda e: odd_logits(
              e, np.inf, (np.arange(len(e.logits)), e.clean_pred[:len(e.logits)])))),
    # images
    Fraud("an image outside of the ball", 1, r"certificate of example \d+ is 0.08 away",
          certificates(scale=lambda c: 2 * c.scale)),
    Fraud("an image that is kept to the bit outside of the ball", 1,
          r"certificate of example \d+ is 0.08 away",
          certificates(
              at=lambda c: c.at[1:], scale=lambda c: c.scale[1:], coded=lambda c: c.coded[1:],
              exact_at=lambda c: c.at[:1], exact=lambda c: np.full((1, 1, 8, 8), 0.08))),
    Fraud("an image removed", 1, r"certificates is without example \d+",
          certificates(
              at=lambda c: c.at[1:], scale=lambda c: c.scale[1:], coded=lambda c: c.coded[1:])),
    Fraud("images of examples exchanged", 2, "prediction for certificates is",
          certificates(coded=lambda c: c.coded[::-1].copy())),
    Fraud("images of another size", 2, "certificates is of the size",
          certificates(coded=lambda c: c.coded.reshape(len(c.coded), 1, 4, 16),
                       exact=lambda c: c.exact.reshape(len(c.exact), 1, 4, 16))),
    Fraud("all images removed", NEVER,
          "then nothing proves what is broken, which verify says of the record",
          evidence(certificates=lambda _: None)),
    Fraud("a sample of one's own choice", 1, "certificates is without example",
          own_sample, settings=SAMPLE),
    Fraud("a sample without the digests of what it leaves out", 1, "certificate_digests is of",
          certificates(digests=lambda c: put(c.digests, c.places[:1], 0)), settings=SAMPLE),
    Fraud("images exchanged after their digests were made", 1, "is another image, expected",
          digest_of_another, settings=SAMPLE),
    Fraud("a float image outside of the pixel range", 1, "adversarial is with pixels from",
          evidence(adversarial=lambda e: put(e.adversarial, broken(e)[:1], 1.5)),
          settings=FLOATS),
    Fraud("a float image outside of the ball", 2, r"adversarial of example \d+ is outside",
          evidence(adversarial=lambda e: put(e.adversarial, broken(e)[:1], 0.5)),
          settings=FLOATS),
    Fraud("a float image of what is not broken changed", 2, "adversarial is changed where",
          evidence(adversarial=lambda e: put(e.adversarial, robust(e)[:1], 0.5)),
          settings=FLOATS),
    Fraud("images in steps of another size than every run's", 1, "certificate_scale is",
          certificates(scale=lambda c: c.scale * np.float32(0.5))),
    Fraud("a larger eps said than attacked with, images kept to the bit", 1,
          "certificates is at most 0.04 from the clean", to_the_bit_and_half_a_ball_more),
    # what others found
    Fraud("an external accuracy by a file that is no certificate", 1, "is no .npz file with",
          external(content=b"nothing")),
    Fraud("an external accuracy lower than its images show", 1,
          "external.robust_acc is 0.01, expected 0", external(robust_acc=0.01)),
    Fraud("an external accuracy by examples that there are not", 1,
          "has example 4800, which the record has not", external(index=[0, 4800])),
    Fraud("an external accuracy by one example twice", 1, "has an example twice",
          external(index=[3, 3])),
    Fraud("an external accuracy by images outside of the pixel range", 1,
          "adversarial of example .* expected pixels from 0 to 1",
          external(adversarial=np.full((2, 1, 8, 8), 1.5, np.float32))),
    Fraud("an external accuracy by images that are no numbers", 1,
          "adversarial of example .* expected pixels from 0 to 1",
          external(adversarial=np.full((2, 1, 8, 8), np.nan, np.float32))),
    Fraud("an external accuracy by images outside of the ball", 2, "must lie within Linf",
          external()),
    Fraud("an external accuracy by images of another size", 2, "must be of the images' shape",
          external(adversarial=np.full((2, 1, 4, 16), 0.5, np.float32))),
    # the attack
    Fraud("a smaller eps said than attacked with", 1, r"certificate of example \d+ is 0.04 away",
          inside("threat_model", eps="1/50")),
    Fraud("a larger eps said than attacked with", 1, "certificates is at most 0.04 from the clean",
          half_a_ball_more),
    Fraud("a smaller norm ball said than attacked in", 1, r"certificate of example \d+ is",
          inside("threat_model", norm="L2", eps="1/25")),
    Fraud("more steps said than were made", 1, "counts.forward is",
          call_it_autoattack(counts=0)),
    Fraud("more steps said than were made, the counts mended", 3, "robust examples is .* broken",
          both(call_it_autoattack(), rename_broken_to_robust(8, images=False))),
    Fraud("a shortened AutoAttack under its name", 1,
          "attack.parameters.apgd-ce.n_iter is 10, expected 100", call_it_autoattack(steps=10)),
    Fraud("the same, with the number of classes hidden", 1,
          "attack.parameters.apgd-ce.n_iter is 10, expected 100",
          both(call_it_autoattack(steps=10), evidence(logits=lambda _: None))),
    Fraud("AutoAttack without Square under its name", 1,
          "attack.parameters is apgd-ce .* expected .* square",
          call_it_autoattack(leave_out=["square"])),
    Fraud("a protocol's name for other values", 1, "data.name is images.npz, expected digits",
          content(protocol="digits-linf")),
    Fraud("the luckiest of many seeds", NEVER,
          "a seed may be chosen; an audit's own is drawn afterwards", content(seed=12345)),
    Fraud("an attack called by a stronger one's name", 1,
          "attack.parameters is apgd-ce .* expected apgd-ce .*, which the name 'best' stands for",
          attack("best")),
    Fraud("an attack called by a name that looks like AutoAttack's", 1,
          "expected AutoAttack, which the name 'AutoAttack' stands for", attack("AutoAttack")),
    Fraud("an attack called by a name of one's own", 1,
          "expected strongest, which the name 'strongest' stands for", attack("strongest")),
    Fraud("another package said to have run the attack, its counts low", 1,
          "counts.forward is 700, expected about",
          another_backend("pyautoattack", forward=700)),
    Fraud("a package that does not have the attack", 1,
          "attack.backend is 'torchattacks', expected native or autoattack or pyautoattack, who",
          another_backend("torchattacks")),
    Fraud("a package that there is not", 1, "attack.backend is 'foolbox', expected native",
          another_backend("foolbox")),
    Fraud("a package that had no part in it", 1,
          r"attack.backend is 'native\+torchattacks', expected native",
          another_backend("native+torchattacks")),
    Fraud("more queries of Square said than were made", NEVER,
          "clbench does not ask again what it knows, so that nobody can say how many it asked; an "
          "audit makes them",
          attack(square={"n_queries": 60})),
    Fraud("more steps of pgd said than were made", 1, "counts.forward is",
          attack(pgd={"steps": 100, "step_size_per_eps": 0.025}),
          settings={"attack": "pgd,steps=10"}),
    # the examples
    Fraud("examples of a data set chosen by difficulty", 1,
          "index is of examples that were chosen",
          both(inside("data", name="digits"),
               evidence(index=lambda e: np.sort(e.index * 3)))),
    Fraud("examples of a data set chosen by difficulty, numbered anew", 2, "data.sha256 is",
          inside("data", name="digits")),
    Fraud("images of one's own chosen by difficulty", NEVER,
          "nobody else knows which were left out; their hash keeps them from being ranked with "
          "others", inside("data", name="mine.npz")),
    Fraud("a network that saw the test images in training", NEVER,
          "predictions do not tell what a network was trained on"),
    # what no run writes
    Fraud("an eps in another spelling", 1, "threat_model.eps is '2/50', expected '1/25'",
          inside("threat_model", eps="2/50")),
    Fraud("a norm in another spelling", 1, "threat_model.norm is 'linf', expected 'Linf'",
          inside("threat_model", norm="linf")),
    Fraud("an eps that no threat model has", 1, "record .* Linf eps must be at most 1, the pixel",
          after=lambda f: f.write(threat_model={"norm": "Linf", "eps": "2"})),
    Fraud("a count of an attack written with a point", 1, "square.n_queries is 50.0, expected a c",
          parameter(n_queries=50.0)),
    Fraud("a count of an attack written as text", 1, "square.n_queries is '50', expected 50",
          parameter(n_queries="50")),
    Fraud("a count of an attack written as true", 1, "square.n_restarts is True, expected a count",
          parameter(n_restarts=True)),
    Fraud("a number of an attack written without its point", 1, "square.p_init is 1, expected 1.0",
          parameter(p_init=1)),
    Fraud("a parameter that the attack has not", 1, "square.momentum is 0.9, expected none",
          parameter(momentum=0.9)),
    Fraud("a parameter left out", 1, "square.p_init is none, expected 0.8",
          parameter(p_init=None)),
    Fraud("fewer restarts than one", 1, "square.n_restarts is -1, expected a count from 1",
          parameter(n_restarts=-1)),
    Fraud("a loss that the attack does not have", 1, "square.loss is 'ce', expected 'margin'",
          parameter(loss="ce")),
    Fraud("more targets than there are other classes", 1, "n_target_classes is 9, expected 4",
          lambda f: f.content["attack"]["parameters"]["apgd-t"].update(n_target_classes=9)),
    Fraud("a count of torchattacks written with a point", 2,
          "torchattacks:PGD.steps is 3.0, expected a count",
          attack(**{"torchattacks:PGD": {"steps": 3.0}}), settings=TORCHATTACKS),
    Fraud("a parameter that torchattacks has not", 2,
          "torchattacks:PGD.momentum is 0.9, expected none",
          attack(**{"torchattacks:PGD": {"momentum": 0.9}}), settings=TORCHATTACKS),
    Fraud("a backend that there is not", 1, "attack.backend is 'foolbox', expected of autoattack",
          inside("attack", backend="foolbox")),
    Fraud("a backend in another spelling", 1, "attack.backend is 'Native', expected of autoattack",
          inside("attack", backend="Native")),
    Fraud("a protocol that there is not", 1, "protocol is 'Digits-Linf', expected one of",
          content(protocol="Digits-Linf")),
    Fraud("a seed below none", 1, "seed is -1, expected from 0 to", content(seed=-1)),
    Fraud("a tile of no image", 1, "batch_size is 0, expected from 1 to", content(batch_size=0)),
    Fraud("a precision that there is not", 1, "precision is 'float8', expected one of float32",
          content(precision="float8")),
    Fraud("a time below none", 1, "wall_s is -5.0, expected from 0", content(wall_s=-5.0)),
    Fraud("no time at all", 1, "wall_s is nan, expected from 0", content(wall_s=None)),
    Fraud("no device", 1, "device is '', expected the name of", content(device="")),
    Fraud("a date in the future", 1, "created is '2099-01-01T00:00:00Z', expected a time in UTC",
          content(created="2099-01-01T00:00:00Z")),
    Fraud("a date that there is not", 1, "created is '2026-02-30T00:00:00Z', expected a time in",
          content(created="2026-02-30T00:00:00Z")),
    Fraud("a date before clbench", 1, "created is '1970-01-01T00:00:00Z', expected a time in UTC",
          content(created="1970-01-01T00:00:00Z")),
    Fraud("a hash in capitals", 1, "model.weights_sha256 is 'A.*', expected 64 hexadecimal digits",
          inside("model", weights_sha256="A" * 64)),
    Fraud("a hash that is cut off", 1, "data.sha256 is 'abc', expected 64 hexadecimal digits",
          inside("data", sha256="abc")),
    Fraud("a commit that is none", 1, "commit is 'mine', expected a hash of git",
          content(commit="mine")),
    Fraud("no version of clbench", 1, "versions is {}, expected that of clbench",
          content(versions={})),
    Fraud("a scheme that there is not", 1, "model.scheme is 'moco', expected one of",
          inside("model", scheme="moco")),
    Fraud("code outside of its folder", 1, "model.files is .*, expected paths below a folder",
          lambda f: f.content["model"]["files"].update({"../net.py": "0" * 64})),
    Fraud("text that moves a terminal", 1, r"model.backbone is .* expected text in which all can",
          inside("model", backbone="\x1b[2Jall is well\n")),
    Fraud("a CKA above one", 1, "measures.cka_mean.value is 1.5, expected from -1 to 1",
          more("cka_mean", value=1.5, high=1.5)),
    Fraud("a CKA below its interval", 1, "measures.cka_mean.low is .*, expected the value, 0.2, or",
          more("cka_mean", value=0.2)),
    Fraud("a CKA of more examples", 1, "measures.cka_mean.n is 480, expected 48, the examples",
          more("cka_mean", n=480)),
    Fraud("a CKA without a value", 1, "measures.cka_mean.value is nan, expected a number where",
          more("cka_mean", value=None)),
    Fraud("an undefined CKA without a reason", 1, "measures.cka_mean.reason is '', expected why",
          more("cka_mean", value=None, low=None, high=None)),
    Fraud("a probe's accuracy above one", 1, "probe_stage1_clean.value is 5, expected from 0 to 1",
          more("probe_stage1_clean", value=5.0, high=6.0)),
    Fraud("another accuracy in a reason", 1, "robust_acc.reason is 'really 0.99', expected ''",
          number("robust_acc", reason="really 0.99"), seal={"measures": False}),
    Fraud("an accuracy on corrupted images, where there are none", 1,
          "corruptions_acc is there, expected none on images.npz", more("corruptions_acc")),
    Fraud("a measure named nearly like another", 1, "name is 'robust_acc ', expected a name, no",
          more("robust_acc ", value=0.99, high=1.0)),
    Fraud("a flag that there is not", 1, "flags.all_is_well is raised, expected a flag that",
          flag("all_is_well")),
    Fraud("a flag whose number is below its threshold", 1,
          "zero_gradient.value is 0.0, expected a whole number above 0.0",
          flag("zero_gradient", 0.0, 0.0)),
    Fraud("a flag with half an image", 1, "zero_gradient.value is 2.5, expected a whole number",
          flag("zero_gradient", 2.5, 0.0)),
    Fraud("a flag with another threshold", 1, "noise_improves.threshold is -5.0, expected 1",
          flag("noise_improves", 9.0, -5.0)),
    Fraud("a flag with a number that it has not", 1, "softmax_output is .* expected no number",
          flag("softmax_output", 2.0, 1.0)),
    Fraud("a flag with half of its numbers", 1, "zero_gradient is .* expected two numbers, or none",
          flag("zero_gradient", 2.0)),
    Fraud("a flag there twice", 1, "flags.zero_gradient is there twice, expected once",
          flag("zero_gradient", 2.0, 0.0, times=2)),
    # what no run writes into evidence
    Fraud("an array that no evidence has", 1, r"holds 'note' as text \[\], which no evidence does",
          after=arrays(note=lambda _: np.array("all is well"))),
    Fraud("an array of certificates that there is not", 1, "holds 'certificate_note' as float64",
          after=arrays(certificate_note=lambda _: np.zeros(3))),
    Fraud("an array left out", 1, "is damaged: it lacks clean_pred",
          after=arrays(clean_pred=lambda _: None)),
    Fraud("a part of certificates left out", 1, "is damaged: it lacks certificate_scale",
          after=arrays(certificate_scale=lambda _: None)),
    Fraud("predictions in one byte", 1, r"clean_pred as int8 \[48\], expected int64 \[48\]",
          after=arrays(clean_pred=as_type("clean_pred", "i1"))),
    Fraud("labels as shares", 1, r"label as float64 \[48\], expected int64 \[48\]",
          after=arrays(label=as_type("label", float))),
    Fraud("an index without a sign", 1, r"index as uint64 \[48\], expected int64 \[n\]",
          after=arrays(index=as_type("index", "u8"))),
    Fraud("verdicts as bytes", 1, r"broken_by as \|S7 \[48\], expected text \[48\]",
          after=arrays(broken_by=as_type("broken_by", "S"))),
    Fraud("logits of more digits than torch has", 1, "logits as float[0-9]+ .* expected float32",
          after=arrays(logits=as_type("logits", np.longdouble))),
    Fraud("labels of fewer examples", 1, r"label as int64 \[47\], expected int64 \[48\]",
          after=arrays(label=lambda kept: kept["label"][1:])),
    Fraud("a table in the place of a list", 1, r"adv_pred as int64 \[1, 48\], expected int64 \[48",
          after=arrays(adv_pred=lambda kept: kept["adv_pred"][None])),
    Fraud("two identities", 1, r"identity as text \[2\], expected text \[\]",
          after=arrays(identity=lambda kept: np.array([str(kept["identity"])] * 2))),
    Fraud("certificates called verdicts", 1, "certificates of kind 'verdicts', expected full or",
          after=arrays(certificate_kind=lambda _: np.array("verdicts"))),
    Fraud("certificates out of order", 1, "certificates with an example twice or out of order",
          after=arrays(**{name: turned(name) for name in (
              "certificate_at", "certificate_coded", "certificate_scale")})),
    Fraud("a certificate there twice", 1, "certificates with an example twice or out of order",
          after=arrays(certificate_at=lambda kept: put(
              kept["certificate_at"], [1], kept["certificate_at"][0]))),
    Fraud("a certificate of an example that there is not", 1, "other examples than those at 0 to",
          after=arrays(certificate_at=lambda kept: put(kept["certificate_at"], [-1], 10**12))),
    Fraud("digests beside all images", 1, "digests, which belong to a sample",
          after=arrays(certificate_digests=lambda _: np.zeros((N, 32), np.uint8))),
    Fraud("a scale below none", 1, "certificates with a scale that is not above 0",
          after=arrays(certificate_scale=lambda kept: -kept["certificate_scale"],
                       certificate_coded=lambda kept: -kept["certificate_coded"])),
    Fraud("an index below none", 1, "index is -48, expected a place, from 0 up",
          evidence(index=lambda e: e.index - N)),
    Fraud("a class too large for any network, the logits taken away", 1,
          "label is 4611686018427387904, expected a class from 0 to",
          evidence(label=lambda e: put(e.label, robust(e)[:1], 2**62),
                   clean_pred=lambda e: put(e.clean_pred, robust(e)[:1], 2**62),
                   adv_pred=lambda e: put(e.adv_pred, robust(e)[:1], 2**62),
                   logits=lambda _: None)),
    Fraud("a class that no network of these logits has, the first ones taken away", 2,
          "prediction for clean_pred is 9",
          evidence(clean_pred=lambda e: put(e.clean_pred, e.broken_by == "clean", 9),
                   adv_pred=lambda e: put(e.adv_pred, e.broken_by == "clean", 9),
                   logits=lambda _: None)),
    Fraud("logits of more examples than there are", 1, "logits is of 96 examples, expected of 48",
          evidence(logits=lambda e: np.concatenate([e.logits] * 12))),
]  # fmt: skip
