"""The trials of a calibration: a truth from the prior, its mock, a fit, the ranks."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..emulation.emulator import Emulator
from ..emulation.registry import find_emulator
from ..errors import InputError, unknown_name
from ..inference.derived import parameter_summary
from ..inference.fit import fit
from ..inference.ranks import ranks
from ..inference.samplers import Sampler, check_sampler, sampler_name
from ..maps import TYPICAL_NOISE, Observation
from ..model.galaxy import GalaxyModel
from ..model.grid import FULL_RESOLUTION, Canvas
from ..numeric import check_whole
from ..observations.mock import make_mock
from ..parameters import Parameters, components_of
from ..priors import Prior
from ..seeds import LARGEST, checked_seed
from .controls import CONTROLS, as_emulator, biased, mistold


@dataclasses.dataclass(frozen=True)
class Setup:
    """What is calibrated: everything that decides what the trials of all indices are.

    Attributes:
        parameters: with the priors that truths are drawn from and fits assume.
        sampler: settings of the fits.
        emulator: of the fits, a name or folder; None for the full-resolution model.
        canvas: pixels along a side, over the 40 arcsec of the full-resolution canvas.
        fidelity: of the model that makes the data, and of the fits without an emulator.
        control: one of `CONTROLS`, or None for a pipeline that should be right.
        seed: of all random numbers.

    Raises:
        InputError: a value that is not allowed, an emulator that is not installed or gives maps of another size.
    """

    parameters: Parameters
    sampler: Sampler
    emulator: str | None
    canvas: int
    fidelity: str
    control: str | None
    seed: int

    def __post_init__(self) -> None:
        check_whole(self, canvas=2)
        object.__setattr__(self, "seed", checked_seed(self.seed))
        check_sampler(self.sampler)
        if self.control is not None and self.control not in CONTROLS:
            raise InputError(unknown_name(self.control, list(CONTROLS), "control"))
        model = self.model  # which refuses what it is not made for
        if self.emulator is not None:
            size = find_emulator(self.emulator).card.recipe.high.size
            if size != model.canvas.size:
                raise InputError(
                    f"emulator {self.emulator} gives maps of {size}x{size} pixels and the canvas has {self.canvas};"
                    f" a canvas of {size} is needed"
                )

    @property
    def model(self) -> GalaxyModel:
        """What makes the data."""
        side = FULL_RESOLUTION.size * FULL_RESOLUTION.pixel_scale
        return GalaxyModel(components_of(self.parameters), Canvas(self.canvas, side / self.canvas), self.fidelity)

    def identity(self) -> dict[str, Any]:
        """The same as texts and numbers that two processes write alike."""
        return {
            "version": version("galfit-sr"),
            "x64": jnp.result_type(float) == jnp.float64,
            "seed": self.seed,
            "canvas": self.canvas,
            "fidelity": self.fidelity,
            "sampler": {"kind": sampler_name(self.sampler), **dataclasses.asdict(self.sampler)},
            "emulator": self.emulator,
            "emulator_sha256": None if self.emulator is None else find_emulator(self.emulator).card.sha256,
            "control": self.control,
            "prior": repr(Prior(self.parameters)),
        }

    def predictor(self) -> dict[str, Any]:
        """What fits predict maps with, as arguments of `fit`."""
        emulator: Emulator | None = None if self.emulator is None else find_emulator(self.emulator)
        if self.control == "biased-emulator":
            emulator = biased(as_emulator(self.model) if emulator is None else emulator)
        return {"model": self.model} if emulator is None else {"emulator": emulator}


def observe(setup: Setup, index: int) -> tuple[Observation, np.random.Generator]:
    """The mock of an index, the same every time, and the random numbers that are left.

    The truth is a draw from the prior, and the noise has the same size for every galaxy (`TYPICAL_NOISE`): errors that
    follow the light would tell the fit of a truth what its likelihood does not count.

    Raises:
        InputError: the model is not finite at the truth. It is not drawn again, which would change the prior.
    """
    rng = np.random.default_rng((setup.seed, index))
    prior = Prior(setup.parameters)
    # In double precision, so that truths do not depend on JAX's setting.
    with jax.enable_x64(True):
        theta = prior.transform(jnp.asarray(rng.random(prior.ndim)))
        truth = {name: float(value) for name, value in setup.parameters.complete(theta).items()}
    name = f"mock {index}"
    return make_mock(truth, model=setup.model, seed=rng, errors=TYPICAL_NOISE, name=name), rng


def trial(setup: Setup, index: int) -> dict[str, Any]:
    """Fits the mock of an index and finds the ranks of its truth.

    Returns:
        what is kept of it: `index`, `fit_seed`, `truth`, `ranks`, `mean` and `std` (free parameter -> number),
        `effective_samples`, `converged`, `reduced_chi2`, `log_evidence`, `likelihood_calls`, `seconds`.
    """
    observation, rng = observe(setup, index)
    seed = int(rng.integers(LARGEST, endpoint=True))
    told = mistold(setup.control, observation)
    posterior = fit(told, sampler=setup.sampler, parameters=setup.parameters, seed=seed, **setup.predictor())
    summary = parameter_summary(posterior)
    names = setup.parameters.names
    return {
        "index": index,
        "fit_seed": seed,
        "truth": {name: observation.truth[name] for name in names},
        "ranks": dict(zip(names, ranks(posterior, rng).tolist(), strict=True)),
        "mean": {name: summary[name]["mean"] for name in names},
        "std": {name: summary[name]["std"] for name in names},
        "effective_samples": posterior.effective_sample_size,
        "converged": posterior.converged,
        "reduced_chi2": dict(posterior.reduced_chi2),
        "log_evidence": posterior.log_evidence,
        "likelihood_calls": posterior.n_likelihood_calls,
        "seconds": posterior.wall_seconds,
    }
