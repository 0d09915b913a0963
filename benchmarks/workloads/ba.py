"""ba: bundle adjustment, the sparse Jacobian of all residuals in all cameras, points and weights.

A camera has 11 numbers: Rodrigues rotation r, centre C, focal length f, principal point u, radial distortion k1, k2.
An observation of a point X by a camera, with a weight w, has the residuals `w (projection - feature)` and `1 - w^2`.
The Jacobian is returned as the 31 values that each observation has, in the order of CSR: 15 for each of the two
coordinates (camera, point, weight), for all observations, then one for each weight. Where they stand does not change,
so that a solver prepares it once: `pattern`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

CAMERA, POINT = 11, 3
ROW = CAMERA + POINT + 1


def make_inputs(n: int, m: int, p: int) -> Inputs:
    """n cameras that look at m points in p observations; the first two cameras are not rotated at all."""
    rng = np.random.default_rng(31337)
    rotation = rng.normal(0, 0.3, (n, 3))
    rotation[:2] = 0.0
    cameras = np.concatenate(
        [
            rotation,
            rng.normal(0, 1, (n, 3)) + np.array([0, 0, -10]),
            rng.uniform(500, 1500, (n, 1)),
            rng.normal(0, 10, (n, 2)),
            rng.normal(0, 0.01, (n, 2)),
        ],
        axis=1,
    )
    observations = np.stack([np.arange(p) % n, np.arange(p) % m], axis=1)
    return {
        "cameras": cameras,
        "points": rng.normal(0, 1, (m, 3)),
        "weights": rng.uniform(0.5, 1.0, p),
        "observations": observations,
        "features": rng.normal(0, 200, (p, 2)),
    }


def pattern(inputs: Inputs) -> tuple[Any, Any]:
    """`indptr` and `indices` of the Jacobian in CSR."""
    n, m, p = len(inputs["cameras"]), len(inputs["points"]), len(inputs["weights"])
    camera, point = inputs["observations"].T
    weight = CAMERA * n + POINT * m + np.arange(p)
    columns = np.concatenate(
        [
            CAMERA * camera[:, None] + np.arange(CAMERA),
            CAMERA * n + POINT * point[:, None] + np.arange(POINT),
            weight[:, None],
        ],
        axis=1,
    )
    indices = np.concatenate([np.repeat(columns, 2, axis=0).ravel(), weight])
    return np.concatenate([ROW * np.arange(2 * p + 1), 2 * ROW * p + 1 + np.arange(p)]), indices


def observed(inputs: Inputs) -> tuple[Any, ...]:
    """Camera, point, weight and feature of each observation: a solver gathers them at each step."""
    camera, point = inputs["observations"].T
    return inputs["cameras"][camera], inputs["points"][point], inputs["weights"], inputs["features"]


def rotate(r: Any, x: Any, np: Any) -> Any:
    """x (3, ...) rotated by r (3, ...): Rodrigues' formula, and its linear part where r is 0."""
    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    some = square > 0
    theta = np.sqrt(np.where(some, square, 1.0))
    cosine, sine = np.cos(theta), np.sin(theta)
    w = [r_ / theta for r_ in r]
    projection = (w[0] * x[0] + w[1] * x[1] + w[2] * x[2]) * (1 - cosine)
    w_x, r_x = cross(w, x), cross(r, x)
    return [np.where(some, x[i] * cosine + w_x[i] * sine + w[i] * projection, x[i] + r_x[i]) for i in range(3)]


def cross(a: Any, b: Any) -> list[Any]:
    """The cross product of lists of three."""
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def residual(camera: Any, point: Any, w: Any, feature: Any, np: Any = np) -> list[Any]:
    """The two residuals in the NumPy-like namespace given; coordinates are the first axis, others follow or not."""
    x = rotate(camera[:3], [point[i] - camera[3 + i] for i in range(3)], np)
    u, v = x[0] / x[2], x[1] / x[2]
    square = u * u + v * v
    distortion = 1 + camera[9] * square + camera[10] * square * square
    return [
        w * (u * distortion * camera[6] + camera[7] - feature[0]),
        w * (v * distortion * camera[6] + camera[8] - feature[1]),
    ]


def values(rows: Any, w: Any, np: Any = np) -> Any:
    """The values in order, from the rows (p, 2, 15) of the projections."""
    return np.concatenate([rows.reshape(-1), -2 * w])


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return (by_hand(inputs),)


