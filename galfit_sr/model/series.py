"""Universal functions of radius as Chebyshev series in a stretched logarithm: no gathers, cheap derivatives.

A function F(s) over many decades is written log F = sum_k c_k T_k(t), with ln s = X sinh(b t)/sinh(b). The stretch
puts the resolution where the profiles bend (s near 1); outside [exp(-X), exp(X)] they are continued as power laws.
Coefficients are computed once by `python -m galfit_sr.model.tables` and shipped.
"""

from __future__ import annotations

import math
from functools import partial
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

STRETCH = 2.0
BULGE_HALF_WIDTH = 4.3 * math.log(10.0)
"""X: the bulge's tables cover R/R_b from 10^-4.3 to 10^4.3."""
THICK_HALF_WIDTH = 3 * math.log(10.0)
"""The same of the thick disc's circular velocity: R/R_d from 10^-3 to 10^3."""
DISC_SPLIT = 2.0
"""r/(2 R_d) at which the two expansions of the disc's circular velocity meet."""
SLOPE_RANGE = (0.0, 2.4)
"""Inner slopes of the bulge for which the tables hold."""
THICKNESS_RANGE = (0.01, 0.5)
"""Scale heights over scale lengths of a thick disc for which the tables hold; the series is in their logarithm."""
LINE_RADII = (3e-3, 20.0)
"""Elliptic radii [R_d] between which lines of sight through a thick disc are tabulated, in the logarithm."""
STEEPEST, STEEPNESS_BEND = 1e3, 0.3
"""The series in their steepness b is in ln sqrt(b^2 + bend^2), from 0 to the steepest."""


def load(name: str) -> np.ndarray:
    """Coefficients `name` of the shipped tables, float64 (read-only use)."""
    with resources.files("galfit_sr.model").joinpath("tables.npz").open("rb") as file, np.load(file) as tables:
        return tables[name]


def stretch(log_s: jax.Array, half_width: float) -> tuple[jax.Array, jax.Array]:
    """Series coordinate t in [-1, 1] of ln s, and the part of ln s that lies outside the table."""
    inside = jnp.clip(log_s, -half_width, half_width)
    t = jnp.arcsinh(inside * (math.sinh(STRETCH) / half_width)) / STRETCH
    return t, log_s - inside


def centred(value: jax.Array, ends: tuple[float, float]) -> jax.Array:
    """Series coordinate in [-1, 1] of a value between two ends."""
    return (2 * value - sum(ends)) / (ends[1] - ends[0])


def clenshaw(coefficients: jax.Array | np.ndarray, t: jax.Array) -> jax.Array:
    """Sum of c_k T_k(t), unrolled so that it fuses with its neighbours."""
    last, before = jnp.zeros_like(t), jnp.zeros_like(t)
    for c in list(coefficients)[:0:-1]:
        last, before = 2 * t * last - before + c, last
    return t * last - before + coefficients[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def series(table: tuple[tuple[float, ...], ...], t: jax.Array, g: jax.Array) -> jax.Array:
    """Two-dimensional series, in the coordinate t (any shape) and that of a galaxy's shape parameter (scalar).

    The table's rows, mixed over g once per model, are the coefficients in t. Derivatives are series too, so a
    gradient stores no intermediate of the recurrence.

    Args:
        table: (n_t, n_g) coefficients as nested tuples (static).
        t: coordinate from `stretch`.
        g: scalar in [-1, 1], from `centred`.
    """
    return clenshaw(_mix(np.array(table), g), t)


@series.defjvp
def _series_jvp(table, primals, tangents):
    t, g = primals
    dt, dg = tangents
    array = np.array(table)
    value = clenshaw(_mix(array, g), t)
    by_t = clenshaw(_mix(chebyshev.chebder(array, axis=0), g), t)
    by_g = clenshaw(_mix(chebyshev.chebder(array, axis=1), g), t)
    return value, by_t * dt + by_g * dg


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def curve(coefficients: tuple[float, ...], t: jax.Array) -> jax.Array:
    """One-dimensional series with constant coefficients (static)."""
    return clenshaw(np.array(coefficients), t)


@curve.defjvp
def _curve_jvp(coefficients, primals, tangents):
    (t,), (dt,) = primals, tangents
    c = np.array(coefficients)
    return clenshaw(c, t), clenshaw(chebyshev.chebder(c), t) * dt


def _mix(table: np.ndarray, g: jax.Array) -> jax.Array:
    """Coefficients in t at one shape: the table times the Chebyshev polynomials of its coordinate, (n_t,)."""
    basis = polynomials(table.shape[1], g)
    return jnp.matmul(jnp.asarray(table, basis.dtype), basis, precision=jax.lax.Precision.HIGHEST)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def polynomials(count: int, g: jax.Array) -> jax.Array:
    """Chebyshev polynomials T_0 ... T_(count-1) of a scalar in [-1, 1]: (count,)."""
    # T_k(g) = cos(k arccos g): all at once, where the recurrence is as many scalars, each a piece of the program.
    angle = jnp.arccos(jnp.clip(g, -1, 1))
    return jnp.cos(jnp.arange(count, dtype=angle.dtype) * angle)


@polynomials.defjvp
def _polynomials_jvp(count, primals, tangents):
    # Series too: the arc cosine's own slope is infinite at the ends.
    (g,), (dg,) = primals, tangents
    value = polynomials(count, g)
    slopes = jnp.asarray(derivative(count), value.dtype)
    return value, jnp.matmul(slopes, value, precision=jax.lax.Precision.HIGHEST) * dg


def derivative(count: int) -> np.ndarray:
    """Row k: the derivative of T_k as a series, (count, count)."""
    return np.stack([np.append(chebyshev.chebder(row), 0.0) for row in np.eye(count)])
