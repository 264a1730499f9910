"""A small galaxy, its observation, and a posterior as a sampler would give it, Gaussian around the truth."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from galfit_sr.inference.results import Posterior
from galfit_sr.maps import MAP_NAMES, Maps, Observation
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.model.scene import make_scene
from galfit_sr.parameters import default_parameters
from galfit_sr.psf import GaussianPSF

COMPONENTS = ("bulge", "disc1", "halo")
SIZE = 24
TRUTH = {
    "x0": 0.3,
    "y0": -0.2,
    "position_angle": 3.1,
    "inclination": 0.8,
    "log10_bulge_mass": 10.0,
    "log10_bulge_radius": -0.2,
    "bulge_slope": 1.1,
    "log10_disc1_mass": 10.5,
    "log10_disc1_radius": 0.4,
    "log10_halo_fraction": 1.6,
    "halo_concentration": 9.0,
    "ml_bulge": 4.0,
    "ml_disc1": 2.0,
    "k_disc1": 0.8,
}
WIDTHS = {"position_angle": 0.08, "halo_concentration": 0.8, "bulge_slope": 0.1, "inclination": 0.02}
NOTE = "The survey flags this galaxy as <CRITICAL> & odd."


@pytest.fixture(scope="session")
def model() -> GalaxyModel:
    return GalaxyModel(COMPONENTS, Canvas(SIZE, 1.0), "point")


@pytest.fixture(scope="session")
def parameters():
    return default_parameters(COMPONENTS)


@pytest.fixture(scope="session")
def predicted(model) -> Maps:
    psf = GaussianPSF(1.5), GaussianPSF(2.5)
    maps = jax.jit(model)(TRUTH, make_scene(model.canvas, 0.03, *psf)).maps
    return Maps(*(np.asarray(m, dtype=np.float64) for m in maps))


@pytest.fixture(scope="session")
def observation(predicted) -> Observation:
    """Kinematics in blocks of 2x2 pixels; no mass-to-light ratio."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE]
    inside = np.hypot(x - 11.5, y - 11.5) < 9
    blocks = (y // 2) * (SIZE // 2) + x // 2
    full = np.array([inside[blocks == b].all() for b in range(blocks.max() + 1)])[blocks]
    good = Maps(inside, full, full, np.zeros_like(inside))
    errors = Maps(*(np.full((SIZE, SIZE), e) for e in (0.02, 4.0, 6.0, 1.0)))
    values = []
    for name, value, error in zip(MAP_NAMES, predicted, errors, strict=True):
        noise = error * rng.normal(size=value.shape)
        if name in ("velocity", "dispersion"):
            value, noise = _blockwise(value), noise[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
        values.append(value + noise)
    return Observation(
        name="<b>tiny</b> & galaxy",
        redshift=0.03,
        pixel_scale=1.0,
        psf_photometry=GaussianPSF(1.5),
        psf_kinematics=GaussianPSF(2.5),
        values=Maps(*values),
        errors=errors,
        good=good,
        bins=np.where(full, blocks, -1),
        origin=(11.5, 11.5),
        sky=(150.25, 2.5),
        notes=(NOTE,),
        truth=TRUTH,
    )


@pytest.fixture(scope="session")
def posterior(parameters, observation, predicted) -> Posterior:
    """Nested-sampling-like: 4000 samples of a wider Gaussian, weighted back to one around the truth."""
    rng = np.random.default_rng(2)
    truth = parameters.flatten(TRUTH)
    widths = np.array([WIDTHS.get(name, 0.03) for name in parameters.names])
    z = 1.2 * rng.normal(size=(4000, parameters.ndim))
    log_weights = -0.5 * np.sum(z**2, axis=1) * (1 - 1 / 1.2**2)
    samples = truth + widths * z
    turning = parameters.names.index("position_angle")
    samples[:, turning] = (samples[:, turning] + np.pi) % (2 * np.pi) - np.pi
    binned = Maps(
        *(
            np.where(good, _blockwise(m) if name in ("velocity", "dispersion") else m, np.nan)
            for name, good, m in zip(MAP_NAMES, observation.good, predicted, strict=True)
        )
    )
    return Posterior(
        parameters=parameters,
        samples=samples,
        log_weights=log_weights - np.logaddexp.reduce(log_weights),
        log_likelihood=1000 - 0.5 * np.sum(z**2, axis=1),
        n_likelihood_calls=123_456,
        wall_seconds=61.5,
        sampler="nested",
        sampler_settings={"nlive": 200, "walk": "random", "bound": None, "batched": True, "tolerance": 0.1},
        likelihood={"kind": "gaussian", "weights": {"brightness": 1.0, "velocity": 0.5}, "correlation": 0.0},
        seed=7,
        converged=True,
        reduced_chi2={"brightness": 1.03, "velocity": 0.98, "dispersion": 1.01},
        best=truth,
        maps=predicted,
        binned_maps=binned,
        data_fingerprint=observation.fingerprint(),
        version="0.1.0",
        log_evidence=951.25,
        log_evidence_error=0.3,
        information=23.4,
        warnings=("Something <b>odd</b> & worth reading.", NOTE),
        truth=TRUTH,
        timings={"first answer": 3.25, "sampling": 55.0},
        galaxy=observation.name,
        log_volume=-np.linspace(0, 30, 4000),
    )


def _blockwise(image: np.ndarray) -> np.ndarray:
    blocks = image.reshape(SIZE // 2, 2, SIZE // 2, 2).mean(axis=(1, 3))
    return blocks.repeat(2, axis=0).repeat(2, axis=1)
