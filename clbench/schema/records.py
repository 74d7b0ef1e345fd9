"""One run as JSON: the source of truth that the leaderboard is generated from."""

import json
import math
from dataclasses import dataclass
from fractions import Fraction

from clbench.schema.attack_spec import HASH_DIGITS, Parameter
from clbench.schema.corruptions import ACCURACY
from clbench.schema.errors import BadValueError
from clbench.schema.estimate import Estimate
from clbench.schema.files import sha256_of
from clbench.schema.flags import UPPER_BOUND, RaisedFlag
from clbench.schema.group import Group
from clbench.schema.head import HeadEntry
from clbench.schema.threat_model import ThreatModel, parse_eps, parse_norm

SCHEMA_VERSION = 3
"""Raised when a field changes its meaning or goes; every older file must still be readable."""

UNBOUND_VERSIONS = (1,)
"""Records of these bear no checksum and do not name their evidence."""

MOST_STAGES = 4
"""Stages of a network that have columns of their own."""


def similarity_columns(measure: str) -> tuple[str, ...]:
    """Return the columns of a similarity of clean and adversarial representations, in order.

    >>> similarity_columns("cka")[:2]
    ('cka_stem', 'cka_stage1')
    """
    stages = (f"stage{k}" for k in range(1, MOST_STAGES + 1))
    return tuple(f"{measure}_{place}" for place in ("stem", *stages, "pool", "logits", "mean"))


CKA_COLUMNS = similarity_columns("cka")
"""How alike a network sees clean images and their adversarial versions, layer by layer."""

PROBE_SCORES = {
    "clean": "clean images",
    "adv": "attack on the network",
    "adaptive": "attack on the probe",
}
"""What a linear probe is scored on, by name: clean images; those made against the whole network,
which were to fool that and not the probe; and those made against the probe itself."""

LINEAR_PROBE_COLUMNS = tuple(
    f"probe_stage{k}_{score}" for k in range(1, MOST_STAGES + 1) for score in PROBE_SCORES
)

NO_LAYER = "the network has no such layer"
NO_GRADIENT = "no gradient reaches the images, which the attack of the probes needs"
"""Why a column of a layer is undefined, in records."""


def left_after(attack: str) -> str:
    """Return the column, and the measure, of the accuracy left after a component of an attack."""
    return f"acc_after_{attack}"


LOG_PROBABILITIES = "log-probabilities"


@dataclass(frozen=True)
class ModelEntry:
    """What was evaluated; scheme, scenario and tag are "" for models from elsewhere.

    ``files`` are the modules of a user's own code that the network is made of, by their path from
    its folder, each with its sha256. ``training_seed`` and ``recipe_sha256`` are those of the
    training, where they are known: they are not the evaluation's. ``weights_sha256`` is of the
    network's state and ``file_sha256`` of the file that its weights were taken out of; in older
    records ``weights_sha256`` is of the file, where that was taken as it is, and there is no
    ``file_sha256``. ``known_by_file`` says that it was, and that the run is known by the file, as
    those are. ``preprocessing`` is what clbench puts before the network, "none" where that is
    nothing; None where only the network's own code says what it does. ``output`` is the entry of
    the network's answer that is taken for its logits, by its path, None where that is the answer
    itself; ``answers`` is what the logits are besides, ``LOG_PROBABILITIES``, None where nothing.
    ``head`` tells how its classifier was fitted on an encoder, where ``clbench head`` did it.

    Raises:
        BadValueError: It is known by a file of which there is no hash.
    """

    name: str
    scheme: str
    scenario: str
    backbone: str
    tag: str
    weights_sha256: str
    source: str
    files: dict[str, str] | None = None
    training_seed: int | None = None
    recipe_sha256: str = ""
    file_sha256: str | None = None
    preprocessing: str | None = None
    known_by_file: bool = False
    head: HeadEntry | None = None
    output: str | None = None
    answers: str | None = None

    def __post_init__(self) -> None:
        if self.known_by_file and not self.file_sha256:
            raise BadValueError("known_by_file must go with file_sha256, got none")

    @property
    def identity_sha256(self) -> str:
        """What tells the weights in the identity of a run, of records of any age."""
        return (self.file_sha256 or "") if self.known_by_file else self.weights_sha256


@dataclass(frozen=True)
class DataEntry:
    """What it was evaluated on; ``sha256`` is over images and labels."""

    name: str
    n: int
    sha256: str


@dataclass(frozen=True)
class ThreatEntry:
    """Which perturbations were allowed; ``eps`` is exact, as text.

    Raises:
        BadValueError: There is no such norm, or ``eps`` is no number or outside of its range.
    """

    norm: str
    eps: str

    def __post_init__(self) -> None:
        ThreatModel(parse_norm(self.norm), parse_eps(self.eps))


@dataclass(frozen=True)
class AttackEntry:
    """What attacked it: the effective parameters of every component, and their hash."""

    name: str
    backend: str
    parameters: dict[str, dict[str, Parameter]]
    hash: str


