"""Lines of sight through thick discs by graded quadrature that checks itself, from the formulas alone, in NumPy."""

import math

import numpy as np
from scipy.interpolate import CubicSpline

from galfit_sr.analysis import plain_profiles
from galfit_sr.model.tables import thick_velocity_squared

DISCS = ("disc1", "disc2")


def rotation_squared(values, critical_density):
    """v_c^2 [km^2/s^2] of all components as a function of the radius [kpc]; splines through exact values."""
    knots = np.geomspace(1e-4, 1e3, 120)
    total = np.zeros(knots.size)
    stars = sum(10 ** values[f"log10_{c}_mass"] for c in ("bulge", *DISCS) if f"log10_{c}_mass" in values)
    if "log10_bulge_mass" in values:
        mass, radius = 10 ** values["log10_bulge_mass"], 10 ** values["log10_bulge_radius"]
        total += plain_profiles.bulge_speed2(knots, mass, radius, values["bulge_slope"])
    for disc in DISCS:
        if f"log10_{disc}_mass" in values:
            mass, radius = 10 ** values[f"log10_{disc}_mass"], 10 ** values[f"log10_{disc}_radius"]
            universal = np.array([thick_speed2(x, values[f"thickness_{disc}"]) for x in knots / radius])
            total += plain_profiles.G * mass / radius * universal
    if "halo_concentration" in values:
        mass = stars * 10 ** values["log10_halo_fraction"]
        total += plain_profiles.halo_speed2(knots, mass, values["halo_concentration"], critical_density)
    spline = CubicSpline(np.log(knots), np.log(total))
    return lambda r: np.exp(spline(np.log(np.clip(r, knots[0], knots[-1]))))


def thick_speed2(x, thickness):
    """v_c^2 R_d / (G M) at R = x R_d; beyond the range of the integral a solid body and a point mass."""
    inside = min(max(x, 1e-3), 1e3)
    return thick_velocity_squared(inside, thickness) * (x / inside) ** (2 if x < inside else -1)


def disc_moments(values, disc, along, across, speed2):
    """Of a disc at a point of the sky [kpc]: density, and its products with v and with sigma^2 + v^2.

    Args:
        values: parameters by name.
        disc: its name.
        along, across: the major axis.
        speed2: from `rotation_squared`.
    """
    mass, scale = 10 ** values[f"log10_{disc}_mass"], 10 ** values[f"log10_{disc}_radius"]
    height, ordered = values[f"thickness_{disc}"] * scale, values[f"k_{disc}"]
    cosine, sine = math.cos(values["inclination"]), math.sin(values["inclination"])

    def integrand(depth):
        z = across * sine + depth * cosine
        radius = np.hypot(along, across * cosine - depth * sine)
        e = np.exp(-2 * np.abs(z) / height)
        density = mass / (4 * math.pi * scale**2 * height) * np.exp(-radius / scale) * 4 * e / (1 + e) ** 2
        squared = speed2(radius)
        velocity = ordered * sine * along / radius * np.sqrt(squared)
        return density * np.array([np.ones_like(z), velocity, (1 - ordered**2) * squared / 3 + velocity**2])

    # Panels that shrink towards where the line is nearest to the axis, and where it crosses the plane.
    knees = [across * cosine / sine]
    if abs(cosine) > 1e-3:
        knees.append(-across * sine / cosine)
    steps = scale * np.append(0.0, np.geomspace(1e-4, 60, 45))
    edges = np.unique([k + sign * step for k in knees for step in steps for sign in (-1, 1)])
    coarse, fine = (_panels(integrand, edges, count) for count in (6, 12))
    np.testing.assert_allclose(coarse, fine, rtol=1e-5, atol=1e-5 * abs(fine[1]))
    return fine


def _panels(integrand, edges, count):
    nodes, weights = np.polynomial.legendre.leggauss(count)
    width = np.diff(edges)[:, None]
    return (integrand(edges[:-1, None] + width * (nodes + 1) / 2) * width * weights / 2).sum((1, 2))
