"""Loops: `scan`, `while_loop`, `fori_loop`, `map`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcgrad.api.batching import vmap
from funcgrad.api.bodies import Body, operands, record_body, record_step, strengthened, strong
from funcgrad.api.remat import Checkpoint, States, memory_limit
from funcgrad.api.results import fresh
from funcgrad.control.binomial import cheapest
from funcgrad.control.checkpointed_while import checkpointed_while
from funcgrad.control.reversal import steps
from funcgrad.control.scan import scan as scan_flat
from funcgrad.control.schedules import checkpointed_scan, step_bytes, while_in_pieces
from funcgrad.control.unrolling import unrolled_scan
from funcgrad.control.while_loop import while_loop as while_flat
from funcgrad.core.avals import ShapedArray, get_aval
from funcgrad.core.errors import ArgumentError, TreeMismatchError, message
from funcgrad.core.jaxpr import Equation, Jaxpr, Literal, Var
from funcgrad.core.naming import name_of
from funcgrad.core.source import caller, definition
from funcgrad.core.tracing import Tracer
from funcgrad.core.tree import TreeDef, leaf_paths, tree_flatten, tree_map, tree_unflatten
from funcgrad.primitives.arithmetic import add_p
from funcgrad.primitives.comparison import less_p
from funcgrad.primitives.shaping import concatenate, slice_axis
from funcgrad.primitives.structural import cast, reshape

# With so many states even loops of many millions of steps run forwards three times at most.
_MOST_STATES = 1000


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    checkpoint: Checkpoint = None,
) -> tuple[Any, Any]:
    """A loop over the rows of arrays that carries a state: `carry, y = f(carry, x)` for each row x.

    f is recorded once, without values. Memory for derivatives is what the backward pass needs of each step.

    Args:
        f: From the carry and a row to the next carry, of the same tree, shapes and dtypes, and an output.
        init: The first carry, any tree.
        xs: A tree of arrays with rows along axis 0, all of one length; None for a loop without.
        length: The number of steps; needed where xs is None.
        reverse: Whether to go from the last row to the first; outputs stand where their rows do.
        unroll: How many steps to take in one round of the loop, a number from 1, or True for all: as many copies of f
            stand one after the other. It changes no result. Where `checkpoint` is given, steps are those rounds.
        checkpoint: How much to keep for derivatives; what is not kept is computed again. An integer s keeps s states
            at a time, and what the backward pass needs of one step: by the binomial schedule no step of
            (s + t)! / (s! t!) runs more than t times forwards, besides once for the value. "sqrt" keeps about
            sqrt(length) states and what as many steps need, and every step runs once more. An amount of memory,
            "64 MB" or "1.5 GiB", takes what costs least within it. None keeps everything.

    Returns:
        The last carry, and the outputs stacked along a new axis 0.

    Raises:
        TreeMismatchError: (a TypeError) f changes the carry's tree, shapes or dtypes.
        ArgumentError: (a ValueError) The rows' numbers differ.

    Example:
        >>> import numpy as np
        >>> scan(lambda total, x: (total + x, total), 0.0, np.array([1.0, 2.0, 3.0]))
        (np.float64(6.0), array([0., 1., 3.]))
    """
    return _scan("scan", f, f, init, xs, length, bool(reverse), checkpoint, unroll)


def _scan(
    construct: str,
    user: Callable[..., Any],
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    checkpoint: Checkpoint = None,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """`scan` on behalf of a construct, of which `user` is the function that messages name."""
    name = f"{construct}({name_of(user)})"
    copies = _copies(name, unroll)
    rows, rows_tree = operands(construct, user, xs, "xs")
    length = _length(user, rows, rows_tree, length, construct)
    carry, carry_tree = operands(construct, user, init, "init")
    row_avals = [ShapedArray(get_aval(x).shape[1:], get_aval(x).dtype) for x in rows]
    tree = tree_flatten((tree_unflatten(carry_tree, carry), tree_unflatten(rows_tree, rows)))[1]
    body, carry = record_step(
        construct,
        f,
        lambda avals: (tree, [*avals, *row_avals]),
        carry_tree,
        carry,
        lambda out_tree, outs: _pair(f, out_tree),
    )
    last, ys = _run_scan(name, body.jaxpr, body.captured, carry, rows, length, reverse, checkpoint, copies)
    results = fresh([*last, *ys], [*carry, *body.captured])
    return tree_unflatten(body.tree, results)


def _copies(name: str, unroll: int | bool) -> int | None:
    """How many steps a round takes; None for all.

    Raises:
        ArgumentError: unroll is no number from 1, nor a truth value.
    """
    if isinstance(unroll, (bool, np.bool_)):
        return None if unroll else 1
    if isinstance(unroll, (int, np.integer)) and unroll >= 1:
        return int(unroll)
    raise ArgumentError(
        message(f"{name} has unroll={unroll!r}.", where=caller(), fix="a number of steps from 1, or True for all.")
    )


def _length(f: Callable[..., Any], rows: Sequence[Any], tree: TreeDef, length: int | None, construct: str) -> int:
    """The number of steps, on which all agree."""
    name = f"{construct}({name_of(f)})"
    lengths = {} if length is None else {"length": int(length)}
    for i, x in enumerate(rows):
        shape = get_aval(x).shape
        if not shape:
            raise ArgumentError(
                message(
                    f"{name} got a number where it needs rows.",
                    value=f"{leaf_paths(tree, 'xs')[i]}: {get_aval(x)!r}",
                    where=caller(),
                    fix="let the function capture what is the same in all steps.",
                )
            )
        lengths[leaf_paths(tree, "xs")[i]] = shape[0]
    if len(set(lengths.values())) > 1:
        raise ArgumentError(
            message(
                f"{name} got different numbers of rows.",
                value=", ".join(f"{path}: {n}" for path, n in lengths.items()),
                where=caller(),
                fix="arrays of equal length along axis 0.",
            )
        )
    if not lengths:
        raise ArgumentError(
            message(
                f"{name} does not know how many steps to take.",
                where=caller(),
                fix="length=n." if construct == "scan" else "an array.",
            )
        )
    (steps,) = set(lengths.values())
    if steps < 0:
        raise ArgumentError(message(f"{name} has length={steps}.", where=caller(), fix="a number from 0."))
    return steps


def _pair(f: Callable[..., Any], tree: TreeDef) -> tuple[TreeDef, int]:
    """The carry's structure in that of a result `(carry, y)`, and the number of its leaves."""
    children = tree.children()
    if tree.type is not tuple or len(children) != 2:
        raise TreeMismatchError(
            message(
                f"scan({name_of(f)}) needs a function that returns a pair.",
                where=definition(f),
                why="the first is the next carry, the second this step's output.",
                fix="return carry, None if there is no output.",
            )
        )
    return children[0], children[0].num_leaves


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any, *, checkpoint: Checkpoint = None
) -> Any:
    """A loop while a condition holds: `while cond_fun(val): val = body_fun(val)`.

    Both functions are recorded once, without values. All derivatives pass, reverse mode too: the loop keeps what the
    backward pass needs of each step.

    Args:
        cond_fun: From the value to one truth value.
        body_fun: From the value to the next, of the same tree, shapes and dtypes.
        init_val: The first value, any tree.
        checkpoint: How much to keep for derivatives, as for `scan`: a number of states, "sqrt", or an amount of
            memory; None keeps everything. For a number and an amount the loop runs once more, to count its steps,
            and an amount is taken as a number of states.

    Returns:
        The value for which cond_fun fails.

    Raises:
        TreeMismatchError: (a TypeError) The condition is no truth value, or body_fun changes tree, shapes or dtypes.

    Example:
        >>> from funcgrad import grad
        >>> def newton_root(a):
        ...     return while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a)
        >>> newton_root(9.0), grad(newton_root)(9.0)
        (np.float64(3.0), np.float64(0.16666666666666669))
    """
    carry, tree = operands("while_loop", body_fun, init_val, "init_val")
    arguments = tree_flatten((tree_unflatten(tree, carry),))[1]
    body, carry = record_step(
        "while_loop",
        body_fun,
        lambda avals: (arguments, avals),
        tree,
        carry,
        lambda out_tree, outs: (out_tree, out_tree.num_leaves),
    )
    cond = record_body("while_loop", cond_fun, arguments, body.avals)
    _check_condition(cond_fun, cond.tree, cond.avals)
    name = f"while_loop({name_of(body_fun)})"
    last = _run_while(name, cond.jaxpr, body.jaxpr, cond.captured, body.captured, carry, checkpoint)
    return tree_unflatten(tree, fresh(last, [*carry, *body.captured]))