@dataclass(frozen=True)
class Counts:
    """Images that went forward and backward through the network under attack."""

    forward: int
    backward: int


@dataclass(frozen=True)
class External:
    """A lower robust accuracy, as a share, that an attack of somebody else found.

    ``source`` says whose. ``certificate_sha256`` is of the file with the adversarial images that
    were checked; "" where there are none, so that only the source vouches for it.

    Raises:
        BadValueError: It is no share, or nobody vouches for it.
    """

    robust_acc: float
    source: str
    certificate_sha256: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.robust_acc <= 1:  # NaN neither
            raise BadValueError(f"robust_acc must be a share from 0 to 1, got {self.robust_acc!r}")
        if not self.source.strip():
            raise BadValueError(f"source must say whose attack it was, got {self.source!r}")


@dataclass(frozen=True)
class RunIdentity:
    """What decides the verdicts, known before the first attack: equal runs end equally."""

    model: ModelEntry
    data: DataEntry
    threat_model: ThreatEntry | None
    attack: AttackEntry | None
    seed: int
    precision: str
    batch_size: int

    @property
    def hash(self) -> str:
        """What tells one run from another: 12 hexadecimal digits."""
        model, data, threat, attack = self.model, self.data, self.threat_model, self.attack
        decisive = {
            "model": [model.name, model.identity_sha256, model.source, model.files],
            "data": [data.name, data.sha256],
            "threat_model": threat and [threat.norm, threat.eps],
            "attack": attack and [attack.hash, attack.backend],
            "seed": self.seed,
            "precision": self.precision,
            "batch_size": self.batch_size,
        }
        return sha256_of(json.dumps(decisive, sort_keys=True).encode())[:HASH_DIGITS]


@dataclass(frozen=True)
class EvaluationRecord:
    """One finished run. The order of the fields is the file format: add at the end only.

    Where nothing was attacked, there is neither a threat model nor an attack. ``evidence_sha256``
    is that of the file beside it that says what happened to every example; "" in older records.
    ``external`` is what was added to it later, and no part of what this run measured.
    """

    schema_version: int
    protocol: str
    model: ModelEntry
    data: DataEntry
    threat_model: ThreatEntry | None
    attack: AttackEntry | None
    measures: tuple[Estimate, ...]
    flags: tuple[RaisedFlag, ...]
    unreliable: bool
    seed: int
    counts: Counts
    wall_s: float
    device: str
    precision: str
    batch_size: int
    versions: dict[str, str]
    commit: str
    created: str
    evidence_sha256: str = ""
    external: External | None = None

    @property
    def run(self) -> RunIdentity:
        """What decided this record's verdicts."""
        return RunIdentity(
            model=self.model,
            data=self.data,
            threat_model=self.threat_model,
            attack=self.attack,
            seed=self.seed,
            precision=self.precision,
            batch_size=self.batch_size,
        )

    @property
    def flag_names(self) -> tuple[str, ...]:
        """What its flags are called."""
        return tuple(flag.name for flag in self.flags)

    @property
    def is_upper_bound(self) -> bool:
        """Whether its robust accuracy is no more than an upper bound, and so has no rank."""
        return UPPER_BOUND in self.flag_names

    @property
    def is_bound(self) -> bool:
        """Whether it bears a checksum and names its evidence."""
        return self.schema_version not in UNBOUND_VERSIONS

    @property
    def group(self) -> Group:
        """What numbers that are compared agree in."""
        threat, attack = self.threat_model, self.attack
        return Group(
            data_sha256=self.data.sha256,
            n_examples=self.data.n,
            norm=threat.norm if threat else "",
            eps=parse_eps(threat.eps) if threat else Fraction(0),
            attack_hash=attack.hash if attack else "",
        )

    @property
    def setting(self) -> str:
        """Attack and threat model in words."""
        if self.attack is None or self.threat_model is None:
            return "no attack"
        return f"{self.attack.name} in {self.threat_model.norm} {self.threat_model.eps}"

    @property
    def components(self) -> list[str]:
        """The names of the attack's components, in their order."""
        return list(self.attack.parameters) if self.attack else []

    def measure(self, name: str) -> Estimate | None:
        """Return the measure called ``name``, or None where this run has none."""
        return next((measure for measure in self.measures if measure.name == name), None)


def ranked_accuracy(record: EvaluationRecord) -> float:
    """Return the robust accuracy that ranks a record: a lower external one wins over its own.

    Where nothing was attacked it is the accuracy on corrupted images; NaN where there are none, or
    where it is an upper bound.
    """
    names = ("robust_acc", ACCURACY, f"{ACCURACY}_3d")
    robust = next((one for name in names if (one := record.measure(name))), None)
    if robust is None or record.is_upper_bound:
        return math.nan
    return min(robust.value, record.external.robust_acc) if record.external else robust.value
