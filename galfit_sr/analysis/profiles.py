"""Radial profiles of light and circular velocity, by component, with the width that the posterior gives them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from astropy import units
from astropy.table import Table
from matplotlib.ticker import StrMethodFormatter

from ..inference.results import Posterior
from ..model.galaxy import GalaxyModel
from ..model.scene import Scene, kpc_per_arcsec, make_scene
from ..parameters import COMPONENT_NAMES, Parameters
from .display import COMPONENT_TITLES
from .rendering import Figure

KINDS = {"surface_brightness": "Lsun / kpc2", "circular_velocity": "km / s"}
LEVELS = (0.16, 0.5, 0.84)
COLOURS = {"bulge": "#D55E00", "disc1": "#0072B2", "disc2": "#56B4E9", "halo": "#7F7F7F", "total": "#000000"}
"""Okabe & Ito (2008): told apart with any colour vision, and in print."""
STYLES = {"bulge": "-", "disc1": "--", "disc2": "-.", "halo": ":", "total": "-"}
_POINTS = 60
_INNERMOST = 0.05


class Profiles(NamedTuple):
    """Profiles in the plane of the discs.

    Attributes:
        radius: (m,) kpc.
        bands: (component or "total", kind) -> (3, m), the 16, 50 and 84 % quantiles, see `KINDS` for the units.
        truth: (component or "total", kind) -> (m,), empty unless known.
        kpc_per_arcsec: scale of the galaxy.
    """

    radius: np.ndarray
    bands: Mapping[tuple[str, str], np.ndarray]
    truth: Mapping[tuple[str, str], np.ndarray]
    kpc_per_arcsec: float


def profile_bands(
    posterior: Posterior, model: GalaxyModel, redshift: float, *, draws: int = 100, seed: int = 0
) -> Profiles:
    """Profiles with their central 68 % bands.

    Args:
        posterior: of a fit with `model`.
        model: the galaxy model, at full resolution.
        redshift: of the galaxy.
        draws: how many draws from the posterior the bands are made of.
        seed: of these draws.

    Returns:
        from 0.05 kpc (or a tenth of a pixel, if that is less) to the edge of the canvas.
    """
    scale = kpc_per_arcsec(redshift)
    pixel = scale * model.canvas.pixel_scale
    radius = np.geomspace(min(_INNERMOST, pixel / 10), pixel * model.canvas.size / 2, _POINTS)
    # Profiles are face-on and unconvolved: no PSF.
    scene = make_scene(model.canvas, redshift)
    vectors = jnp.asarray(posterior.equal_weight_samples(draws, seed))
    computed = _profiles(model, posterior.parameters, vectors, jnp.asarray(radius), scene)
    bands = {
        (component, kind): np.quantile(np.asarray(values, dtype=np.float64), LEVELS, axis=0)
        for component, kinds in computed.items()
        for kind, values in kinds.items()
    }
    truth = {}
    names = [p.name for p in posterior.parameters]
    if all(posterior.parameters[n].value is not None or n in posterior.truth for n in names):
        values = {n: jnp.asarray(posterior.truth.get(n, posterior.parameters[n].value)) for n in names}
        true = _true_profiles(model, values, jnp.asarray(radius), scene)
        truth = {(c, kind): np.asarray(v, dtype=np.float64) for c, kinds in true.items() for kind, v in kinds.items()}
    return Profiles(radius, bands, truth, scale)


@partial(jax.jit, static_argnums=(0, 1))
def _profiles(
    model: GalaxyModel, parameters: Parameters, vectors: jax.Array, radius: jax.Array, scene: Scene
) -> dict[str, dict[str, jax.Array]]:
    return jax.vmap(lambda vector: model.profiles(parameters.complete(vector), radius, scene))(vectors)


@partial(jax.jit, static_argnums=0)
def _true_profiles(
    model: GalaxyModel, values: dict[str, jax.Array], radius: jax.Array, scene: Scene
) -> dict[str, dict[str, jax.Array]]:
    return model.profiles(values, radius, scene)


def profiles_figure(profiles: Profiles) -> Figure:
    """Light and circular velocity against radius: medians, 68 % bands, and the truth as thin black dots if known."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.subplots(1, 2)
    titles = {
        "surface_brightness": r"face-on surface brightness [$\mathrm{L_\odot\,kpc^{-2}}$]",
        "circular_velocity": r"circular velocity [km/s]",
    }
    for axis, kind in zip(axes, KINDS, strict=True):
        for component in (*COMPONENT_NAMES, "total"):
            if (component, kind) not in profiles.bands:
                continue
            title = COMPONENT_TITLES.get(component, component)
            low, middle, high = profiles.bands[component, kind]
            colour = COLOURS[component]
            axis.fill_between(profiles.radius, low, high, color=colour, alpha=0.25, linewidth=0)
            width = 2.2 if component == "total" else 1.5
            axis.plot(profiles.radius, middle, color=colour, linestyle=STYLES[component], lw=width, label=title)
            if (component, kind) in profiles.truth:
                points = slice(None, None, 4)
                axis.plot(
                    profiles.radius[points],
                    profiles.truth[component, kind][points],
                    linestyle="none",
                    marker=".",
                    markersize=4,
                    color="black",
                    label="truth" if component == "total" else None,
                )
        axis.set_xscale("log")
        axis.set_xlim(profiles.radius[0], profiles.radius[-1])
        axis.set_xlabel("radius in the disc plane [kpc]")
        axis.set_ylabel(titles[kind])
        axis.grid(alpha=0.2, linewidth=0.5)
        arcsec = axis.secondary_xaxis(
            "top", functions=(lambda r: r / profiles.kpc_per_arcsec, lambda a: a * profiles.kpc_per_arcsec)
        )
        arcsec.set_xlabel("[arcsec]")
        for scale in (axis.xaxis, arcsec.xaxis):
            scale.set_major_formatter(StrMethodFormatter("{x:g}"))
    total = profiles.bands["total", "surface_brightness"][1]
    axes[0].set_yscale("log")
    # Steep components fall through every floor; six decades below the peak nothing is left to see.
    axes[0].set_ylim(max(total.min() / 3, total.max() * 1e-6), total.max() * 3)
    axes[1].set_ylim(bottom=0)
    axes[1].legend(frameon=False, fontsize=9, ncols=2)
    return figure