def by_hand(inputs: Inputs) -> Any:
    """The chain rule by hand, for all observations at once."""
    cameras, points, w, features = observed(inputs)
    p = len(w)
    r, x = cameras[:, :3].T.copy(), (points - cameras[:, 3:6]).T.copy()
    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    some = square > 0
    theta = np.sqrt(np.where(some, square, 1.0))
    # Where r is 0: sine and theta 1, cosine 0 give x + r * x below, with the axis r.
    cosine, sine = np.where(some, np.cos(theta), 1.0), np.where(some, np.sin(theta), 1.0)
    axis = r / theta
    w_x = np.stack(cross(axis, x))
    along = np.sum(axis * x, axis=0)
    turned = x * cosine + w_x * sine + axis * (along * (1 - cosine))
    # Derivatives of the turned point: in r_i and in x_i.
    turned_r, turned_x = np.empty((3, 3, p)), np.empty((3, 3, p))
    unit = np.eye(3)
    for i in range(3):
        d_axis = np.where(some, (unit[i][:, None] - axis[i] * axis) / theta, unit[i][:, None])
        d_theta = np.where(some, axis[i], 0.0)
        d_along = np.sum(d_axis * x, axis=0)
        turned_r[i] = (
            (w_x * cosine - x * sine + axis * (along * sine)) * d_theta
            + np.stack(cross(d_axis, x)) * sine
            + (d_axis * along + axis * d_along) * (1 - cosine)
        )
        e = np.repeat(unit[i][:, None], p, axis=1)
        turned_x[i] = e * cosine + np.stack(cross(axis, e)) * sine + axis * (axis[i] * (1 - cosine))
    u = turned[:2] / turned[2]
    square = u[0] ** 2 + u[1] ** 2
    f, k1, k2 = cameras[:, 6], cameras[:, 9], cameras[:, 10]
    distortion = 1 + k1 * square + k2 * square**2
    slope = 2 * (k1 + 2 * k2 * square)
    rows = np.empty((p, 2, ROW))

    def through(turned_dot: Any) -> Any:
        """The derivative of the projection, from that of the turned point."""
        u_dot = (turned_dot[:2] - u * turned_dot[2]) / turned[2]
        return w * f * (distortion * u_dot + u * (slope * (u[0] * u_dot[0] + u[1] * u_dot[1])))

    for i in range(3):
        rows[:, :, i] = through(turned_r[i]).T
        in_point = through(turned_x[i]).T
        rows[:, :, CAMERA + i] = in_point
        rows[:, :, 3 + i] = -in_point
    rows[:, :, 6] = (w * distortion * u).T
    rows[:, :, 7:9] = w[:, None, None] * np.eye(2)
    rows[:, :, 9] = (w * f * square * u).T
    rows[:, :, 10] = (w * f * square**2 * u).T
    rows[:, :, 14] = (u * distortion * f).T + cameras[:, 7:9] - features
    return values(rows, w)


