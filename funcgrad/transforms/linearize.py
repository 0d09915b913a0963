"""The linear part of a function at a point, as a jaxpr: the primal values are known, the tangents are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import get_aval
from funcgrad.core.jaxpr import Jaxpr, recording_to_jaxpr
from funcgrad.core.tracing import Recording
from funcgrad.transforms.jvp import push_forward
from funcgrad.transforms.transpose import tangent_aval


def linearize(function: Callable[..., Any], primals: Sequence[Any], user: Any = None) -> tuple[list[Any], Jaxpr]:
    """Values of a flat function, and the jaxpr from input tangents to output tangents."""
    recording = Recording("linearize", user or function, differentiating=True)
    linear = Recording("linearize", user or function, abstract=True)
    try:
        outputs = [recording.lower(y) for y in function(*map(recording.input, primals))]
        x_dots = [linear.input(tangent_aval(x)) for x in primals]
        y_dots = push_forward(recording, x_dots, [number for _, number in outputs])
        y_dots = [
            np.zeros(get_aval(y).shape, get_aval(y).dtype) if y_dot is None else y_dot
            for (y, _), y_dot in zip(outputs, y_dots, strict=True)
        ]
        return [y for y, _ in outputs], recording_to_jaxpr(linear, y_dots)
    finally:
        recording.close()
        linear.close()