def to_ecsv(profiles: Profiles) -> str:
    """The profiles as text that astropy's `Table.read` understands, units included."""
    table = Table({"radius": profiles.radius * units.kpc})
    table.meta["kpc_per_arcsec"] = profiles.kpc_per_arcsec
    for (component, kind), band in profiles.bands.items():
        for level, values in zip(LEVELS, band, strict=True):
            table[f"{component}_{kind}_q{100 * level:.0f}"] = values * units.Unit(KINDS[kind])
    for (component, kind), values in profiles.truth.items():
        table[f"{component}_{kind}_truth"] = values * units.Unit(KINDS[kind])
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def from_ecsv(text: str) -> Profiles:
    """The inverse of `to_ecsv`."""
    table = Table.read(text, format="ascii.ecsv")
    bands, truth = {}, {}
    for component in (*COMPONENT_NAMES, "total"):
        for kind in KINDS:
            if f"{component}_{kind}_q50" in table.colnames:
                bands[component, kind] = np.array(
                    [np.asarray(table[f"{component}_{kind}_q{100 * level:.0f}"]) for level in LEVELS]
                )
            if f"{component}_{kind}_truth" in table.colnames:
                truth[component, kind] = np.asarray(table[f"{component}_{kind}_truth"])
    return Profiles(np.asarray(table["radius"]), bands, truth, float(table.meta["kpc_per_arcsec"]))
