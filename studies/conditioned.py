"""How good the `conditioned` emulator is, and how much of its error's scale to count; writes its card.

    python studies/conditioned.py [TRAINING VALIDATION]

The galaxies are those that a training on so many is judged by (default: 2048 and 1024), to compare like with like. The
card says what was found: errors on galaxies of the prior and outside of it, and for other point spread functions.
`ERROR` in emulators/conditioned/__init__.py is what this prints first.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from galfit_sr.emulation.card import Card
from galfit_sr.emulation.emulator import Inputs
from galfit_sr.emulation.examples import Examples, as_examples
from galfit_sr.emulation.learning import TYPICAL_NOISE
from galfit_sr.emulation.measures import measures, outside_box
from galfit_sr.emulation.pairs import Pairs, galaxies, make_pairs, split, training_prior
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.emulation.scale_free import Amplitudes, to_scale_free
from galfit_sr.files import write_text
from galfit_sr.maps import MAP_NAMES, Maps, Observation
from galfit_sr.model.scene import make_scene
from galfit_sr.psf import GaussianPSF
from galfit_sr_emulators.conditioned import FUNCTION, optics

FWHM = {"photometry": (1.0, 3.0), "kinematics": (1.5, 3.0)}
OTHER_PSFS = ((1.0, 1.5), (2.5, 2.5), (3.0, 3.0))
_ONE_SIGMA = 0.6827
CARD = Path(__file__).parents[1] / "emulators" / "conditioned" / "card.json"


def emulated(recipe: Recipe, pairs: Pairs) -> tuple[Maps, Maps]:
    """Maps and errors (n, N, N) that the emulator gives for the galaxies of some pairs of one redshift."""
    (redshift,) = set(pairs.redshift.tolist())
    blank = np.ones((recipe.high.size,) * 2)
    look = Observation(
        "any",
        redshift,
        recipe.high.pixel_scale,
        recipe.psf_photometry,
        recipe.psf_kinematics,
        Maps(*4 * (blank,)),
        Maps(*4 * (blank,)),
        Maps(*4 * (blank > 0,)),
    )
    weights, scene = optics(look), make_scene(recipe.low, redshift)
    parameters = training_prior().parameters

    def one(theta: jax.Array, low: Maps) -> tuple[Maps, Maps]:
        return FUNCTION(weights, Inputs(low, parameters.complete(theta), scene))

    run = jax.jit(lambda theta, low: jax.lax.map(lambda both: one(*both), (theta, low), batch_size=32))
    maps, error = run(jnp.asarray(pairs.theta), Maps(*map(jnp.asarray, pairs.low)))
    return Maps(*map(np.asarray, maps)), Maps(*map(np.asarray, error))


def residual(maps: Maps, examples: Examples) -> np.ndarray:
    """Scale-free errors, as `measures` takes them."""
    unit = Amplitudes(*(np.asarray(a)[:, None, None] for a in examples.unit))
    return np.asarray(to_scale_free(maps, unit)) - examples.high


def measured(recipe: Recipe, theta: np.ndarray, redshift: np.ndarray) -> tuple[dict, list[float]]:
    """Measures for a card, and per map the 68 % quantile of errors in units of their scale, where either matters."""
    pairs = make_pairs(recipe, theta, redshift)
    maps, error = emulated(recipe, pairs)
    ratios = []
    for a, b, scale, typical in zip(maps, pairs.high, error, TYPICAL_NOISE, strict=True):
        off = np.abs(a - b)
        counts = (np.maximum(off, scale) > typical / 20) & (scale > 0)
        ratios.append(float(np.quantile(off[counts] / scale[counts], _ONE_SIGMA)))
    examples = as_examples(recipe, pairs)
    return measures(residual(maps, examples), examples, recipe), ratios


def main(training: int, validation: int) -> None:
    """Runs the study."""
    jax.config.update("jax_enable_x64", False)
    began = time.monotonic()
    recipe, total = Recipe(), training + validation
    drawn = galaxies(recipe, split(recipe, total, validation).validation, total)
    inside, ratios = measured(recipe, *drawn)
    print("error in units of its scale:", dict(zip(MAP_NAMES, np.round(ratios, 3), strict=True)), flush=True)
    held_out = {"inside": inside, "outside": measured(*outside_box(recipe, validation))[0]}
    for photometry, kinematics in OTHER_PSFS:
        other = dataclasses.replace(
            recipe, psf_photometry=GaussianPSF(photometry), psf_kinematics=GaussianPSF(kinematics)
        )
        some = (column[: validation // 2] for column in drawn)
        held_out[f"fwhm {photometry} and {kinematics} arcsec"] = measured(other, *some)[0]
    for name, found in held_out.items():
        print(name, found["noise"], "L1", found["l1"], flush=True)
    card = Card(
        "conditioned",
        "The model itself within 8 arcsec of the centre, an expansion in the PSF outside; nothing is learnt.",
        recipe,
        fwhm=FWHM,
        held_out=held_out,
        training={"ended": "nothing to learn", "validation": validation, "seconds": round(time.monotonic() - began)},
        known_failures=(
            "Galaxies whose light falls by a factor of e within a fraction of a pixel everywhere: far from the centre"
            " their maps, at brightnesses that no survey reaches, are wrong by more than the noise.",
        ),
    )
    write_text(CARD, card.to_json())


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:]) if len(sys.argv) == 3 else (2048, 1024)))
