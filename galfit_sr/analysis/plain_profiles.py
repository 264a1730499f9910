"""The galaxy's profiles and light-weighted planes in plain NumPy and SciPy, float64.

Written from the formulas alone, without the fast model's approximations: bulge projections are quadratures, disc
rotation uses Bessel functions. On maps, radial profiles are evaluated on a fine logarithmic grid and interpolated
with cubic splines (relative error below 1e-7, tested), so that a map costs no quadrature per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from scipy.interpolate import CubicSpline
from scipy.special import ive, kve

G = 4.30091e-6
"""Gravitational constant, kpc (km/s)^2 / M_sun."""

_STEP = 0.25
"""Step of the trapezoidal rule in t. The integrands are analytic for |Im t| < pi/2: the error is near exp(-pi^2/h)."""

_TAIL = 13.0
"""How far beyond r = R_b the rule runs; integrands fall at least as exp(-3 t) there (Sigma), leaving 1e-17."""

_GRID_STEP = 0.04
"""Spacing of the spline's knots in the natural logarithm of the radius."""

_SMALLEST_RADIUS = 1e-30
"""kpc. Stands for zero, where cusps have no finite value."""


def bulge_density_adaptive(s: float, gamma: float) -> float:
    """Projected density of a Dehnen (1993, MNRAS 265, 250) sphere by adaptive quadrature along the line of sight.

    Args:
        s: projected radius over scale radius, positive.
        gamma: inner slope, below 3.

    Returns:
        Sigma R_b^2 / M.
    """

    def integrand(w: float) -> float:
        z = math.exp(w)
        r = math.hypot(s, z)
        return z * r**-gamma * (1 + r) ** (gamma - 4)

    return (3 - gamma) / (2 * math.pi) * _over_log_depth(integrand, s)


def bulge_moment_adaptive(s: float, gamma: float) -> float:
    """Projected density times squared dispersion of an isotropic, isolated Dehnen sphere by adaptive quadrature.

    Args:
        s: projected radius over scale radius, positive.
        gamma: inner slope, below 2.5.

    Returns:
        Sigma sigma^2 R_b^3 / (G M^2).
    """

    def integrand(w: float) -> float:
        z = math.exp(w)
        r = math.hypot(s, z)
        return z**3 * r ** (-2 * gamma) * (1 + r) ** (2 * gamma - 7)

    return (3 - gamma) / (2 * math.pi) * _over_log_depth(integrand, s)


def _over_log_depth(integrand: Callable[[float], float], s: float) -> float:
    """Integral over w = ln z, z the depth along the line of sight in scale radii, split where the slope changes."""
    knees = sorted({math.log(s), 0.0})
    edges = [knees[0] - 40, *knees, knees[-1] + 20]
    return sum(quad(integrand, a, b, epsabs=0, epsrel=1e-12, limit=400)[0] for a, b in pairwise(edges))


def bulge_density(s: np.ndarray, gamma: float) -> np.ndarray:
    """Sigma R_b^2 / M at radii s (any shape, positive), by the trapezoidal rule in t, r = s cosh t."""
    r, _ = _depth_nodes(s)
    terms = r ** (1 - gamma) * (1 + r) ** (gamma - 4)
    return (3 - gamma) / (2 * math.pi) * _trapezoid(terms)


def bulge_moment(s: np.ndarray, gamma: float) -> np.ndarray:
    """Sigma sigma^2 R_b^3 / (G M^2) at radii s (any shape, positive), by the trapezoidal rule in t, r = s cosh t."""
    r, z = _depth_nodes(s)
    terms = r ** (1 - 2 * gamma) * z**2 * (1 + r) ** (2 * gamma - 7)
    return (3 - gamma) / (2 * math.pi) * _trapezoid(terms)


