"""From models that a user names to matrices, tables and figures."""

import time
from functools import partial

from clbench.analysis.figures import FORMATS, draw
from clbench.analysis.linear_probes import layer_accuracies
from clbench.analysis.models import Adversarial, Request, Subjects, load_subjects
from clbench.analysis.pages import pages
from clbench.analysis.result import SCHEMA_VERSION, Analysis, Description, Matrix
from clbench.analysis.store import save
from clbench.attacks.registry import attack_of
from clbench.evaluation.run import perturb
from clbench.loading import data_entry, model_entry
from clbench.probes.interface import Watch
from clbench.probes.similarity.compare import compare
from clbench.probes.similarity.representations import Inputs, View
from clbench.runtime.devices import device_name
from clbench.schema.files import make_folder
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.records import AttackEntry, ThreatEntry
from clbench.schema.threat_model import format_eps

FIGURES = "figures"
"""The folder of the figures, inside that of the comparison."""


def run(request: Request, watch: Watch = lambda _what, _done, _total: None) -> Analysis:
    """Compare the models of a request, and write matrices, tables, figures and description.

    Raises:
        ClbenchError: The request, the data, a model or the place to write cannot be used.
    """
    started = time.perf_counter()
    subjects = load_subjects(request, watch)
    make_folder(request.out)
    adversarial = _attack(subjects, watch)
    matrices = analyse(subjects, adversarial, request.estimator, watch)
    accuracies = layer_accuracies(subjects, adversarial, request.extent, watch)
    described = _describe(request, subjects, time.perf_counter() - started)
    found = Analysis(described, matrices, accuracies)
    drawn = _drawn(found, watch) if request.draw else {}
    return save(found, request.out, drawn)


def analyse(
    subjects: Subjects, adversarial: Adversarial, estimator: str, watch: Watch
) -> tuple[Matrix, ...]:
    """Return how alike the subjects see the same images: all matrices, from one pass over them."""
    similar = compare(
        _views(subjects, adversarial),
        subjects.wanted.pairs,
        device=subjects.device,
        estimator=estimator,
        seed=subjects.protocol.seed,
        on_progress=partial(watch, "comparing"),
    )
    return tuple(
        Matrix(kind, rows.model, columns.model, similar.block(rows.name, columns.name))
        for kind, rows, columns in subjects.wanted.matrices
    )


def _attack(subjects: Subjects, watch: Watch) -> Adversarial:
    return {
        name: perturb(
            subjects.models[name].network,
            subjects.image_set,
            subjects.protocol.threat_model,
            seed=subjects.protocol.seed,
            batch_size=None,
            device=subjects.device,
            attack=attack_of(subjects.attack),
            on_progress=partial(watch, f"attacking {name}"),
        )
        for name in subjects.attacked
    }


def _views(subjects: Subjects, adversarial: Adversarial) -> list[View]:
    images, examples = subjects.image_set.images, subjects.image_set.sha256
    inputs = {"": Inputs(images, examples)} | {
        name: Inputs(attacked, examples, name) for name, attacked in adversarial.items()
    }
    return [
        View(
            sight.name,
            subjects.models[sight.model].network,
            inputs[sight.against],
            subjects.taps[sight.model],
        )
        for sight in subjects.wanted.sights
    ]


def _describe(request: Request, subjects: Subjects, seconds: float) -> Description:
    protocol, attack, wanted = subjects.protocol, subjects.attack, subjects.wanted
    threat, spec = protocol.threat_model, attack.spec
    common = (one.against for one in wanted.sights if one.against not in ("", one.model))
    return Description(
        schema_version=SCHEMA_VERSION,
        protocol=protocol.name,
        models=tuple(model_entry(model) for model in subjects.models.values()),
        data=data_entry(subjects.image_set),
        training=data_entry(subjects.training[0]) if subjects.training else None,
        extent=request.extent if subjects.training else "",
        threat_model=ThreatEntry(threat.norm, format_eps(threat.eps)),
        attack=AttackEntry(spec.name, attack.backend, spec.parameters, spec.hash),
        kinds=tuple(dict.fromkeys(matrix.kind for matrix in wanted.matrices)),
        common=next(common, ""),
        taps=tuple(request.taps),
        estimator=request.estimator,
        seed=protocol.seed,
        device=device_name(subjects.device),
        wall_s=round(seconds, 1),
        versions=versions(),
        commit=commit(),
        created=utc_now(),
        files={},
    )


def _drawn(analysis: Analysis, watch: Watch) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, figure in pages(analysis):
        watch(f"drawing {name}", len(files), 0)
        files |= {f"{FIGURES}/{name}.{form}": draw(figure, form) for form in FORMATS}
    return files