def _check_condition(cond_fun: Callable[..., Any], tree: TreeDef, avals: Sequence[ShapedArray]) -> None:
    if tree.is_leaf() and avals and strong(avals[0]) == ShapedArray((), np.bool_):
        return
    what = repr(avals[0]) if tree.is_leaf() and avals else f"a tree of {len(avals)} leaves"
    raise TreeMismatchError(
        message(
            f"while_loop({name_of(cond_fun)}) needs a condition that gives one truth value; it gave {what}.",
            where=definition(cond_fun),
            fix="np.any(...) or np.all(...) of several; x != 0 of a number.",
        )
    )


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
    checkpoint: Checkpoint = None,
) -> Any:
    """A counting loop: `for i in range(lower, upper): val = body_fun(i, val)`.

    body_fun is recorded once, without values. Where lower or upper is traced, the loop is a `while_loop`; all
    derivatives pass all the same.

    Args:
        lower: The first i, an integer.
        upper: The i before which to stop, an integer.
        body_fun: From i and the value to the next value, of the same tree, shapes and dtypes.
        init_val: The first value, any tree.
        unroll: How many steps to take in one round of the loop, as for `scan`; the bounds must not be traced then.
        checkpoint: How much to keep for derivatives, as for `scan`.

    Returns:
        The last value.

    Raises:
        TreeMismatchError: (a TypeError) body_fun changes tree, shapes or dtypes.
        ArgumentError: (a ValueError) lower or upper is no integer.

    Example:
        >>> fori_loop(0, 10, lambda i, total: total + i, 0)
        np.int64(45)
    """
    for bound, x in (("lower", lower), ("upper", upper)):
        aval = get_aval(x)
        if aval.shape or aval.dtype.kind not in "iu":
            raise ArgumentError(
                message(
                    f"fori_loop({name_of(body_fun)}) needs integers for its bounds.",
                    value=f"{bound}: {aval!r}",
                    where=caller(),
                    fix=f"{bound}.astype(int)" if aval.shape == () and hasattr(x, "astype") else "one integer each.",
                )
            )
    name = f"fori_loop({name_of(body_fun)})"
    copies = _copies(name, 1 if unroll is None else unroll)
    if copies != 1 and (isinstance(lower, Tracer) or isinstance(upper, Tracer)):
        raise ArgumentError(
            message(
                f"{name} has unroll={unroll!r} and a traced bound.",
                where=caller(),
                why="how many steps there are is not known when the loop is recorded.",
                fix="unroll=1; or bounds that are plain integers.",
            )
        )
    carry, tree = operands("fori_loop", body_fun, init_val, "init_val")
    arguments = tree_flatten((0, tree_unflatten(tree, carry)))[1]
    counter = ShapedArray((), np.int64)
    body, carry = record_step(
        "fori_loop",
        body_fun,
        lambda avals: (arguments, [counter, *avals]),
        tree,
        carry,
        lambda out_tree, outs: (out_tree, out_tree.num_leaves),
    )
    last = _count(name, body, lower, upper, carry, checkpoint, copies)
    return tree_unflatten(tree, fresh(last, [*carry, *body.captured]))


