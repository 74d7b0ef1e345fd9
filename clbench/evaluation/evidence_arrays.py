"""What arrays there are in evidence, each with its type and its axes."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from clbench.runtime.npy_headers import Header
from clbench.schema.errors import BadValueError
from clbench.schema.text import cut

TEXT = "text"


class Form(NamedTuple):
    """The type of an array, and its axes: of equal names equally long, or so long as they say."""

    dtype: str
    axes: tuple[str, ...] = ()

    def fits(self, header: Header) -> bool:
        """Say whether an array has this type, and as many axes."""
        is_text = header.dtype.kind == "U" and header.dtype.isnative
        fits = is_text if self.dtype == TEXT else header.dtype == np.dtype(self.dtype)
        return fits and len(header.shape) == len(self.axes)


OF_EXAMPLES: Mapping[str, Form] = {
    **dict.fromkeys(("index", "label", "clean_pred", "adv_pred"), Form("int64", ("n",))),
    "broken_by": Form(TEXT, ("n",)),
}
"""What there is of every example."""

OPTIONAL: Mapping[str, Form] = {
    "logits": Form("float32", ("m", "k")),
    "adversarial": Form("float32", ("n", "c", "h", "w")),
}
"""What there may be besides."""

_OF_CERTIFICATES: Mapping[str, Form] = {
    "certificate_kind": Form(TEXT),
    "certificate_at": Form("int64", ("coded",)),
    "certificate_coded": Form("int8", ("coded", "c", "h", "w")),
    "certificate_scale": Form("float32", ("coded",)),
    "certificate_exact_at": Form("int64", ("exact",)),
    "certificate_exact": Form("float64", ("exact", "c", "h", "w")),
    "certificate_digests": Form("uint8", ("n", "32")),
}

FORMS = {"identity": Form(TEXT), **OF_EXAMPLES, **OPTIONAL, **_OF_CERTIFICATES}

_OF_IMAGES = ("c", "h", "w")
"""Axes that have no length where there is no image."""


def check_arrays(headers: Mapping[str, Header], needed: Collection[str]) -> None:
    """Check that there are all arrays that are needed, none that is unknown, and each in its form.

    Raises:
        BadValueError: Otherwise; the message says which, what it is and what was expected, and
            goes on from the file's name.
    """
    if missing := [name for name in needed if name not in headers]:
        raise BadValueError(f"lacks {', '.join(missing)}")
    lengths = {"32": 32}
    for name, header in sorted(headers.items(), key=lambda one: _place(one[0])):
        if name not in FORMS:
            raise BadValueError(f"holds {cut(name)!r} as {header}, which no evidence does")
        form = FORMS[name]
        wanted = [lengths.get(axis, axis) for axis in form.axes]
        pairs = zip(header.shape, wanted, strict=False)
        if not form.fits(header) or any(had != n for had, n in pairs if isinstance(n, int)):
            expected = f"{form.dtype} [{', '.join(map(str, wanted))}]"
            raise BadValueError(f"holds {name} as {header}, expected {expected}")
        found = zip(form.axes, header.shape, strict=True)
        lengths |= {axis: length for axis, length in found if axis not in _OF_IMAGES}


def _place(name: str) -> int:
    return list(FORMS).index(name) if name in FORMS else len(FORMS)
