"""How far are the `pixel` maps from brute force, single precision from double, and a GPU from a CPU?

    python studies/accuracy.py

Prints the largest differences over all pixels. Brute force is 25x25 parts per pixel with a graded centre
(`galfit_sr.analysis.plain`), for the hard cases of the tests and for draws from the prior with R_b >= 0.1 kpc. All of
it is computed on the device that JAX shows first, but for what a GPU is held against.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from galfit_sr.analysis.plain import plain_maps
from galfit_sr.devices import full_precision
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.scene import make_scene
from galfit_sr.parameters import default_parameters

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "model"))
from galaxies import KINEMATIC, NASTY, PHOTOMETRIC, REDSHIFT, draws_with_resolved_bulges, prior_draws

PARAMETERS = default_parameters()


def maps_of(fidelity: str, vectors: np.ndarray, dtype: type, device: jax.Device | None = None) -> np.ndarray:
    """Brightness, velocity, dispersion and M/L, (n, 4, 80, 80) float64, computed in `dtype`."""
    with jax.enable_x64(dtype is np.float64), jax.default_device(device), full_precision():
        model = GalaxyModel(fidelity=fidelity)
        scene = make_scene(model.canvas, REDSHIFT, PHOTOMETRIC, KINEMATIC, fidelity=fidelity)
        compute = jax.jit(lambda v, s: jnp.stack(model(PARAMETERS.complete(v), s).maps))
        return np.array([np.asarray(compute(jnp.asarray(v, dtype), scene), np.float64) for v in vectors])


def against_brute_force(n: int = 12) -> None:
    """Prints the differences in dex and km/s."""
    canvas = GalaxyModel().canvas
    for name, cases in (("hard cases", list(NASTY.values())), ("prior draws", draws_with_resolved_bulges(11, n))):
        ours = maps_of("pixel", np.array([PARAMETERS.flatten(values) for values in cases]), np.float64)
        worst = []
        for values, maps in zip(cases, ours, strict=True):
            plain = plain_maps(values, canvas, REDSHIFT, PHOTOMETRIC, KINEMATIC, "pixel", 25)
            worst.append([np.abs(a - np.asarray(b)).max() for a, b in zip(maps[:3], plain, strict=False)])
        print(
            f"{name} ({len(cases)}), pixel against brute force: largest {np.max(worst, axis=0)},"
            f" median {np.median(worst, axis=0)} (dex, km/s, km/s)",
            flush=True,
        )


def differences(maps: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The largest ones per map: relative, but for the velocity [km/s]."""
    off = np.abs(maps - reference)
    off[:, 0] *= math.log(10)
    off[:, 2:] /= reference[:, 2:]
    return off.max(axis=(0, 2, 3))


def single_against_double(n: int = 400) -> None:
    """Prints the differences, and those of the device in double precision from a CPU if it is none."""
    vectors, _ = prior_draws(21, n, np.float32)
    for fidelity in ("point", "pixel"):
        single, double = (maps_of(fidelity, vectors, dtype) for dtype in (np.float32, np.float64))
        print(f"{n} prior draws, {fidelity}, float32 against float64: largest {differences(single, double)}")
        if jax.default_backend() != "cpu":
            on_cpu = maps_of(fidelity, vectors, np.float64, jax.devices("cpu")[0])
            print(f"{n} prior draws, {fidelity}, float64, against a CPU: largest {differences(double, on_cpu)}")


if __name__ == "__main__":
    single_against_double()
    against_brute_force()
