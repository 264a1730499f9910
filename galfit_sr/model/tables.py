"""Makes the tables that `series` evaluates: `python -m galfit_sr.model.tables` writes tables.npz beside this file.

Dehnen (1993, MNRAS 265, 250) bulge in projection, the circular velocity of the razor-thin exponential disc (Freeman
1970, ApJ 160, 811), and that of the thick one, by quadrature and special functions in float64; what is seen
along lines of sight through the thick disc, kept in single precision.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev
from scipy.integrate import quad
from scipy.special import digamma, iv, ive, j1, kve

from .line_of_sight import lines_of_sight
from .series import (
    BULGE_HALF_WIDTH,
    DISC_SPLIT,
    LINE_RADII,
    SLOPE_RANGE,
    STEEPEST,
    STEEPNESS_BEND,
    STRETCH,
    THICK_HALF_WIDTH,
    THICKNESS_RANGE,
)

BULGE_TERMS, SLOPE_TERMS = 25, 45
THICK_TERMS, THICKNESS_TERMS = 41, 11
DISC_INNER_TERMS, DISC_OUTER_TERMS = 10, 23
LINE_RADIUS_TERMS, LINE_ANGLE_TERMS = 24, 16
STEEPNESS_TERMS = (48, 32)
"""Of the density and of the other moments."""
CURVE_RADII = (1e-3, 25.0)
"""Radii [R_d] between which rotation curves are told apart."""
CURVE_NODES, LINE_MODES = 28, 160
"""They count by their values at so many of them, and the moments by so many combinations of those."""
_FALL = 1.4
"""By about what the coefficients of rotation curves fall from term to term: what modes are good for is judged so."""


def projected(s: float, slope: float) -> tuple[float, float]:
    """Projected density and second moment of the isolated, isotropic Dehnen model with M = R_b = G = 1.

    Sigma = 2 Int_s^inf rho r dr / sqrt(r^2-s^2) and
    Sigma sigma^2 = (3-g)/(2 pi) Int_s^inf r^(1-2g) sqrt(r^2-s^2)/(1+r)^(7-2g) dr, with r = s cosh(w), which removes the
    root at the lower end. Relative accuracy about 1e-10.

    Args:
        s: R / R_b, positive.
        slope: inner slope gamma, below 3.
    """

    def density(w):
        r = s * np.cosh(w)
        return r ** (1 - slope) * (1 + r) ** (slope - 4)

    def moment(w):
        r = s * np.cosh(w)
        return r ** (1 - 2 * slope) * (1 + r) ** (2 * slope - 7) * (s * np.sinh(w)) ** 2

    bend = np.arccosh(1 / s) if s < 1 else 0.0
    edges = np.unique([0.0, bend / 2, bend, bend + 3, bend + 14])
    sums = [
        sum(quad(f, a, b, epsabs=0, epsrel=1e-12, limit=200)[0] for a, b in zip(edges[:-1], edges[1:], strict=True))
        for f in (density, moment)
    ]
    return (3 - slope) / (2 * np.pi) * sums[0], (3 - slope) / (2 * np.pi) * sums[1]


def disc_velocity_squared(y: np.ndarray) -> np.ndarray:
    """y^2 [I0 K0 - I1 K1](y): v_c^2 of the exponential disc in units of 2 G M / R_d, with y = r / (2 R_d).

    Beyond y = 100 the difference of products has lost six digits; the expansion (Abramowitz & Stegun 9.7.5) has not.
    """
    near = np.minimum(y, 100.0)
    exact = near**2 * (ive(0, near) * kve(0, near) - ive(1, near) * kve(1, near))
    return np.where(y > 100, (1 + 9 / (8 * y**2) + 675 / (128 * y**4)) / (4 * y), exact)


def thick_velocity_squared(x: float, thickness: float) -> float:
    """v_c^2 in units of G M / R_d at R = x R_d in the plane of a disc exp(-R/R_d) sech^2(z/h), h = thickness R_d.

    x Int_0^inf k J1(k x) A(k thickness) (1+k^2)^(-3/2) dk, the Hankel transform of Poisson's equation (Kuijken &
    Gilmore 1989, MNRAS 239, 571), where A(a) = Int_0^inf sech^2(u) exp(-a u) du belongs to the layer. Half periods of
    the Bessel function one by one, the tail by repeated averages of the alternating sums; 1e-6 for x from 1e-3 to 1e3.
    """
    half_period, start = np.pi / x, min(1 / x, 0.5)
    last = start + max(60.0, 60 * half_period)
    edges = np.concatenate(
        [
            [0.0],
            np.geomspace(1e-3 * start, last, max(30, int(3 * np.log(1e3 * last / start)))),
            np.arange(start, last, half_period),
        ]
    )
    tail = last + half_period * np.arange(25)
    sums = _hankel_panels(np.unique(np.append(edges, last)), x, thickness).sum() + np.cumsum(
        _hankel_panels(tail, x, thickness)
    )
    while sums.size > 1:
        sums = (sums[1:] + sums[:-1]) / 2
    return x * sums[0]


def _hankel_panels(edges: np.ndarray, x: float, thickness: float) -> np.ndarray:
    nodes, weights = np.polynomial.legendre.leggauss(12)
    width = np.diff(edges)[:, None]
    k = edges[:-1, None] + width * (nodes + 1) / 2
    return (width * weights / 2 * k * j1(k * x) * _layer(k * thickness) * (1 + k**2) ** -1.5).sum(1)


def _layer(a: np.ndarray) -> np.ndarray:
    """Int_0^inf sech^2(u) exp(-a u) du; in 1/a where the difference of digamma functions cancels."""
    n = 1 / np.maximum(a, 1.0)
    far = n - 2 * n**3 + 16 * n**5 - 272 * n**7
    near = np.minimum(a, 30.0)
    return np.where(a > 30, far, 1 - near / 2 * (digamma(1 + near / 4) - digamma(0.5 + near / 4)))


def _nodes(n: int) -> np.ndarray:
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)


def _log_s(t: np.ndarray, half_width: float) -> np.ndarray:
    return half_width * np.sinh(STRETCH * t) / np.sinh(STRETCH)


def make() -> dict[str, np.ndarray]:
    """All tables, by name."""
    t, g = _nodes(BULGE_TERMS), _nodes(SLOPE_TERMS)
    slopes = _spread(g, np.array(SLOPE_RANGE))
    both = np.array([[projected(s, slope) for slope in slopes] for s in np.exp(_log_s(t, BULGE_HALF_WIDTH))])
    x = np.exp(_log_s(_nodes(THICK_TERMS), THICK_HALF_WIDTH))
    thicknesses = np.exp(_spread(_nodes(THICKNESS_TERMS), np.log(THICKNESS_RANGE)))
    thick = np.array([[thick_velocity_squared(a, b) for b in thicknesses] for a in x])

    # v_c^2 of the disc: below DISC_SPLIT y^2 [A - ln(y/2) B] with A and B even and entire, above it a series in 1/y.
    v = (_nodes(60) + 1) / 2
    small = DISC_SPLIT * np.sqrt(v)
    b = iv(0, small) ** 2 + iv(1, small) ** 2
    a = disc_velocity_squared(small) / small**2 + np.log(small / 2) * b
    u = (_nodes(DISC_OUTER_TERMS) + 1) / 2
    outer = 4 * (DISC_SPLIT / u) * disc_velocity_squared(DISC_SPLIT / u)
    return {
        "bulge_density": _fit(np.log(both[..., 0])),
        "bulge_dispersion": _fit(np.log(both[..., 1] / both[..., 0])),
        "disc_inner_a": chebyshev.chebfit(2 * v - 1, a, DISC_INNER_TERMS - 1),
        "disc_inner_b": chebyshev.chebfit(2 * v - 1, b, DISC_INNER_TERMS - 1),
        "disc_outer": np.linalg.solve(chebyshev.chebvander(2 * u - 1, DISC_OUTER_TERMS - 1), outer),
        "thick_velocity": _fit(np.log(thick)),
        **{name: table.astype(np.float32) for name, table in make_lines().items()},
    }


def make_lines() -> dict[str, np.ndarray]:
    """Moments of a rotation curve v along the lines of sight through thick discs, as series.

    Coordinates are the logarithm of the elliptic radius r (`LINE_RADII`); the angle a from the major axis, as u =
    1 - 2s with s = sqrt(1 - 2a/pi), denser towards the minor axis, where velocities go as x ln(x); and the steepness
    (`STEEPEST`). The density is the logarithm of `Lines.density` without the factor exp(-r). The means of v cos(psi)
    (divided by s), of v^2 and of v^2 cos(psi)^2 are linear in v or v^2 at CURVE_NODES Chebyshev nodes
    in the logarithm of the radius (`CURVE_RADII`); a singular-value decomposition leaves LINE_MODES combinations.

    Returns:
        line_density: (angles, radii, steepness); line_nodes: (nodes,), radii [R_d]; line_modes: (3, nodes, modes,
        steepness) and line_moments: (3, modes, angles, radii), whose product over the modes are the three means.
    """
    radius = np.exp(_spread(_nodes(LINE_RADIUS_TERMS), np.log(LINE_RADII)))
    left = (1 - _nodes(LINE_ANGLE_TERMS)[:, None]) / 2
    angle = np.pi / 2 * (1 - left**2)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    ends = np.log(np.hypot([0.0, STEEPEST], STEEPNESS_BEND))
    bent = np.exp(_spread(_nodes(STEEPNESS_TERMS[0]), ends))
    log_curve = np.log(CURVE_RADII)
    densities, means = [], []
    for steepness in np.sqrt(np.maximum(bent**2 - STEEPNESS_BEND**2, 0)):
        lines = lines_of_sight(along, across, steepness)
        densities.append(np.log(lines.density) + radius)
        ordered = along[..., None] / lines.radius
        moments = lines.share * np.stack([ordered / left[..., None], np.ones_like(ordered), ordered**2])
        t = (2 * np.log(np.clip(lines.radius, *CURVE_RADII)) - log_curve.sum()) / np.ptp(log_curve)
        series = chebyshev.chebvander(t, CURVE_NODES - 1)
        means.append(np.einsum("farn,arnm->fmar", moments, series, optimize=True))

    sky = (0, -2, -1)  # the axes of steepness, angle and radius
    falling = _FALL ** -np.arange(float(CURVE_NODES))
    of_values = _fit(np.eye(CURVE_NODES), (0,))
    modes, seen = [], []
    for mean in _fit(np.array(means), sky)[: STEEPNESS_TERMS[1]].swapaxes(0, 1):
        rows, sizes, columns = np.linalg.svd(
            (mean * falling[:, None, None]).reshape(-1, angle.size * radius.size), full_matrices=False
        )
        kept = (rows * sizes)[:, :LINE_MODES].reshape(STEEPNESS_TERMS[1], CURVE_NODES, LINE_MODES)
        modes.append(np.einsum("bmk,m,mn->nkb", kept, 1 / falling, of_values))
        seen.append(columns[:LINE_MODES].reshape(LINE_MODES, angle.size, radius.size))
    return {
        "line_density": np.moveaxis(_fit(np.array(densities), sky), 0, -1),
        "line_nodes": np.exp(_spread(_nodes(CURVE_NODES), log_curve)),
        "line_modes": np.array(modes),
        "line_moments": np.array(seen),
    }


def _spread(t: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Values between two ends, of the series coordinate in [-1, 1]."""
    return (ends.sum() + t * np.ptp(ends)) / 2


def _fit(values: np.ndarray, axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """Coefficients of the series through values at the nodes of the coordinates that belong to some axes."""
    for axis in axes:
        moved = np.moveaxis(values, axis, 0)
        basis = chebyshev.chebvander(_nodes(len(moved)), len(moved) - 1)
        fitted = np.linalg.solve(basis, moved.reshape(len(moved), -1)).reshape(moved.shape)
        values = np.moveaxis(fitted, 0, axis)
    return values


if __name__ == "__main__":
    np.savez(Path(__file__).with_name("tables.npz"), allow_pickle=False, **make())
