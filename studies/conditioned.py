"""Learns the error of `conditioned`, or of `conditioned-thick`, and measures how good both are; writes the bundle.

    python studies/conditioned.py NAME [TRAINING VALIDATION]

The galaxies are those that a training on so many is judged by (default: 2048 and 1024), to compare like with like. The
card says what was found: errors on galaxies of the prior and outside of it, and for other point spread functions.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats.qmc import LatinHypercube, scale

from galfit_sr.emulation.bundle import save_bundle
from galfit_sr.emulation.calibration import LEARNT_FROM, UNSEEN, calibration
from galfit_sr.emulation.card import Card
from galfit_sr.emulation.emulator import Estimate, Inputs
from galfit_sr.emulation.error import ErrorNetwork
from galfit_sr.emulation.error_learning import learn_error
from galfit_sr.emulation.examples import Examples, as_examples
from galfit_sr.emulation.measures import measures, outside_box
from galfit_sr.emulation.network import Weights, blank
from galfit_sr.emulation.pairs import Pairs, galaxies, make_pairs, split, training_prior
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.emulation.scale_free import Amplitudes, context_names, to_scale_free, without_zero
from galfit_sr.maps import Maps, Observation
from galfit_sr.model.scene import Scene, make_scene
from galfit_sr.parameters import COMPONENT_NAMES
from galfit_sr.psf import GaussianPSF
from galfit_sr_emulators.conditioned import MORE_FACTS, exact_centre, optics
from galfit_sr_emulators.conditioned.function import ExactCentre, Optics

Drawn = tuple[np.ndarray, np.ndarray]
FWHM = {"photometry": (1.0, 3.0), "kinematics": (1.5, 3.0)}
OTHER_PSFS = ((1.0, 1.5), (2.5, 2.5), (3.0, 3.0))
EMULATORS = Path(__file__).parents[1] / "emulators"
MODELS = {
    "conditioned": COMPONENT_NAMES,
    "conditioned-thick": ("bulge", "thick_disc1", "thick_disc2", "halo"),
}
KNOWN_FAILURES = {
    "conditioned": (
        "Galaxies whose light falls by a factor of e within a fraction of a pixel everywhere: far from the centre their"
        " maps, at brightnesses that no survey reaches, are wrong by more than the noise.",
    ),
    "conditioned-thick": (
        "Discs seen edge-on and thinner than 2 arcsec: farther than 8 arcsec from the centre their ridge is wrong by up"
        " to a few times the noise.",
    ),
}
LEARNT = 2 * LEARNT_FROM
FEATURES = 64
"""Of the hidden layers of the error: residuals span many decades, and 32 do not tell where the small ones are."""
CHUNK = 128
"""Galaxies with the same point spread functions; half of what is learnt from has the default ones."""
# Nothing is clipped.
RANGES = np.array([[-np.inf] * 4, [np.inf] * 4], np.float32)


def emulated(recipe: Recipe, pairs: Pairs, error: Any) -> tuple[Maps, Maps]:
    """Maps and errors (n, N, N) that the emulator gives for pairs; `error` has its error's weights."""
    look, function = observation(recipe), exact_centre(recipe)
    galaxies = jnp.asarray(pairs.theta), Maps(*map(jnp.asarray, pairs.low))
    scene = make_scene(recipe.low, look.redshift)
    maps, errors = estimates(function, optics(function, error, look), scene, galaxies)
    return Maps(*map(np.asarray, maps)), Maps(*map(np.asarray, errors))


def observation(recipe: Recipe) -> Observation:
    """One of the recipe's only redshift and point spread functions."""
    (redshift,) = set(recipe.redshift)
    empty = np.ones((recipe.high.size,) * 2)
    return Observation(
        "any",
        redshift,
        recipe.high.pixel_scale,
        recipe.psf_photometry,
        recipe.psf_kinematics,
        Maps(*4 * (empty,)),
        Maps(*4 * (empty,)),
        Maps(*4 * (empty > 0,)),
    )


@partial(jax.jit, static_argnames="function")
def estimates(function: ExactCentre, weights: Optics, scene: Scene, galaxies: tuple[jax.Array, Maps]) -> Estimate:
    """What the emulator gives for free parameters (n, ndim) and low-resolution maps (n, N, N)."""
    parameters = training_prior(function.centre.components).parameters

    def one(galaxy: tuple[jax.Array, Maps]) -> Estimate:
        theta, low = galaxy
        return function(weights, Inputs(low, parameters.complete(theta), scene))

    return jax.lax.map(one, galaxies, batch_size=32)


