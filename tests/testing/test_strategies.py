"""Strategies keep their promises; random programs are moderate, smooth and raise no false alarm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import funcgrad as fg
from funcgrad.core.errors import ArgumentError
from funcgrad.testing import check_grads
from funcgrad.testing.programs import random_program
from funcgrad.testing.strategies import (
    arguments_of,
    arrays,
    directions,
    functions,
    like,
    shapes,
    shapes_that_broadcast,
)

quick = settings(max_examples=30, deadline=None, database=None)
DTYPES = st.sampled_from([np.float64, np.float32, np.complex128, np.complex64])


@quick
@given(data=st.data(), dtype=DTYPES)
def test_arrays_have_the_shape_and_dtype_that_are_asked_for(data: Any, dtype: Any) -> None:
    shape = data.draw(shapes(max_dims=3, min_side=0))
    for domain in ("real", "distinct", "smooth", (0.0, 1.0)):
        x = data.draw(arrays(shape, dtype, domain))
        assert np.shape(x) == shape
        assert x.dtype == dtype


@quick
@given(positive=arrays(domain="positive"), unit=arrays(domain="unit"), interval=arrays((3,), domain=(5.0, 6.0)))
def test_arrays_lie_in_their_interval(positive: Any, unit: Any, interval: Any) -> None:
    assert np.all(positive > 0)
    assert np.all((unit > 0) & (unit < 1))
    assert np.all((interval >= 5) & (interval <= 6))


@quick
@given(distinct=arrays((4,), domain="distinct"), smooth=arrays((2, 3), domain="smooth"))
def test_arrays_apart_keep_their_distance(distinct: Any, smooth: Any) -> None:
    assert np.min(np.diff(np.sort(distinct))) >= 0.2
    assert np.min(np.diff(np.sort(smooth, axis=None))) >= 0.2
    assert np.min(np.abs(smooth)) >= 0.1
    assert np.min(np.abs(smooth - np.rint(smooth))) >= 0.1


@quick
@given(data=st.data(), dtype=DTYPES)
def test_arrays_of_matrices_are_what_they_are_called(data: Any, dtype: Any) -> None:
    n = data.draw(st.integers(1, 4))
    shape = data.draw(st.sampled_from([(n, n), (2, n, n)]))
    eps = 200 * np.finfo(dtype).eps
    orthogonal = data.draw(arrays(shape, dtype, "orthogonal"))
    np.testing.assert_allclose(orthogonal @ orthogonal.conj().mT, np.broadcast_to(np.eye(n), shape), atol=eps)
    definite = data.draw(arrays(shape, dtype, "positive definite"))
    np.testing.assert_allclose(definite, definite.conj().mT, atol=eps)
    assert np.min(np.linalg.eigvalsh(definite)) > 0.9
    conditioned = data.draw(arrays(shape, dtype, "well-conditioned"))
    assert np.max(np.linalg.cond(conditioned)) < 4


def test_arrays_shrink_to_simple_ones() -> None:
    x = find(arrays((3,)), lambda x: np.any(x > 0.5), settings=quick)
    assert set(x) <= {0.0, 1.0}
    assert find(arrays(domain="orthogonal"), lambda x: True, settings=quick).shape == (1, 1)


def test_arrays_bad_domains_are_refused() -> None:
    with pytest.raises(ArgumentError, match="domain='imaginary'"):
        arrays((2,), domain="imaginary")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="orthogonal matrix is square"):
        find(arrays((2, 3), domain="orthogonal"), lambda x: True, settings=quick)


@quick
@given(data=st.data())
def test_like_keeps_structure_and_everything_that_is_no_float(data: Any) -> None:
    example = {"w": np.zeros((2, 3), np.float32), "b": 0.5, "n": 3, "name": "layer", "z": 1j, "rest": [np.arange(3)]}
    drawn = data.draw(like(example, (1.0, 2.0)))
    assert drawn["w"].shape == (2, 3)
    assert drawn["w"].dtype == np.float32
    assert type(drawn["b"]) is float
    assert 1 <= drawn["b"] <= 2
    assert type(drawn["z"]) is complex
    assert (drawn["n"], drawn["name"]) == (3, "layer")
    np.testing.assert_array_equal(drawn["rest"][0], np.arange(3))


@quick
@given(ts=directions((np.zeros(3), {"a": 1.0})))
def test_directions_are_tangents(ts: Any) -> None:
    assert np.max(np.abs(ts[0])) <= 1
    _, y_dot = fg.jvp(lambda x, p: np.sum(x) * p["a"], (np.zeros(3), {"a": 1.0}), ts)
    assert y_dot == pytest.approx(np.sum(ts[0]))


@quick
@given(pair=shapes_that_broadcast(3))
def test_shapes_that_broadcast_do(pair: Any) -> None:
    assert len(pair) == 3
    np.broadcast_shapes(*pair)


@quick
@given(data=st.data(), scalar=st.booleans(), smooth=st.booleans())
def test_functions_are_programs_with_a_text_that_gives_the_same(data: Any, scalar: bool, smooth: bool) -> None:
    program = data.draw(functions(scalar=scalar, smooth=smooth))
    args = data.draw(arguments_of(program))
    y = program(*args)
    assert np.isfinite(y).all()
    assert np.shape(y) == () or not scalar
    assert repr(program).startswith("\ndef program(x0")
    assert fg.make_jaxpr(program)(*args).out_avals[0].shape == np.shape(y)


def test_functions_shrink_to_one_line() -> None:
    program = find(functions(), lambda program: "np.sin" in program.source, settings=settings(quick, max_examples=300))
    assert program.source.count("\n") == 3


COUNT = 40


@pytest.mark.parametrize("smooth", [True, False])
def test_random_programs_of_many_seeds_are_all_well_formed(smooth: bool) -> None:
    for seed in range(600):
        program = random_program(np.random.default_rng(seed), smooth=smooth)
        assert np.isfinite(program(*program.example())).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("smooth", [True, False])
def test_check_grads_of_random_functions_raises_no_false_alarm(dtype: Any, smooth: bool) -> None:
    # A thousand by `python -m tests.testing.random_functions`.
    for seed in range(COUNT):
        program = random_program(np.random.default_rng(seed), smooth=smooth)
        report = check_grads(program, program.example(seed, dtype), order=2)
        assert not report.undecided