def _count(
    name: str,
    body: Body,
    lower: Any,
    upper: Any,
    carry: Sequence[Any],
    checkpoint: Checkpoint,
    copies: int | None,
) -> list[Any]:
    """Run a counting loop: so many steps where the bounds are known, a condition where they are traced."""
    captured, inputs = len(body.captured), body.jaxpr.inputs
    following = Var(ShapedArray((), np.int64))
    count = Equation(add_p, [inputs[captured], Literal(np.int64(1))], [following], {})
    counted = Jaxpr(inputs, (), [*body.jaxpr.equations, count], [following, *body.jaxpr.outputs])
    if not (isinstance(lower, Tracer) or isinstance(upper, Tracer)):
        length = max(0, int(upper) - int(lower))
        first = [np.int64(lower), *carry]
        last, _ = _run_scan(name, counted, body.captured, first, [], length, False, checkpoint, copies)
        return last[1:]
    bound, i, pred = (Var(ShapedArray((), dtype)) for dtype in (np.int64, np.int64, np.bool_))
    others = [Var(v.aval) for v in inputs[captured + 1 :]]
    less = Equation(less_p, [i, bound], [pred], {})
    cond = Jaxpr([bound, i, *others], (), [less], [pred])
    start, end = (cast(strengthened(x), np.int64) for x in (lower, upper))
    return _run_while(name, cond, counted, [end], body.captured, [start, *carry], checkpoint)[1:]


