"""Logistic regression with an offset and an L2 penalty of its own for each weight, on sparse rows.

    minimise over b, w:  Σᵢ cᵢ·[log(1 + exp(zᵢ)) − yᵢ·zᵢ] + ½·λ₀·b² + ½·Σⱼ λⱼ·wⱼ²,   z = offset + b + X·w

Newton's method; each step is solved by conjugate gradients, preconditioned by the Hessian's diagonal. A product with
the Hessian costs two passes over the ones. Rates of 1e-6 need care in two places: the intercept starts where predicted
and seen sales agree, and no step moves a logit by more than 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytrain.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    from scipy import sparse

Floats: TypeAlias = "npt.NDArray[np.float64]"

DECREMENT = 1e-16  # ends the iterations: the log-likelihood that another step would gain
MAX_STEPS = 100
MAX_MOVE = 4.0  # of a logit in one step
_HALVINGS = 40


class NotConverged(InputError):
    """The fit did not converge."""


@dataclass(frozen=True)
class Solution:
    """The minimum: `weights` (p,), the rows' `logits` (n,) with the offset, and Newton's steps."""

    intercept: float
    weights: Floats
    logits: Floats
    steps: int


def fit(
    x: sparse.csr_array,
    y: Floats,
    c: Floats,
    offset: Floats,
    *,
    l2: Floats,
    intercept_l2: float,
    start: tuple[float, Floats] | None = None,
) -> Solution:
    """Fit rows x (n, p) of ones with labels y, weights c and offset, each (n,).

    Parameters
    ----------
    l2
        (p,), above 0.
    intercept_l2
        From 0. At 0 there must be sales and rows without, or the intercept has no optimum.
    start
        Intercept and weights to start from. The result does not depend on it.

    Raises
    ------
    NotConverged
        It took more than 100 steps.
    """
    xt = x.T
    b, w = start or (0.0, np.zeros(x.shape[1]))
    z = offset + x @ w
    if start is None:
        b = shift(z, y, c, l2=intercept_l2)
    z = z + b
    value = loss(z, y, c) + 0.5 * (intercept_l2 * b * b + float(l2 @ (w * w)))
    for step in range(1, MAX_STEPS + 1):
        p = sigmoid(z)
        residual = c * (y - p)
        gradient = xt @ residual - l2 * w
        gradient0 = float(residual.sum()) - intercept_l2 * b
        curvature = c * p * (1 - p)
        d0, d, xd = _direction(x, xt, curvature, l2, intercept_l2, gradient0, gradient)
        decrement = 0.5 * (gradient0 * d0 + float(gradient @ d))
        moved = d0 + xd
        if decrement <= DECREMENT:
            return Solution(b + d0, w + d, z + moved, step)
        t = min(1.0, MAX_MOVE / max(1e-300, float(np.abs(moved).max(initial=0.0))))
        for _ in range(_HALVINGS):
            b1, w1, z1 = b + t * d0, w + t * d, z + t * moved
            value1 = loss(z1, y, c) + 0.5 * (intercept_l2 * b1 * b1 + float(l2 @ (w1 * w1)))
            # Below 1e-9 of the loss, the difference of two losses is rounding.
            if value1 <= value - 1e-4 * t * decrement or decrement <= 1e-9 * (1 + abs(value)):
                break
            t /= 2
        b, w, z, value = b1, w1, z1, value1
    raise NotConverged(
        f"took more than {MAX_STEPS} steps", where="the fit", remedy="raise the L2 penalty, or the rows a value needs"
    )


def _direction(
    x: sparse.csr_array,
    xt: sparse.csc_array,
    curvature: Floats,
    l2: Floats,
    intercept_l2: float,
    gradient0: float,
    gradient: Floats,
) -> tuple[float, Floats, Floats]:
    """Solve the Newton system by conjugate gradients; return the step of b and w, and X·(step of w)."""
    total = float(curvature.sum())
    inverse = 1 / (xt @ curvature + l2)
    inverse0 = 1 / max(total + intercept_l2, 1e-300)
    d0, d, xd = 0.0, np.zeros_like(gradient), np.zeros_like(curvature)
    r0, r = gradient0, gradient.copy()
    s0, s = inverse0 * r0, inverse * r
    q0, q = s0, s.copy()
    rs = r0 * s0 + float(r @ s)
    wanted = rs * min(0.1, math.sqrt(rs)) ** 2 if rs > 0 else 0.0
    for _ in range(200):
        if rs <= wanted:
            break
        xq = x @ q
        v = curvature * (xq + q0)
        hq0, hq = float(v.sum()) + intercept_l2 * q0, xt @ v + l2 * q
        length = rs / (q0 * hq0 + float(q @ hq))
        d0 += length * q0
        d += length * q
        xd += length * xq
        r0 -= length * hq0
        r -= length * hq
        s0, s = inverse0 * r0, inverse * r
        before, rs = rs, r0 * s0 + float(r @ s)
        q0 = s0 + rs / before * q0
        q = s + rs / before * q
    return d0, d, xd


def shift(z: Floats, y: Floats, c: Floats, *, l2: float = 0.0) -> float:
    """Return the b that minimises the loss of logits z + b, with ½·l2·b²; all (n,).

    At l2 = 0, Σ c·sigmoid(z + b) = Σ c·y. Without sales (or without other rows) there is no such b: half a row is then
    taken for one.
    """
    seen, total = float((c * y).sum()), float(c.sum())
    if total <= 0:
        return 0.0
    if l2 == 0 and not 0 < seen < total:
        half = min(0.5, total / 2)
        seen = half if seen <= 0 else total - half
    b = 0.0
    for _ in range(MAX_STEPS):
        p = sigmoid(z + b)
        expected = float((c * p).sum())
        slope = float((c * p * (1 - p)).sum()) + l2
        step = (seen - expected - l2 * b) / max(slope, 1e-300)
        if l2 == 0 and 0 < expected < total:  # far from the optimum, the step of a constant z is the safer one
            odds = math.log(seen / (total - seen)) - math.log(expected / (total - expected))
            step = odds if abs(odds) < abs(step) else step
        b += min(MAX_MOVE, max(-MAX_MOVE, step))
        if abs(step) <= 1e-12 * (1 + abs(b)):
            break
    return b


def sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + exp(−z)) without overflow."""
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1 + e))


def loss(z: Floats, y: Floats, c: Floats) -> float:
    """Return the summed log loss, in nats, of logits z with labels y and weights c, each (n,)."""
    return float((c * (np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z))))).sum())
