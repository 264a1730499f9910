"""Galaxies and comparisons that several tests of the model share."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from galfit_sr.parameters import default_parameters
from galfit_sr.priors import Prior
from galfit_sr.psf import GaussianPSF

REDSHIFT = 0.03
KPC_PER_PIXEL = 0.30027
"""0.5 arcsec at redshift 0.03, for galaxies that are placed with respect to pixels."""

PHOTOMETRIC, KINEMATIC = GaussianPSF(1.3), GaussianPSF(2.5)
"""The default point spread functions of the design."""

TYPICAL = {
    "x0": 0.31,
    "y0": -0.52,
    "position_angle": 0.7,
    "inclination": 0.9,
    "log10_bulge_mass": 10.2,
    "log10_bulge_radius": -0.1,
    "bulge_slope": 1.2,
    "log10_disc1_mass": 10.1,
    "log10_disc1_radius": 0.1,
    "log10_disc2_mass": 10.6,
    "log10_disc2_radius": 0.6,
    "log10_halo_fraction": 1.7,
    "halo_concentration": 9.0,
    "ml_bulge": 4.0,
    "ml_disc1": 2.0,
    "ml_disc2": 1.5,
    "k_disc1": 0.5,
    "k_disc2": 0.9,
}

# The steepest bulge and the smallest disc that the targets cover, on a corner, a centre and an edge of the pixels.
_CUSPY = TYPICAL | {
    "inclination": math.pi / 3,
    "log10_bulge_mass": 10.5,
    "log10_bulge_radius": -1.0,
    "bulge_slope": 2.4,
    "log10_disc1_mass": 10.0,
    "log10_disc1_radius": math.log10(0.11),
}
NASTY = {
    "steep-at-corner": _CUSPY | {"x0": 0.0, "y0": 0.0},
    "steep-at-centre": _CUSPY | {"x0": KPC_PER_PIXEL / 2, "y0": -KPC_PER_PIXEL / 2},
    "steep-at-edge": _CUSPY | {"x0": KPC_PER_PIXEL, "y0": 0.1},
    "steep-anywhere": _CUSPY | {"x0": 0.04, "y0": 1.13},
    "steep-massive": _CUSPY | {"log10_bulge_mass": 12.0, "ml_bulge": 0.1},
    "steep-large-bulge": _CUSPY | {"log10_bulge_radius": 1.4, "log10_disc2_radius": 1.45, "log10_bulge_mass": 11.5},
    "slope-2": _CUSPY | {"bulge_slope": 2.0},
    "slope-1.5": _CUSPY | {"bulge_slope": 1.5},
    "slope-1": _CUSPY | {"bulge_slope": 1.0},
    "core": _CUSPY | {"bulge_slope": 0.0},
    "tiny-disc": TYPICAL | {"log10_disc1_radius": -2.0, "log10_disc1_mass": 10.5, "inclination": math.pi / 3},
    "small-disc": TYPICAL | {"log10_disc1_radius": -1.3, "log10_disc1_mass": 11.0, "inclination": math.pi / 3},
    "tiny-disc-in-cusp": _CUSPY | {"log10_disc1_radius": -2.0, "k_disc1": 1.0, "ml_disc1": 0.1},
    "cold-discs": TYPICAL | {"k_disc1": 1.0, "k_disc2": 1.0, "ml_bulge": 20.0, "log10_bulge_mass": 8.5},
    "all-small": _CUSPY | {"log10_disc2_radius": -0.9},
}


def prior_draws(seed, n, dtype=np.float64):
    """(n, 18) values of the default parameters, and their names."""
    prior = Prior(default_parameters())
    return np.asarray(prior.sample(jax.random.key(seed), n), dtype=dtype), prior.names


def draws_with_resolved_bulges(seed, n):
    """n galaxies from the prior with R_b >= 0.1 kpc, as dictionaries."""
    draws, names = prior_draws(seed, 4 * n + 40)
    galaxies = [dict(zip(names, map(float, d), strict=True)) for d in draws]
    return [g for g in galaxies if g["log10_bulge_radius"] >= -1][:n]


def as_float64(maps):
    """The four maps as NumPy arrays."""
    return [np.asarray(m, dtype=np.float64) for m in maps]


@functools.partial(jax.jit, static_argnums=0)
def stacked_maps(model, vector, scene):
    """(4, n, n) maps of a flat vector of the model's default parameters."""
    names = default_parameters(model.components).names
    return jnp.stack(model({name: vector[i] for i, name in enumerate(names)}, scene).maps)


@functools.partial(jax.jit, static_argnums=0)
def looked(model, vectors, scene, weights):
    """Of each of (m, ndim) vectors: whether the maps are finite, (m, 4), and their weighted sum's gradient."""

    def one(vector):
        maps, pullback = jax.vjp(lambda v: stacked_maps(model, v, scene), vector)
        return jnp.isfinite(maps).all((1, 2)), pullback(weights)[0]

    return jax.lax.map(one, vectors)


def random_weights(canvas, seed):
    """(4, n, n), normal."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=(4, canvas.size, canvas.size)), jnp.result_type(float))
