"""kalman: gradient of the log-likelihood of T observations by a Kalman filter of a 4-state system.

Positions and velocities in the plane (4), observed positions (2): `s_t = A s_(t-1) + noise`, `y_t = H s_t + noise`.
The gradient is in A (4, 4) and in the logarithms of the noises' variances, (4,) and (2,).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.workload import Call, Inputs, Size, Workload

H = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
ARGUMENTS = ("A", "log_q", "log_r", "y")


def make_inputs(t: int) -> Inputs:
    rng = np.random.default_rng(31337)
    A = np.eye(4) * 0.98
    A[0, 2] = A[1, 3] = 0.1
    log_q, log_r = rng.normal(-2, 0.1, 4), rng.normal(-1, 0.1, 2)
    state, y = np.zeros(4), np.empty((t, 2))
    for i in range(t):
        state = A @ state + np.exp(log_q / 2) * rng.normal(size=4)
        y[i] = H @ state + np.exp(log_r / 2) * rng.normal(size=2)
    return {"A": A, "log_q": log_q, "log_r": log_r, "y": y}


def inverse(S: Any, np: Any) -> tuple[Any, Any]:
    """Inverse and log-determinant, by the library's linear algebra."""
    return np.linalg.inv(S), np.linalg.slogdet(S)[1]


def inverse_written_out(S: Any, np: Any) -> tuple[Any, Any]:
    """The same for two rows and columns."""
    a, b, c, d = S[0, 0], S[0, 1], S[1, 0], S[1, 1]
    determinant = a * d - b * c
    return np.stack([np.stack([d, -b]), np.stack([-c, a])]) / determinant, np.log(determinant)


def step(A: Any, Q: Any, R: Any, H: Any, carry: Any, y: Any, np: Any, inverse: Any) -> tuple[Any, Any]:
    """One step of the filter: the state's mean and covariance after it, and the log-likelihood of its observation."""
    mean, P = carry
    mean = A @ mean
    P = A @ P @ A.T + Q
    innovation = y - H @ mean
    # P H' and H P apart: with one of them for both, what is not symmetric in P by rounding would grow at each step.
    PH = P @ H.T
    precision, log_determinant = inverse(H @ PH + R, np)
    gain = PH @ precision
    likelihood = -0.5 * (innovation @ precision @ innovation + log_determinant) - math.log(2 * math.pi)
    return (mean + gain @ innovation, P - gain @ (H @ P)), likelihood


def by_loop(A: Any, log_q: Any, log_r: Any, y: Any, H: Any, np: Any, inverse: Any) -> Any:
    """The log-likelihood, by a Python loop."""
    Q, R = np.diag(np.exp(log_q)), np.diag(np.exp(log_r))
    carry, total = (0 * log_q, 1.0 * Q), 0.0
    for i in range(len(y)):
        carry, likelihood = step(A, Q, R, H, carry, y[i], np, inverse)
        total = total + likelihood
    return total


def by_scan(A: Any, log_q: Any, log_r: Any, y: Any, np: Any, inverse: Any, scan: Any) -> Any:
    """The log-likelihood, by a scan."""
    Q, R = np.diag(np.exp(log_q)), np.diag(np.exp(log_r))

    def body(carry: Any, y: Any) -> Any:
        return step(A, Q, R, H, carry, y, np, inverse)

    _, likelihoods = scan(body, (0 * log_q, 1.0 * Q), y)
    return np.sum(likelihoods)


def reference(inputs: Inputs) -> tuple[Any, ...]:
    return gradient_by_hand(*(inputs[name] for name in ARGUMENTS))


