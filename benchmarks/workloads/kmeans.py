"""kmeans: the Newton direction of `sum_i min_j |C_j - P_i|^2` in the centroids C.

It is the gradient divided by the diagonal of the Hessian, which has nothing beside its diagonal: one product of the
Hessian with ones.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload


def make_inputs(k: int, n: int, d: int) -> Inputs:
    points = np.random.default_rng(31337).uniform(size=(n, d))
    # Each of these is its own nearest centroid, so that no cluster is empty.
    return {"points": points, "centroids": points[-k:].copy()}


def reference(inputs: Inputs) -> tuple[Any, ...]:
    points, centroids = inputs["points"], inputs["centroids"]
    nearest = np.concatenate(
        [
            np.argmin(((p[:, None] - centroids) ** 2).sum(axis=2), axis=1)
            for p in np.array_split(points, len(points) // 100 + 1)
        ]
    )
    means = [np.mean(points[nearest == j], axis=0) for j in range(len(centroids))]
    return (centroids - np.stack(means),)


def cost(centroids: Any, points: Any, np: Any = np) -> Any:
    """The definition by `|C|^2 + |P|^2 - 2 C P`, in the NumPy-like namespace given."""
    squares = np.sum(points**2, 1)[:, None] + np.sum(centroids**2, 1)[None, :]
    return np.sum(np.min(squares - 2 * (points @ centroids.T), 1))


def assigned(centroids: Any, points: Any, np: Any, stop_gradient: Any) -> Any:
    """The same in two steps: the nearest centroids, which do not change nearby, and the distances to these."""
    centres = stop_gradient(centroids)
    nearest = np.argmin(np.sum(centres**2, axis=1) - 2 * (points @ centres.T), axis=1)
    return np.sum((points - centroids[nearest]) ** 2)


def direction(points: Any, centroids: Any, cost: Any = cost) -> Any:
    """The Newton direction in funcgrad."""
    import funcgrad

    gradient = funcgrad.grad(lambda c: cost(c, points))
    d, hessian = funcgrad.jvp(gradient, (centroids,), (np.ones(centroids.shape),))
    return d / hessian


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    f = funcgrad.jit(lambda points, centroids: direction(points, centroids))
    return lambda: f(inputs["points"], inputs["centroids"])


def funcgrad_assigned(inputs: Inputs) -> Call:
    import funcgrad

    cost = partial(assigned, np=np, stop_gradient=funcgrad.stop_gradient)
    f = funcgrad.jit(lambda points, centroids: direction(points, centroids, cost))
    return lambda: f(inputs["points"], inputs["centroids"])


def _jax(f: Any, inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def direction(points: Any, centroids: Any) -> Any:
        gradient = jax.grad(lambda c: f(c, points))
        d, hessian = jax.jvp(gradient, (centroids,), (jnp.ones_like(centroids),))
        return d / hessian

    return lambda: np.asarray(direction(inputs["points"], inputs["centroids"]))


def jax_(inputs: Inputs) -> Call:
    import jax.numpy as jnp

    return _jax(lambda c, points: cost(c, points, jnp), inputs)


def jax_assigned(inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    return _jax(lambda c, points: assigned(c, points, jnp, jax.lax.stop_gradient), inputs)


def _torch(f: Any, inputs: Inputs) -> Call:
    import torch

    def call() -> Any:
        points = torch.from_numpy(inputs["points"])
        centroids = torch.from_numpy(inputs["centroids"]).requires_grad_()
        (d,) = torch.autograd.grad(f(centroids, points), centroids, create_graph=True)
        (hessian,) = torch.autograd.grad(d.sum(), centroids)
        return (d.detach() / hessian).numpy()

    return call


def torch_(inputs: Inputs) -> Call:
    def distances(centroids: Any, points: Any) -> Any:
        squares = (points**2).sum(1)[:, None] + (centroids**2).sum(1)[None, :]
        return (squares - 2 * (points @ centroids.T)).amin(1).sum()

    return _torch(distances, inputs)


def torch_assigned(inputs: Inputs) -> Call:
    import torch

    def two_steps(centroids: Any, points: Any) -> Any:
        with torch.no_grad():
            nearest = ((centroids**2).sum(1) - 2 * (points @ centroids.T)).argmin(1)
        return ((points - centroids[nearest]) ** 2).sum()

    return _torch(two_steps, inputs)


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda c, points: cost(c, points, anp))
    product = autograd.elementwise_grad(gradient)
    return lambda: gradient(inputs["centroids"], inputs["points"]) / product(inputs["centroids"], inputs["points"])


def numpy_(inputs: Inputs) -> Call:
    def direction(points: Any, centroids: Any) -> Any:
        nearest = np.argmin(np.sum(centroids**2, axis=1) - 2 * (points @ centroids.T), axis=1)
        count = np.bincount(nearest, minlength=len(centroids))[:, None]
        total = np.zeros_like(centroids)
        np.add.at(total, nearest, points)
        return (2 * (count * centroids - total)) / (2 * count)

    return lambda: direction(inputs["points"], inputs["centroids"])


def numba_(inputs: Inputs) -> Call:
    """The distances of one point to many centroids at a time, side by side in vector registers, and their least one."""
    import numba

    width = 16 if len(inputs["centroids"]) <= 32 else 64

    @numba.njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
    def direction(points: Any, centroids: Any) -> Any:
        n, d = points.shape
        k = len(centroids)
        blocks = (k + width - 1) // width
        columns = np.full((blocks, d, width), 1e150)
        for j in range(k):
            for c in range(d):
                columns[j // width, c, j % width] = centroids[j, c]
        distance = np.empty(width)
        total, count = np.zeros((k, d)), np.zeros(k)
        for i in range(n):
            least, nearest = np.inf, 0
            for b in range(blocks):
                for j in range(width):
                    distance[j] = 0.0
                for c in range(d):
                    p = points[i, c]
                    for j in range(width):
                        difference = columns[b, c, j] - p
                        distance[j] += difference * difference
                smallest = distance[0]
                for j in range(width):
                    smallest = min(smallest, distance[j])
                if smallest < least:
                    least = smallest
                    j = 0
                    while distance[j] != smallest:
                        j += 1
                    nearest = b * width + j
            count[nearest] += 1
            for c in range(d):
                total[nearest, c] += points[i, c]
        for j in range(k):
            for c in range(d):
                total[j, c] = (2 * (count[j] * centroids[j, c] - total[j, c])) / (2 * count[j])
        return total

    return lambda: direction(inputs["points"], inputs["centroids"])


WORKLOAD = Workload(
    name="kmeans",
    title="Newton direction of the k-means cost",
    sizes=[Size("k=3,n=20,d=2", "smoke", {"k": 3, "n": 20, "d": 2})]
    + [
        Size(f"k={k},n={n},d={d}", group, {"k": k, "n": n, "d": d})
        for k, n, d, group in (
            (10, 1000, 8, "small"),
            (10, 1000, 16, "small"),
            (100, 1000, 8, "medium"),
            (100, 1000, 16, "medium"),
            (10, 10000, 8, "medium"),
            (10, 10000, 16, "medium"),
            (1000, 1000, 8, "medium"),
            (1000, 1000, 16, "medium"),
            (100, 10000, 8, "large"),
            (100, 10000, 16, "large"),
            (1000, 10000, 8, "large"),
            (1000, 10000, 16, "large"),
        )
    ],
    make_inputs=make_inputs,
    reference=reference,
    # With k = n every point is its own centroid and the direction is rounding: measured against the points' size.
    tolerance=1e-9,
    implementations={
        "funcgrad": funcgrad_,
        "funcgrad:assigned": funcgrad_assigned,
        "jax": jax_,
        "jax:assigned": jax_assigned,
        "torch": torch_,
        "torch:assigned": torch_assigned,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