def _depth_nodes(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radius r = s cosh t and depth z = s sinh t at the rule's nodes t, along a new last axis."""
    s = np.asarray(s, dtype=float)[..., None]
    t = np.arange(0, max(0.0, -math.log(s.min())) + _TAIL, _STEP)
    return s * np.cosh(t), s * np.sinh(t)


def _trapezoid(terms: np.ndarray) -> np.ndarray:
    return _STEP * (terms.sum(-1) - 0.5 * terms[..., 0])


def bulge_speed2(r: np.ndarray, mass: float, radius: float, gamma: float) -> np.ndarray:
    """Squared circular velocity [(km/s)^2] of a Dehnen sphere at r [kpc]."""
    return G * mass * r ** (2 - gamma) * (r + radius) ** (gamma - 3)


def disc_speed2(r: np.ndarray, mass: float, radius: float) -> np.ndarray:
    """Squared circular velocity [(km/s)^2] of a razor-thin exponential disc at r [kpc] (Freeman 1970, ApJ 160, 811)."""
    y = r / (2 * radius)
    # The exponential factors of the scaled functions cancel in both products.
    exact = y**2 * (ive(0, y) * kve(0, y) - ive(1, y) * kve(1, y))
    # The difference loses digits as y^-2; its expansion (Abramowitz & Stegun 9.7.5) is good to 1e-13 from y = 300.
    far = (1 + 9 / (8 * y**2) + 675 / (128 * y**4)) / (4 * y)
    return 2 * G * mass / radius * np.where(y < 300, exact, far)


def halo_speed2(r: np.ndarray, mass: float, concentration: float, critical_density: float) -> np.ndarray:
    """Squared circular velocity [(km/s)^2] of an NFW halo at r [kpc]; mass within r200, density in M_sun/kpc^3."""
    scale = (3 * mass / (800 * math.pi * critical_density)) ** (1 / 3) / concentration
    return G * mass / r * _nfw_mass(r / scale) / float(_nfw_mass(np.asarray(concentration)))


def _nfw_mass(x: np.ndarray) -> np.ndarray:
    """ln(1+x) - x/(1+x); by its series where the two terms cancel."""
    series = x**2 * (1 / 2 - x * (2 / 3 - x * (3 / 4 - x * (4 / 5 - x * 5 / 6))))
    return np.where(x < 1e-3, series, np.log1p(x) - x / (1 + x))


class Planes(NamedTuple):
    """Sums over components, before any division: mass [M_sun/kpc^2], light [L_sun/kpc^2], light v, light (s^2+v^2)."""

    mass: np.ndarray
    light: np.ndarray
    light_v: np.ndarray
    light_v2: np.ndarray


def planes_at(values: Mapping[str, float], dx: np.ndarray, dy: np.ndarray, critical_density: float) -> Planes:
    """The model's planes at points of the sky.

    Args:
        values: parameters by name, units of the model; components whose mass is absent are left out.
        dx, dy: offsets from the galaxy's centre (x0, y0) [kpc], of one shape, which the planes have too.
        critical_density: M_sun/kpc^3.
    """
    phi, inclination = values["position_angle"], values["inclination"]
    along = dx * math.cos(phi) + dy * math.sin(phi)
    across = (dy * math.cos(phi) - dx * math.sin(phi)) / math.cos(inclination)
    r = np.maximum(np.hypot(along, across), _SMALLEST_RADIUS)
    speed2 = _splined(lambda q: total_speed2(values, q, critical_density), r)
    planes = Planes(*(np.zeros(r.shape) for _ in Planes._fields))
    if "log10_bulge_mass" in values:
        mass, radius = 10 ** values["log10_bulge_mass"], 10 ** values["log10_bulge_radius"]
        gamma = values["bulge_slope"]
        s = np.maximum(np.hypot(dx, dy), _SMALLEST_RADIUS) / radius
        density = mass / radius**2 * _splined(lambda q: bulge_density(q, gamma), s)
        moment = G * mass**2 / radius**3 * _splined(lambda q: bulge_moment(q, gamma), s)
        _add(planes, density, values["ml_bulge"], 0.0, moment / density)
    for disc in ("disc1", "disc2"):
        if f"log10_{disc}_mass" in values:
            mass, radius = 10 ** values[f"log10_{disc}_mass"], 10 ** values[f"log10_{disc}_radius"]
            ordered = values[f"k_{disc}"]
            density = mass / (2 * math.pi * radius**2 * math.cos(inclination)) * np.exp(-r / radius)
            velocity = ordered * math.sin(inclination) * along / r * np.sqrt(speed2)
            _add(planes, density, values[f"ml_{disc}"], velocity, (1 - ordered**2) * speed2 / 3)
    return planes


def total_speed2(values: Mapping[str, float], r: np.ndarray, critical_density: float) -> np.ndarray:
    """Squared circular velocity [(km/s)^2] of all components together at r [kpc]."""
    stellar, total = 0.0, np.zeros(np.shape(r))
    if "log10_bulge_mass" in values:
        mass, radius = 10 ** values["log10_bulge_mass"], 10 ** values["log10_bulge_radius"]
        stellar, total = mass, bulge_speed2(r, mass, radius, values["bulge_slope"])
    for disc in ("disc1", "disc2"):
        if f"log10_{disc}_mass" in values:
            mass, radius = 10 ** values[f"log10_{disc}_mass"], 10 ** values[f"log10_{disc}_radius"]
            stellar, total = stellar + mass, total + disc_speed2(r, mass, radius)
    if "halo_concentration" in values:
        mass = stellar * 10 ** values["log10_halo_fraction"]
        total = total + halo_speed2(r, mass, values["halo_concentration"], critical_density)
    return total


def _add(planes: Planes, density: np.ndarray, ml: float, velocity: np.ndarray | float, dispersion2: np.ndarray) -> None:
    """Adds one component to the planes, in place: they are large when oversampled."""
    light = density / ml
    planes.mass[...] += density
    planes.light[...] += light
    planes.light_v[...] += light * velocity
    planes.light_v2[...] += light * (dispersion2 + velocity**2)


def _splined(profile: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """A positive, smooth radial profile at many radii, through a cubic spline of its logarithm in log radius."""
    log_x = np.log(x)
    low, high = log_x.min(), log_x.max()
    knots = np.linspace(low, high + 1e-9, max(4, math.ceil((high - low) / _GRID_STEP)))
    return np.exp(CubicSpline(knots, np.log(profile(np.exp(knots))))(log_x))