def jacobian_values(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
    """The Jacobian in funcgrad: that of one observation, for all of them."""
    import funcgrad

    def stacked(camera: Any, point: Any, w: Any, feature: Any) -> Any:
        return np.stack(residual(camera, point, w, feature))

    jacobian = funcgrad.vmap(funcgrad.jacobian(stacked, argnums=(0, 1, 2)))
    in_camera, in_point, in_weight = jacobian(cameras[camera], points[point], w, features)
    return values(np.concatenate([in_camera, in_point, in_weight[:, :, None]], axis=2), w)


def funcgrad_(inputs: Inputs) -> Call:
    import funcgrad

    return _call(funcgrad.jit(jacobian_values), inputs)


def funcgrad_pullback(inputs: Inputs) -> Call:
    import funcgrad

    @funcgrad.jit
    def call(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
        def stacked(cameras: Any, points: Any, w: Any) -> Any:
            return np.stack(residual(cameras, points, w, features.T))

        _, pullback = funcgrad.vjp(stacked, cameras[camera].T, points[point].T, w)
        rows = [np.concatenate([a, b, c[None]]) for a, b, c in (pullback(_one_row(i, len(w))) for i in range(2))]
        return values(np.stack(rows).transpose(2, 0, 1), w)

    return _call(call, inputs)


def _one_row(i: int, p: int) -> Any:
    """The cotangent of one of the two residuals of every observation: no residual knows another's parameters."""
    ct = np.zeros((2, p))
    ct[i] = 1.0
    return ct


def _call(f: Any, inputs: Inputs) -> Call:
    camera, point = (np.ascontiguousarray(i) for i in inputs["observations"].T)
    arguments = [inputs["cameras"], inputs["points"], inputs["weights"], inputs["features"], camera, point]
    return lambda: f(*arguments)


def jax_(inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    def stacked(camera: Any, point: Any, w: Any, feature: Any) -> Any:
        return jnp.stack(residual(camera, point, w, feature, jnp))

    jacobian = jax.vmap(jax.jacrev(stacked, argnums=(0, 1, 2)))

    @jax.jit
    def call(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
        in_camera, in_point, in_weight = jacobian(cameras[camera], points[point], w, features)
        return values(jnp.concatenate([in_camera, in_point, in_weight[:, :, None]], axis=2), w, jnp)

    call = _call(call, inputs)
    return lambda: np.asarray(call())


def jax_pullback(inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def call(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
        def stacked(cameras: Any, points: Any, w: Any) -> Any:
            return jnp.stack(residual(cameras, points, w, features.T, jnp))

        _, pullback = jax.vjp(stacked, cameras[camera].T, points[point].T, w)
        rows = [jnp.concatenate([a, b, c[None]]) for a, b, c in (pullback(_one_row(i, len(w))) for i in range(2))]
        return values(jnp.stack(rows).transpose(2, 0, 1), w, jnp)

    call = _call(call, inputs)
    return lambda: np.asarray(call())


def torch_(inputs: Inputs) -> Call:
    import torch

    def call(*arguments: Any) -> Any:
        cameras, points, w, features, camera, point = (torch.from_numpy(a) for a in arguments)
        leaves = [a.requires_grad_() for a in (cameras[camera].T, points[point].T, w.detach())]
        rows = []
        for y in residual(*leaves, features.T, torch):
            a, b, c = torch.autograd.grad(y.sum(), leaves, retain_graph=True)
            rows.append(torch.cat([a, b, c[None]]))
        return torch.cat([torch.stack(rows).permute(2, 0, 1).reshape(-1), -2 * w.detach()]).numpy()

    return _call(call, inputs)


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    def call(cameras: Any, points: Any, w: Any, features: Any, camera: Any, point: Any) -> Any:
        def both(parameters: Any) -> Any:
            return anp.stack(residual(*parameters, features.T, anp))

        pullback, _ = autograd.make_vjp(both)((cameras[camera].T, points[point].T, w))
        rows = [np.concatenate([a, b, c[None]]) for a, b, c in (pullback(_one_row(i, len(w))) for i in range(2))]
        return values(np.stack(rows).transpose(2, 0, 1), w)

    return _call(call, inputs)


def numpy_(inputs: Inputs) -> Call:
    return lambda: by_hand(inputs)


def numba_(inputs: Inputs) -> Call:
    """One observation after the other, its Jacobian in registers."""
    import numba

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def through(t: Any, u: Any, v: Any, z: float, distortion: float, slope: float, wf: float) -> Any:
        """The derivative of the projection, from that of the turned point."""
        u_dot, v_dot = (t[0] - u * t[2]) / z, (t[1] - v * t[2]) / z
        s = slope * (u * u_dot + v * v_dot)
        return wf * (distortion * u_dot + u * s), wf * (distortion * v_dot + v * s)

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def jacobian(cameras: Any, points: Any, weights: Any, features: Any, camera: Any, point: Any) -> Any:
        p = len(weights)
        out = np.empty((2 * ROW + 1) * p)
        R, D = np.empty((3, 3)), np.empty((3, 3))
        for i in range(p):
            c, w = cameras[camera[i]], weights[i]
            X = points[point[i]]
            x0, x1, x2 = X[0] - c[3], X[1] - c[4], X[2] - c[5]
            r0, r1, r2 = c[0], c[1], c[2]
            square = r0 * r0 + r1 * r1 + r2 * r2
            if square > 0:
                theta = np.sqrt(square)
                co, s = np.cos(theta), np.sin(theta)
                inverse = 1 / theta
                a0, a1, a2 = r0 * inverse, r1 * inverse, r2 * inverse
                o = 1 - co
                R[0, 0], R[0, 1], R[0, 2] = co + o * a0 * a0, o * a0 * a1 - s * a2, o * a0 * a2 + s * a1
                R[1, 0], R[1, 1], R[1, 2] = o * a1 * a0 + s * a2, co + o * a1 * a1, o * a1 * a2 - s * a0
                R[2, 0], R[2, 1], R[2, 2] = o * a2 * a0 - s * a1, o * a2 * a1 + s * a0, co + o * a2 * a2
                along = a0 * x0 + a1 * x1 + a2 * x2
                # d turned / d r_i = a_i g + (s / theta) (e_i x X) + (o / theta) (e_i along + a x_i)
                q, h = s * inverse, o * inverse
                k0, k1, k2 = a1 * x2 - a2 * x1, a2 * x0 - a0 * x2, a0 * x1 - a1 * x0
                e = along * (s - 2 * h)
                g0 = k0 * (co - q) - x0 * s + a0 * e
                g1 = k1 * (co - q) - x1 * s + a1 * e
                g2 = k2 * (co - q) - x2 * s + a2 * e
                D[0, 0], D[0, 1], D[0, 2] = (
                    a0 * g0 + h * (along + a0 * x0),
                    a0 * g1 - q * x2 + h * a1 * x0,
                    a0 * g2 + q * x1 + h * a2 * x0,
                )
                D[1, 0], D[1, 1], D[1, 2] = (
                    a1 * g0 + q * x2 + h * a0 * x1,
                    a1 * g1 + h * (along + a1 * x1),
                    a1 * g2 - q * x0 + h * a2 * x1,
                )
                D[2, 0], D[2, 1], D[2, 2] = (
                    a2 * g0 - q * x1 + h * a0 * x2,
                    a2 * g1 + q * x0 + h * a1 * x2,
                    a2 * g2 + h * (along + a2 * x2),
                )
            else:
                R[0, 0], R[0, 1], R[0, 2] = 1.0, -r2, r1
                R[1, 0], R[1, 1], R[1, 2] = r2, 1.0, -r0
                R[2, 0], R[2, 1], R[2, 2] = -r1, r0, 1.0
                D[0, 0], D[0, 1], D[0, 2] = 0.0, -x2, x1
                D[1, 0], D[1, 1], D[1, 2] = x2, 0.0, -x0
                D[2, 0], D[2, 1], D[2, 2] = -x1, x0, 0.0
            z = R[2, 0] * x0 + R[2, 1] * x1 + R[2, 2] * x2
            u = (R[0, 0] * x0 + R[0, 1] * x1 + R[0, 2] * x2) / z
            v = (R[1, 0] * x0 + R[1, 1] * x1 + R[1, 2] * x2) / z
            n2 = u * u + v * v
            f = c[6]
            distortion = 1 + c[9] * n2 + c[10] * n2 * n2
            slope = 2 * (c[9] + 2 * c[10] * n2)
            one, two = out[2 * ROW * i : 2 * ROW * i + ROW], out[2 * ROW * i + ROW : 2 * ROW * (i + 1)]
            for j in range(3):
                one[j], two[j] = through(D[j], u, v, z, distortion, slope, w * f)
                a, b = through(R[:, j], u, v, z, distortion, slope, w * f)
                one[3 + j], two[3 + j] = -a, -b
                one[11 + j], two[11 + j] = a, b
            one[6], two[6] = w * distortion * u, w * distortion * v
            one[7], one[8], two[7], two[8] = w, 0.0, 0.0, w
            one[9], two[9] = w * f * n2 * u, w * f * n2 * v
            one[10], two[10] = w * f * n2 * n2 * u, w * f * n2 * n2 * v
            one[14] = u * distortion * f + c[7] - features[i, 0]
            two[14] = v * distortion * f + c[8] - features[i, 1]
            out[2 * ROW * p + i] = -2 * w
        return out

    return _call(jacobian, inputs)


def _size(n: int, m: int, p: int, group: str) -> Size:
    return Size(f"n={n},m={m},p={p}", group, {"n": n, "m": m, "p": p})


WORKLOAD = Workload(
    name="ba",
    title="sparse Jacobian of bundle adjustment: n cameras, m points, p observations",
    sizes=[
        _size(5, 20, 60, "smoke"),
        _size(49, 7776, 31843, "medium"),
        _size(372, 47423, 204472, "large"),
        _size(1197, 126327, 563734, "large"),
    ],
    make_inputs=make_inputs,
    reference=reference,
    implementations={
        "funcgrad": funcgrad_,
        "funcgrad:pullback": funcgrad_pullback,
        "jax": jax_,
        "jax:pullback": jax_pullback,
        "torch": torch_,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