def _run_scan(
    name: str,
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
    checkpoint: Checkpoint,
    copies: int | None,
) -> tuple[list[Any], list[Any]]:
    rounds = partial(_checkpointed, memory_limit(name, checkpoint))
    copies = max(length, 1) if copies is None else copies
    return unrolled_scan(rounds, jaxpr, consts, carry, xs, length, reverse, copies)


def _checkpointed(
    limit: States | int | str | None,
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
) -> tuple[list[Any], list[Any]]:
    if limit is None:
        return scan_flat(jaxpr, consts, carry, xs, length, reverse)
    if isinstance(limit, States):
        return steps(jaxpr, consts, carry, xs, length, reverse, limit)
    if limit == "sqrt":
        side = math.isqrt(max(length - 1, 0)) + 1
        sizes = side, side
    else:
        sizes = cheapest(length, *step_bytes(jaxpr, len(consts), len(carry)), int(limit))
    return checkpointed_scan(jaxpr, consts, carry, xs, length, reverse, sizes)


def _run_while(
    name: str,
    cond: Jaxpr,
    body: Jaxpr,
    cond_consts: Sequence[Any],
    consts: Sequence[Any],
    carry: Sequence[Any],
    checkpoint: Checkpoint,
) -> list[Any]:
    limit = memory_limit(name, checkpoint)
    if limit is None:
        return while_flat(cond, body, cond_consts, consts, carry)
    if limit == "sqrt":
        return while_in_pieces(cond, body, cond_consts, consts, carry)
    if not isinstance(limit, States):
        state, step = step_bytes(body, len(consts), len(carry))
        limit = max(1, min((int(limit) - step) // max(2 * state, 1), _MOST_STATES))
    return checkpointed_while(cond, body, cond_consts, consts, carry, limit)


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """f of each row, one after the other, the results stacked: a loop, where `vmap` computes all rows at once.

    Args:
        f: Any function of trees of arrays.
        xs: A tree of arrays with rows along axis 0, all of one length.
        batch_size: How many rows to compute at once, by `vmap`; None for one, 0 for all.

    Returns:
        f's result with rows along a new axis 0.

    Raises:
        ArgumentError: (a ValueError) The rows' numbers differ.

    Example:
        >>> import numpy as np
        >>> map(lambda x: x**2, np.arange(4.0))
        array([0., 1., 4., 9.])
    """
    rows, tree = operands("map", f, xs, "xs")
    steps = _length(f, rows, tree, None, "map")
    if batch_size is None:
        return _map_rows(f, xs)
    if batch_size < 0:
        raise ArgumentError(
            message(f"map({name_of(f)}) has batch_size={batch_size}.", where=caller(), fix="a number from 0, or None.")
        )
    batch_size = batch_size or max(steps, 1)
    batches, left = divmod(steps, batch_size)
    cut = [reshape(slice_axis(x, 0, 0, steps - left), (batches, batch_size, *get_aval(x).shape[1:])) for x in rows]
    results = []
    if batches:
        ys = _map_rows(vmap(f), tree_unflatten(tree, cut))
        results.append(tree_map(lambda y: reshape(y, (steps - left, *get_aval(y).shape[2:])), ys))
    if left or not batches:
        results.append(vmap(f)(tree_unflatten(tree, [slice_axis(x, 0, steps - left, steps) for x in rows])))
    return results[0] if len(results) == 1 else tree_map(lambda *ys: concatenate(ys), *results)


def _map_rows(f: Callable[[Any], Any], xs: Any) -> Any:
    return _scan("map", f, lambda carry, x: (carry, f(x)), (), xs)[1]