def gradient_by_hand(A: Any, log_q: Any, log_r: Any, y: Any) -> tuple[Any, ...]:
    """The adjoint of each step, from the state before it."""
    q, r = np.exp(log_q), np.exp(log_r)
    Q, R, Ht, At = np.diag(q), np.diag(r), H.T.copy(), A.T.copy()
    count = len(y)
    means, covariances = np.zeros((count + 1, 4)), np.zeros((count + 1, 4, 4))
    covariances[0] = Q
    for i in range(count):
        mean = A @ means[i]
        P = A @ covariances[i] @ At + Q
        HP = H @ P
        gain = P @ Ht @ np.linalg.inv(HP @ Ht + R)
        means[i + 1] = mean + gain @ (y[i] - H @ mean)
        covariances[i + 1] = P - gain @ HP
    A_ct, Q_ct, R_ct = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((2, 2))
    mean_ct, P_ct = np.zeros(4), np.zeros((4, 4))
    for i in range(count - 1, -1, -1):
        mean = A @ means[i]
        AP = A @ covariances[i]
        P = AP @ At + Q
        HP = H @ P
        precision = np.linalg.inv(HP @ Ht + R)
        gain = P @ Ht @ precision
        innovation = y[i] - H @ mean
        gain_ct = np.outer(mean_ct, innovation) - P_ct @ HP.T
        innovation_ct = gain.T @ mean_ct - precision @ innovation
        precision_ct = (P @ Ht).T @ gain_ct - 0.5 * np.outer(innovation, innovation)
        S_ct = -0.5 * precision - precision @ precision_ct @ precision
        P_ct = P_ct - (gain @ H).T @ P_ct + gain_ct @ (precision @ H) + Ht @ S_ct @ H
        mean_ct = mean_ct - Ht @ innovation_ct
        A_ct += np.outer(mean_ct, means[i]) + P_ct @ A @ covariances[i].T + P_ct.T @ AP
        Q_ct += P_ct
        R_ct += S_ct
        mean_ct = At @ mean_ct
        P_ct = At @ P_ct @ A
    Q_ct += P_ct
    return A_ct, np.diag(Q_ct) * q, np.diag(R_ct) * r


def _arguments(inputs: Inputs) -> list[Any]:
    return [inputs[name] for name in ARGUMENTS]


def _funcgrad(inverse: Any, inputs: Inputs) -> Call:
    import funcgrad
    from funcgrad import lax

    f = partial(by_scan, np=np, inverse=inverse, scan=lax.scan)
    gradient = funcgrad.jit(funcgrad.grad(lambda A, q, r, y: f(A, q, r, y), argnums=(0, 1, 2)))
    return lambda: gradient(*_arguments(inputs))


def funcgrad_loop(inputs: Inputs) -> Call:
    import funcgrad

    gradient = funcgrad.grad(lambda A, q, r, y: by_loop(A, q, r, y, H, np, inverse), argnums=(0, 1, 2))
    return lambda: gradient(*_arguments(inputs))


def _jax(inverse: Any, inputs: Inputs) -> Call:
    import jax
    import jax.numpy as jnp

    f = partial(by_scan, np=jnp, inverse=inverse, scan=jax.lax.scan)
    gradient = jax.jit(jax.grad(lambda A, q, r, y: f(A, q, r, y), argnums=(0, 1, 2)))
    return lambda: [np.asarray(x) for x in gradient(*_arguments(inputs))]


def torch_(inputs: Inputs) -> Call:
    import torch

    def call() -> Any:
        A, log_q, log_r, y = (torch.from_numpy(x) for x in _arguments(inputs))
        leaves = [x.requires_grad_() for x in (A, log_q, log_r)]
        by_loop(*leaves, y, torch.from_numpy(H), torch, inverse_written_out).backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return call


def autograd_(inputs: Inputs) -> Call:
    import autograd
    import autograd.numpy as anp

    def objective(parameters: Any, y: Any) -> Any:
        return by_loop(*parameters, y, H, anp, inverse)

    gradient = autograd.grad(objective)
    *parameters, y = _arguments(inputs)
    return lambda: gradient(tuple(parameters), y)


def numpy_(inputs: Inputs) -> Call:
    return lambda: gradient_by_hand(*_arguments(inputs))