def compared(recipe: Recipe, drawn: Drawn, error: Any) -> tuple[np.ndarray, np.ndarray, Examples]:
    """Residuals and errors (n, N, N, 4), scale-free, of galaxies, and their examples."""
    pairs = make_pairs(recipe, *drawn)
    maps, errors = emulated(recipe, pairs, error)
    examples = as_examples(recipe, pairs)
    unit = Amplitudes(*(np.asarray(a)[:, None, None] for a in examples.unit))
    residual = np.asarray(to_scale_free(maps, unit)) - examples.high
    return residual, np.asarray(to_scale_free(errors, without_zero(unit))), examples


def learnt(recipe: Recipe) -> Any:
    """The error's weights, from galaxies of the prior that nothing is judged by, half of them with any PSFs."""
    network = ErrorNetwork(recipe.scale, facts=len(context_names(recipe.components)) + MORE_FACTS)
    nothing = jax.tree.map(lambda array: np.zeros(array.shape, array.dtype), blank(network))
    chunks = LEARNT // CHUNK
    reach = np.log(list(FWHM.values())).T
    drawn = np.exp(scale(LatinHypercube(2, rng=0).random(chunks // 2), *reach))
    parts = []
    for k in range(chunks):
        seen = recipe if k % 2 else with_psfs(recipe, *drawn[k // 2])
        residual, _, examples = compared(seen, unseen(recipe, k * CHUNK, CHUNK), nothing)
        growth = optics(exact_centre(seen), nothing, observation(seen)).growth
        told = np.concatenate([examples.context, np.broadcast_to(growth, (CHUNK, MORE_FACTS))], axis=1)
        parts.append((residual, examples._replace(context=told, high=residual[:, :0])))
    residual, examples = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    return learn_error(residual, np.broadcast_to(np.float32(0), residual.shape), examples, 0, lambda *_: None, FEATURES)


def with_psfs(recipe: Recipe, photometry: float, kinematics: float) -> Recipe:
    """The recipe with Gaussian point spread functions of other FWHM [arcsec]."""
    return dataclasses.replace(
        recipe, psf_photometry=GaussianPSF(float(photometry)), psf_kinematics=GaussianPSF(float(kinematics))
    )


def unseen(recipe: Recipe, start: int, count: int) -> Drawn:
    """Galaxies of the prior, of a design without end."""
    indices = UNSEEN + start + np.arange(count)
    return galaxies(dataclasses.replace(recipe, draws="prior"), indices, UNSEEN + start + count)


def measured(recipe: Recipe, drawn: Drawn, error: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measures and calibration for a card."""
    residual, errors, examples = compared(recipe, drawn, error)
    return measures(residual, examples, recipe), calibration(residual, errors, examples, recipe)


def main(name: str, training: int, validation: int) -> None:
    """Runs the study."""
    jax.config.update("jax_enable_x64", False)
    began = time.monotonic()
    recipe, total = Recipe(components=MODELS[name]), training + validation
    error = learnt(recipe)
    print("learnt", round(time.monotonic() - began), "s", flush=True)
    drawn = galaxies(recipe, split(recipe, total, validation).validation, total)
    held_out = {"inside": measured(recipe, drawn, error)[0]}
    outside_recipe, *far = outside_box(recipe, validation)
    held_out["outside"], _ = measured(outside_recipe, (far[0], far[1]), error)
    held_out["calibration"] = measured(recipe, unseen(recipe, LEARNT, validation), error)[1]
    for photometry, kinematics in OTHER_PSFS:
        other = with_psfs(recipe, photometry, kinematics)
        psfs = f"fwhm {photometry} and {kinematics} arcsec"
        some = (drawn[0][: validation // 2], drawn[1][: validation // 2])
        held_out[psfs], held_out[f"calibration, {psfs}"] = measured(other, some, error)
    for what, found in held_out.items():
        print(what, json.dumps(found), flush=True)
    card = Card(
        name,
        "The model itself within 8 arcsec of the centre, an expansion in the PSF outside; only the error is learnt.",
        recipe,
        fwhm=FWHM,
        held_out=held_out,
        training={"ended": "nothing to learn", "validation": validation, "seconds": round(time.monotonic() - began)},
        known_failures=KNOWN_FAILURES[name],
    )
    save_bundle(EMULATORS / name.replace("-", "_"), card, Weights({}, RANGES, error))


if __name__ == "__main__":
    main(sys.argv[1], *(map(int, sys.argv[2:]) if len(sys.argv) == 4 else (2048, 1024)))
