"""Images that certify what attacks broke, packed so that every machine unpacks the same ones.

An image in the ball that the network misclassifies proves that its example is broken, whoever found
it and however. Nothing here loads torch.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int, Int8, Shaped, UInt8

from clbench.schema.errors import BadValueError
from clbench.schema.names import EvidenceKind, NormName
from clbench.schema.threat_model import TOLERANCES

FULL_MOST = 32 << 20
"""Bytes of the packed images of a whole set up to which all are kept: 10,000 of CIFAR are less."""

SAMPLE = 299
"""Images that are kept of a larger set: so many find a share of 1 % with a probability of 95 %."""

STEPS = 127
"""Steps from 0 to the largest change that a signed byte holds."""

_LEAST_STEP = np.finfo(np.float32).tiny
_KINDS: tuple[EvidenceKind, ...] = ("full", "sample")
_PREFIX = "certificate_"
_SHA256_BYTES = 32
_PLACES = ("at", "exact_at")
_AT_ONCE = 256  # images whose changes are in memory as floats

LENGTHS: Mapping[NormName, Callable[[Float64[np.ndarray, "n d"]], Float64[np.ndarray, " n"]]] = {
    "Linf": lambda change: np.abs(change).max(axis=1, initial=0.0),
    "L2": lambda change: np.sqrt(np.square(change).sum(axis=1)),
    "L1": lambda change: np.abs(change).sum(axis=1),
}
"""How long changes are, by norm."""


@dataclass(frozen=True, eq=False)
class Certificates:
    """The images that broke examples, as changes of the clean ones.

    ``at`` are places of examples in the evidence, in rising order; the change of each is ``coded``
    in steps of its ``scale``. Where the image that this gives is not misclassified like the one
    that was found, the change is kept to the bit instead: ``exact``, of the examples ``exact_at``.
    Of a ``kind`` "sample", ``digests`` has a sha256 of every packed image, kept or not, and zeros
    where none broke the example.
    """

    kind: EvidenceKind
    at: Int[np.ndarray, " m"]
    coded: Int8[np.ndarray, "m c h w"]
    scale: Float32[np.ndarray, " m"]
    exact_at: Int[np.ndarray, " k"]
    exact: Float64[np.ndarray, "k c h w"]
    digests: UInt8[np.ndarray, "n 32"] | None = None

    def __len__(self) -> int:
        return len(self.at) + len(self.exact_at)

    @property
    def places(self) -> Int[np.ndarray, " p"]:
        """The places of all examples that are certified, in rising order."""
        return np.sort(np.concatenate([self.at, self.exact_at]))

    def lengths(self, norm: NormName) -> tuple[Int[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
        """Return the places of all certified examples, and how long their changes are.

        Unpacking cuts pixels to [0, 1], where the clean ones are: that makes no change longer. So
        no image is farther from its clean one than this, whatever that is.
        """
        parts = [slice(start, start + _AT_ONCE) for start in range(0, len(self.at), _AT_ONCE)]
        found = [LENGTHS[norm](_flat(changes(self.coded[one], self.scale[one]))) for one in parts]
        found.append(LENGTHS[norm](_flat(self.exact)))
        return np.concatenate([self.at, self.exact_at]), np.concatenate(found)

    def images(
        self, places: Sequence[int], clean: Float32[np.ndarray, "b c h w"]
    ) -> Float32[np.ndarray, "b c h w"]:
        """Return the images of some certified examples, beside their clean ones."""
        coded = {place: row for row, place in enumerate(self.at.tolist())}
        exact = {place: row for row, place in enumerate(self.exact_at.tolist())}
        found = np.empty_like(clean)
        for number, place in enumerate(places):
            here = slice(number, number + 1)
            if place in coded:
                row = slice(coded[place], coded[place] + 1)
                change = changes(self.coded[row], self.scale[row])
            else:
                change = self.exact[exact[place] : exact[place] + 1]
            found[here] = moved(clean[here], change)
        return found

    def only(self, places: Int[np.ndarray, " p"]) -> "Certificates":
        """Return those of some places; all digests stay."""
        coded, exact = np.isin(self.at, places), np.isin(self.exact_at, places)
        return Certificates(
            self.kind,
            *(self.at[coded], self.coded[coded], self.scale[coded]),
            *(self.exact_at[exact], self.exact[exact], self.digests),
        )

    def packed_digests(self) -> dict[int, bytes]:
        """Return the sha256 of every packed image that is kept, by its place."""
        rows = zip(self.at.tolist(), self.scale, self.coded, strict=True)
        found = {place: digest_of(scale, coded) for place, scale, coded in rows}
        exact = zip(self.exact_at.tolist(), self.exact, strict=True)
        return found | {place: digest_of(None, change) for place, change in exact}

    def arrays(self) -> dict[str, Any]:
        """Return the arrays that evidence keeps, by name."""
        kept = {name: value for name, value in vars(self).items() if value is not None}
        return {f"{_PREFIX}{name}": np.asarray(value) for name, value in kept.items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], n: int) -> "Certificates | None":
        """Return what arrays of ``n`` examples hold, None where they hold verdicts alone.

        Raises:
            BadValueError: They are not what ``arrays`` gives; the message goes on from the file's
                name.
        """
        named = {
            name.removeprefix(_PREFIX): one
            for name, one in arrays.items()
            if name.startswith(_PREFIX)
        }
        if not named:
            return None
        if missing := [name for name in ("kind", *_ARRAYS) if name not in named]:
            raise BadValueError(f"lacks {_PREFIX}{missing[0]}")
        kind = str(named.pop("kind"))
        if kind not in _KINDS:
            raise BadValueError(f"holds certificates of kind {kind!r}, expected full or sample")
        found = cls(kind, **{name: named.pop(name) for name in _ARRAYS}, **named)
        _check(found, n)
        return found


_ARRAYS = ("at", "coded", "scale", "exact_at", "exact")
"""What there must be; types and lengths are for whoever reads a file to check."""


def _check(found: Certificates, n: int) -> None:
    """Check that images are of one size, of examples that there are, and that numbers are numbers.

    Raises:
        BadValueError: Something is not as it was written.
    """
    coded, exact = found.coded.shape, found.exact.shape
    one_size = not coded[0] or not exact[0] or coded[1:] == exact[1:]
    kept_once = not len(np.intersect1d(found.at, found.exact_at))
    rising = all((np.diff(at) > 0).all() for at in (found.at, found.exact_at))
    within = ((found.places >= 0) & (found.places < n)).all()
    sample_has_digests = (found.digests is None) == (found.kind != "sample")
    finite = np.isfinite(found.scale).all() and np.isfinite(found.exact).all()
    for holds, wrong in (
        (one_size, f"images of two sizes, {list(coded[1:])} and {list(exact[1:])}"),
        (rising and kept_once, "an example twice or out of order"),
        (within, f"other examples than those at 0 to {n - 1}"),
        (finite, "changes that are NaN or infinite"),
        ((found.scale > 0).all(), "a scale that is not above 0"),
        (sample_has_digests, "digests, which belong to a sample, or a sample without them"),
    ):
        if not holds:
            raise BadValueError(f"holds certificates with {wrong}")


def encode(
    clean: Float32[np.ndarray, "n c h w"],
    found: Float32[np.ndarray, "n c h w"],
    norm: NormName,
    eps: float,
) -> tuple[Int8[np.ndarray, "n c h w"], Float32[np.ndarray, " n"]]:
    """Return changes of images in steps, and the size of each image's steps.

    In Linf a step is a 127th of eps, otherwise of the largest change of a pixel, made smaller where
    rounding would make the change longer than eps.
    """
    change = exact_changes(clean, found)
    if norm == "Linf":
        scale = np.full(len(change), linf_step(eps))
    else:
        largest = np.abs(_flat(change)).max(axis=1, initial=0.0)
        scale = np.maximum((largest / STEPS).astype(np.float32), _LEAST_STEP)
    steps = change / scale.astype(np.float64)[:, None, None, None]
    coded = np.rint(steps).clip(-STEPS, STEPS).astype(np.int8)
    if norm != "Linf":
        lengths = LENGTHS[norm](_flat(changes(coded, scale)))
        shrink = np.minimum(1, eps / np.maximum(lengths, np.finfo(np.float64).tiny))
        scale = (scale * shrink).astype(np.float32)
    return coded, scale


def linf_step(eps: float) -> np.float32:
    """Return the size of the steps in Linf."""
    return max(np.float32(eps / STEPS), _LEAST_STEP)


def exact_changes(
    clean: Float32[np.ndarray, "n c h w"], found: Float32[np.ndarray, "n c h w"]
) -> Float64[np.ndarray, "n c h w"]:
    """Return by how much images were changed, in float64, which gives them back to the bit."""
    return found.astype(np.float64) - clean.astype(np.float64)


def changes(
    coded: Int8[np.ndarray, "n c h w"], scale: Float32[np.ndarray, " n"]
) -> Float64[np.ndarray, "n c h w"]:
    """Return the changes that were coded; a product of two numbers, the same everywhere."""
    return coded.astype(np.float64) * scale.astype(np.float64)[:, None, None, None]


def moved(
    clean: Float32[np.ndarray, "n c h w"], change: Float64[np.ndarray, "n c h w"]
) -> Float32[np.ndarray, "n c h w"]:
    """Return changed images, cut to [0, 1]: a sum and a rounding, the same everywhere."""
    found: Float32[np.ndarray, "b c h w"] = (clean.astype(np.float64) + change).astype(np.float32)
    return found.clip(0, 1)


def digest_of(scale: np.float32 | None, values: Shaped[np.ndarray, "c h w"]) -> bytes:
    """Return the sha256 of a packed image; ``scale`` is None where its change is exact."""
    digest = hashlib.sha256(b"exact" if scale is None else b"coded")
    if scale is not None:
        digest.update(np.asarray(scale, "<f4").tobytes())
    digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    return digest.digest()


def kind_for(n: int, n_pixels: int, wanted: EvidenceKind | None) -> EvidenceKind:
    """Return what to keep of a set of ``n`` images of so many pixel values each."""
    return wanted or ("full" if n * n_pixels <= FULL_MOST else "sample")


def sampled(
    identity: str, index: Int[np.ndarray, " n"], places: Int[np.ndarray, " p"]
) -> Int[np.ndarray, " s"]:
    """Return which of some places a sample keeps: the same, however a run was cut.

    The run and each example's index decide, so that nobody chooses.
    """
    keys = {
        place: hashlib.sha256(f"{identity} {number}".encode()).digest()
        for place, number in zip(places.tolist(), index[places].tolist(), strict=True)
    }
    return np.array(sorted(sorted(keys, key=keys.__getitem__)[:SAMPLE]), np.int64)


def too_long(found: Certificates, norm: NormName, eps: float) -> list[tuple[int, float]]:
    """Return the places whose changes leave the ball, and how long these are."""
    places, lengths = found.lengths(norm)
    outside = ~(lengths <= eps + TOLERANCES[norm])
    return list(zip(places[outside].tolist(), lengths[outside].tolist(), strict=True))


def no_digests(n: int, kind: EvidenceKind) -> UInt8[np.ndarray, "n 32"] | None:
    """Return the digests of ``n`` examples before any is known, None where all images are kept."""
    return np.zeros((n, _SHA256_BYTES), np.uint8) if kind == "sample" else None


def together(
    parts: Sequence[Certificates], digests: UInt8[np.ndarray, "n 32"] | None
) -> Certificates:
    """Return the certificates of examples that have none in common, in the order of their places.

    Args:
        parts: Of one kind, with the places that they have in the whole set.
        digests: Those of the whole set.
    """
    at, exact_at = (np.concatenate([getattr(one, name) for one in parts]) for name in _PLACES)
    order, exact_order = at.argsort(), exact_at.argsort()
    return Certificates(
        parts[0].kind,
        at[order],
        np.concatenate([one.coded for one in parts])[order],
        np.concatenate([one.scale for one in parts])[order],
        exact_at[exact_order],
        np.concatenate([one.exact for one in parts])[exact_order],
        digests,
    )


def joined(
    parts: Sequence[tuple[slice, Certificates]], identity: str, index: Int[np.ndarray, " n"]
) -> Certificates:
    """Return the certificates of shards together, as if they had never been cut.

    Args:
        parts: Of each shard, the places of its examples in the whole set, and its certificates.
        identity: The hash of the run.
        index: Of the whole set.
    """
    every = np.arange(len(index))
    moved_on = [
        replace(one, at=every[where][one.at], exact_at=every[where][one.exact_at])
        for where, one in parts
    ]
    digests = no_digests(len(index), parts[0][1].kind)
    if digests is None:
        return together(moved_on, None)
    for where, one in parts:
        digests[where] = one.digests
    whole = together(moved_on, digests)
    return whole.only(sampled(identity, index, whole.places))


def _flat(values: Float64[np.ndarray, "n c h w"]) -> Float64[np.ndarray, "n d"]:
    return values.reshape(len(values), math.prod(values.shape[1:]))