def numba_(inputs: Inputs) -> Call:
    """The adjoint by hand, with loops in place of BLAS and without allocations."""
    import numba

    @numba.njit(error_model="numpy", inline="never")
    def product(A: Any, B: Any, C: Any) -> None:
        for i in range(A.shape[0]):
            for j in range(B.shape[1]):
                total = 0.0
                for k in range(A.shape[1]):
                    total += A[i, k] * B[k, j]
                C[i, j] = total

    @numba.njit(error_model="numpy")
    def forward(
        A: Any, At: Any, q: Any, r: Any, mean: Any, P: Any, y: Any, p_mean: Any, AP: Any, p_P: Any, W: Any, K: Any
    ) -> Any:
        """Prediction, precision W and gain K of one step; the innovation."""
        product(A, P, AP)
        product(AP, At, p_P)
        for i in range(4):
            p_P[i, i] += q[i]
            total = 0.0
            for k in range(4):
                total += A[i, k] * mean[k]
            p_mean[i] = total
        a, b, c = p_P[0, 0] + r[0], p_P[0, 1], p_P[1, 0]
        d = p_P[1, 1] + r[1]
        inverse = 1 / (a * d - b * c)
        W[0, 0], W[0, 1], W[1, 0], W[1, 1] = d * inverse, -b * inverse, -c * inverse, a * inverse
        for i in range(4):
            for j in range(2):
                K[i, j] = p_P[i, 0] * W[0, j] + p_P[i, 1] * W[1, j]
        return y[0] - p_mean[0], y[1] - p_mean[1]

    @numba.njit(error_model="numpy")
    def gradient(A: Any, log_q: Any, log_r: Any, y: Any) -> Any:
        q, r = np.exp(log_q), np.exp(log_r)
        count = len(y)
        At = A.T.copy()
        means, Ps = np.zeros((count + 1, 4)), np.zeros((count + 1, 4, 4))
        for i in range(4):
            Ps[0, i, i] = q[i]
        m, AP, P, W, K = np.empty(4), np.empty((4, 4)), np.empty((4, 4)), np.empty((2, 2)), np.empty((4, 2))
        for t in range(count):
            v0, v1 = forward(A, At, q, r, means[t], Ps[t], y[t], m, AP, P, W, K)
            for i in range(4):
                means[t + 1, i] = m[i] + K[i, 0] * v0 + K[i, 1] * v1
                for j in range(4):
                    Ps[t + 1, i, j] = P[i, j] - K[i, 0] * P[0, j] - K[i, 1] * P[1, j]
        A_ct, q_ct, r_ct = np.zeros((4, 4)), np.zeros(4), np.zeros(2)
        m_ct, P_ct, new, other = np.zeros(4), np.zeros((4, 4)), np.empty((4, 4)), np.empty((4, 4))
        K_ct, W_ct, S_ct, WS = np.empty((4, 2)), np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 2))
        for t in range(count - 1, -1, -1):
            v0, v1 = forward(A, At, q, r, means[t], Ps[t], y[t], m, AP, P, W, K)
            for i in range(4):
                for j in range(2):
                    total = m_ct[i] * (v0 if j == 0 else v1)
                    for k in range(4):
                        total -= P_ct[i, k] * P[j, k]
                    K_ct[i, j] = total
            n0, n1 = -(W[0, 0] * v0 + W[0, 1] * v1), -(W[1, 0] * v0 + W[1, 1] * v1)
            for k in range(4):
                n0 += K[k, 0] * m_ct[k]
                n1 += K[k, 1] * m_ct[k]
            for i in range(2):
                for j in range(2):
                    total = -0.5 * (v0 if i == 0 else v1) * (v0 if j == 0 else v1)
                    for k in range(4):
                        total += P[i, k] * K_ct[k, j]
                    W_ct[i, j] = total
            product(W, W_ct, WS)
            product(WS, W, S_ct)
            for i in range(2):
                for j in range(2):
                    S_ct[i, j] = -0.5 * W[i, j] - S_ct[i, j]
                r_ct[i] += S_ct[i, i]
            for i in range(4):
                for j in range(4):
                    new[i, j] = P_ct[i, j]
                for j in range(2):
                    new[i, j] += K_ct[i, 0] * W[0, j] + K_ct[i, 1] * W[1, j]
            for i in range(2):
                for j in range(4):
                    for k in range(4):
                        new[i, j] -= K[k, i] * P_ct[k, j]
                for j in range(2):
                    new[i, j] += S_ct[i, j]
            m_ct[0] -= n0
            m_ct[1] -= n1
            product(new, A, other)
            for i in range(4):
                q_ct[i] += new[i, i]
                for j in range(4):
                    total = m_ct[i] * means[t, j]
                    for k in range(4):
                        total += other[i, k] * Ps[t, j, k] + new[k, i] * AP[k, j]
                    A_ct[i, j] += total
            product(At, other, P_ct)
            for i in range(4):
                total = 0.0
                for k in range(4):
                    total += At[i, k] * m_ct[k]
                m[i] = total
            m, m_ct = m_ct, m
        for i in range(4):
            q_ct[i] = (q_ct[i] + P_ct[i, i]) * q[i]
        return A_ct, q_ct, r_ct * r

    return lambda: gradient(*_arguments(inputs))


WORKLOAD = Workload(
    name="kalman",
    title="gradient of a Kalman filter's log-likelihood over T steps",
    sizes=[
        Size("T=10", "smoke", {"t": 10}),
        Size("T=100", "small", {"t": 100}),
        Size("T=1000", "medium", {"t": 1000}),
        Size("T=10000", "large", {"t": 10000}),
    ],
    make_inputs=make_inputs,
    reference=reference,
    implementations={
        "funcgrad": partial(_funcgrad, inverse),
        "funcgrad:written_out": partial(_funcgrad, inverse_written_out),
        "funcgrad:loop": funcgrad_loop,
        "jax": partial(_jax, inverse),
        "jax:written_out": partial(_jax, inverse_written_out),
        "torch": torch_,
        "autograd": autograd_,
        "numpy": numpy_,
        "numba": numba_,
    },
)
