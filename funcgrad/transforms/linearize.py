"""The linear part of a function at a point, as a jaxpr: the primal values are known, the tangents are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.jaxpr import Jaxpr, recording_to_jaxpr
from funcgrad.core.tracing import Recording
from funcgrad.transforms.jvp import prune, push_forward
from funcgrad.transforms.transpose import tangent_aval


def linear_part(recording: Recording, outputs: Sequence[tuple[Any, int | None]]) -> Jaxpr:
    """The jaxpr from the tangents of a recording's inputs to those of its outputs.

    Args:
        outputs: Values one level below the recording with their variables' numbers, as `Recording.lower` gives them.
    """
    ids = [number for _, number in outputs]
    prune(recording, ids)
    linear = Recording(recording.transformation, recording.function, abstract=True)
    try:
        y_dots = push_forward(recording, [linear.input(tangent_aval(x)) for x in recording.inputs], ids)
        full = [_zeros(y) if y_dot is None else y_dot for (y, _), y_dot in zip(outputs, y_dots, strict=True)]
        return recording_to_jaxpr(linear, full)
    finally:
        linear.close()


def _zeros(y: Any) -> Any:
    aval = get_aval(y)
    return np.zeros(aval.shape, aval.dtype if aval.dtype.kind in "fc" else np.float64)
