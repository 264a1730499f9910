"""What a catalogue tells of a galaxy beyond its parameters: masses, sizes, and how much it turns."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..inference.derived import QUANTITIES
from ..inference.results import Posterior
from ..inference.statistics import describe
from ..model.galaxy import GalaxyModel
from ..model.scene import Scene, make_scene
from ..parameters import Parameters

DRAWS = 1000
"""From the posterior; their number is fixed, so that one program serves all galaxies."""
_LOG_RADII = np.linspace(-4.0, 4.0, 400)
_NODES, _WEIGHTS = (0.5 * (a + b) for a, b in zip(np.polynomial.legendre.leggauss(20), (1.0, 0.0), strict=True))
_LAGUERRE = np.polynomial.laguerre.laggauss(24)


class Described(NamedTuple):
    """What a column of the catalogue is.

    Attributes:
        unit: in astropy's notation.
        description: in a few words.
    """

    unit: str
    description: str


GROWN = {
    "log10_total_mass": Described("dex(Msun)", "mass of stars and halo, the halo's within r200"),
    "log10_effective_radius": Described("dex(kpc)", "radius that encloses half of the light, seen face-on"),
    "log10_mass_within_effective_radius": Described("dex(Msun)", "stellar mass inside that radius, seen face-on"),
    "log10_specific_angular_momentum": Described(
        "dex(kpc km / s)", "of the stars by ordered rotation: sum over discs of M k <R v_c>, over M_stars"
    ),
}
"""Name -> what it is, in order."""
DERIVED = {**{q.name: Described(q.unit, q.description) for q in QUANTITIES}, **GROWN}


def grown_summary(posterior: Posterior, model: GalaxyModel, redshift: float) -> dict[str, dict[str, Any]]:
    """Those of `GROWN` that the model has -> mean, std, quantiles and unit, as `Posterior.summary`.

    Args:
        posterior: of a fit with the components of `model`.
        model: the galaxy model at full resolution.
        redshift: of the galaxy.
    """
    vectors = jnp.asarray(posterior.equal_weight_samples(DRAWS, posterior.seed))
    found = _quantities(model, posterior.parameters, vectors, make_scene(model.canvas, redshift))
    weights = np.full(DRAWS, 1 / DRAWS)
    return {
        name: {**describe(np.asarray(found[name], dtype=np.float64), weights)._asdict(), "unit": GROWN[name].unit}
        for name in GROWN
        if name in found
    }


@partial(jax.jit, static_argnums=(0, 1))
def _quantities(model: GalaxyModel, parameters: Parameters, vectors: jax.Array, scene: Scene) -> dict[str, jax.Array]:
    return jax.vmap(lambda vector: quantities(model, parameters.complete(vector), scene))(vectors)


def quantities(model: GalaxyModel, values: dict[str, jax.Array], scene: Scene) -> dict[str, jax.Array]:
    """Those of `GROWN` that the components have, of one galaxy.

    Args:
        model: whose components are meant.
        values: name -> scalar.
        scene: for the critical density.
    """
    stars = [name for name in model.components if name != "halo"]
    discs = [name for name in stars if name != "bulge"]
    mass = {name: 10.0 ** values[f"log10_{name}_mass"] for name in stars}
    total = jnp.asarray(sum(mass.values()))
    light = {name: mass[name] / values[f"ml_{name}"] for name in stars}
    radii = jnp.asarray(_LOG_RADII, total.dtype)
    shares = {name: jax.vmap(lambda r, name=name: enclosed(name, values, 10.0**r))(radii) for name in stars}
    growth = sum(light[name] * shares[name] for name in stars) / sum(light.values())
    effective = jnp.interp(jnp.asarray(0.5, total.dtype), growth, radii)
    within = sum(mass[name] * enclosed(name, values, 10.0**effective) for name in stars)
    found = {"log10_effective_radius": effective, "log10_mass_within_effective_radius": jnp.log10(within)}
    if "halo" in model.components:
        found["log10_total_mass"] = jnp.log10(total) + jnp.log10(1 + 10.0 ** values["log10_halo_fraction"])
    if discs:
        turning = sum(mass[name] * values[f"k_{name}"] * _moment(model, name, values, scene) for name in discs)
        found["log10_specific_angular_momentum"] = jnp.log10(turning / total)
    return found


def enclosed(name: str, values: dict[str, jax.Array], radius: jax.Array) -> jax.Array:
    """Share of a stellar component's mass inside a circle of some radius [kpc], seen face-on.

    Exponential discs: 1 - (1 + x) exp(-x). The bulge (Dehnen 1993, MNRAS 265, 250): the mass m inside the sphere, and
    of every shell outside the share 1 - sqrt(1 - R^2/r^2) that lies in front of it and behind.
    """
    scale = 10.0 ** values[f"log10_{name}_radius"]
    if name != "bulge":
        x = radius / scale
        return -jnp.expm1(-x) - x * jnp.exp(-x)
    power = 1 / (3 - values["bulge_slope"])
    inside = (1 + scale / radius) ** (-1 / power)
    # The root at m is lifted by going out in squares.
    t, weights = (jnp.asarray(a, radius.dtype) for a in (_NODES, _WEIGHTS))
    shell = (inside + (1 - inside) * t**2) ** power
    cosine = jnp.sqrt(jnp.maximum(1 - (radius / scale * (1 - shell) / shell) ** 2, 0.0))
    return inside + (1 - inside) * jnp.sum(2 * t * weights * (1 - cosine))


def _moment(model: GalaxyModel, name: str, values: dict[str, jax.Array], scene: Scene) -> jax.Array:
    """<R v_c> of a disc's mass [kpc km/s]: R_d times the integral of x^2 exp(-x) v_c(x R_d)."""
    scale = 10.0 ** values[f"log10_{name}_radius"]
    nodes, weights = (jnp.asarray(a, scale.dtype) for a in _LAGUERRE)
    velocity = model.profiles(values, nodes * scale, scene)["total"]["circular_velocity"]
    return scale * jnp.sum(weights * nodes**2 * velocity)


def median_of(row: dict[str, Any]) -> str:
    """A median with its 68 % interval in words."""
    half = (row["q84"] - row["q16"]) / 2
    if half == 0:
        return f"{row['q50']:.3f}"
    digits = int(np.clip(1 - math.floor(math.log10(half)), 0, 4))
    return f"{row['q50']:.{digits}f} ± {half:.{digits}f}"
