"""Small mock galaxies, and the configuration of fits with few free parameters."""

from __future__ import annotations

import dataclasses

import pytest

import galfit_sr as gs
from galfit_sr.choices import Choice
from galfit_sr.config import FitConfig, ModelConfig
from galfit_sr.observations.mock import MOCK_TRUTH

COMPONENTS = ("bulge", "disc1", "halo")
FREE = ("position_angle", "inclination", "ml_disc1")
MODEL = gs.GalaxyModel(COMPONENTS, gs.Canvas(8, 5.0), "point")


@pytest.fixture(scope="session")
def config() -> FitConfig:
    fixed = {
        name: Choice(value=MOCK_TRUTH[name]) for name in gs.default_parameters(COMPONENTS).names if name not in FREE
    }
    return FitConfig(
        model=ModelConfig(components=COMPONENTS, fidelity="point"),
        parameters=fixed,
        orders=(),
        sampler=gs.Nested(nlive=40, walks=10),
        seed=3,
    )


@pytest.fixture(scope="session")
def mocks(tmp_path_factory):
    """A folder of four galaxies, and one file that is broken."""
    folder = tmp_path_factory.mktemp("mocks")
    for i in range(4):
        truth = {**MOCK_TRUTH, "inclination": 0.5 + 0.1 * i}
        observation = gs.make_mock(truth, model=MODEL, seed=i, fibres=0, name=f"mock {i}")
        gs.write_observation(folder / f"mock{i}.fits", dataclasses.replace(observation, sky=(150.0 + i, 2.0)))
    (folder / "broken.fits").write_bytes((folder / "mock0.fits").read_bytes()[:5000])
    return folder
