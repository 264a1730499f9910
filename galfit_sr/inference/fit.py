"""The one way through: an observation in, a posterior out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from ..emulation.emulator import Emulator
from ..emulation.registry import find_emulator
from ..errors import InputError
from ..maps import MAP_NAMES, Maps, Observation
from ..model.galaxy import GalaxyModel
from ..model.grid import Canvas
from ..parameters import COMPONENT_NAMES, Parameters, components_of, default_parameters
from ..priors import Prior
from ..seeds import check_seed
from .checkpoint import CHECKPOINT, load_modes, save_modes
from .diagnosis import diagnose, outside_training, unfit
from .likelihood import LikelihoodSettings
from .maximum import Mode, find_modes
from .nested import Nested, NestedRun, run_nested
from .pilot import broaden
from .problem import Problem, batch_log_prior, batch_parameters, in_chunks, make_problem, on_canvas, predict
from .results import Posterior

Progress = Callable[[str, float | None, str], None]
SYSTEMIC_VELOCITY = dist.Uniform(-100.0, 100.0, validate_args=False)
"""Prior of the systemic velocity [km/s] of real data: a survey's redshift is off by up to 20 km/s."""


@dataclasses.dataclass(frozen=True, eq=False)
class FirstAnswer:
    """Maximum a posteriori with Laplace's errors: an answer in seconds, before any sampling.

    Attributes:
        problem: what was fitted.
        modes: of the posterior, the best first.
        values: (ndim,) float64, parameters of the best mode.
        errors: (ndim,) float64, standard deviations by Laplace's approximation.
        reduced_chi2: per available map.
        maps, binned_maps: the model, see `Posterior`.
        warnings: sentences; says early if the model does not describe the data.
        calls: evaluations of the likelihood.
        seconds: that it took, compilation included.
    """

    problem: Problem
    modes: tuple[Mode, ...]
    values: np.ndarray
    errors: np.ndarray
    reduced_chi2: Mapping[str, float]
    maps: Maps
    binned_maps: Maps
    warnings: tuple[str, ...]
    calls: int
    seconds: float

    def best_values(self) -> dict[str, float]:
        """Name -> value of every parameter of the model, fixed and tied ones included."""
        complete = self.problem.target.prior.parameters.complete(jnp.asarray(self.values))
        return {name: float(value) for name, value in complete.items()}


def parameters_for(
    observation: Observation, components: tuple[str, ...] = ("bulge", "disc1", "disc2", "halo")
) -> Parameters:
    """The default parameters of a model, and with them a free systemic velocity unless the observation is a mock."""
    parameters = default_parameters(components)
    if observation.truth:
        return parameters.replace("systemic_velocity", value=float(observation.truth.get("systemic_velocity", 0.0)))
    return parameters.replace("systemic_velocity", prior=SYSTEMIC_VELOCITY)


def pose(
    observation: Observation,
    *,
    parameters: Parameters | None = None,
    model: GalaxyModel | None = None,
    emulator: str | Emulator | None = None,
    likelihood: LikelihoodSettings | None = None,
) -> Problem:
    """The problem of fitting an observation; arguments as for `fit`, checked here.

    Raises:
        InputError: data, model and priors do not go together.
    """
    if not isinstance(observation, Observation):
        raise InputError(f"the observation is {observation!r}; one that `read` or `make_mock` gave is needed")
    stage = None if emulator is None else find_emulator(emulator)
    if stage is not None:
        if model is not None:
            raise InputError(f"emulator {stage.card.name} has a low-resolution model of its own; leave out the other")
        model = stage.card.recipe.low_model
    elif model is None:
        components = COMPONENT_NAMES if parameters is None else components_of(parameters)
        model = GalaxyModel(components, Canvas(observation.size, observation.pixel_scale))
    parameters = parameters or parameters_for(observation, model.components)
    missing = [p.name for p in default_parameters(model.components) if p.name not in parameters]
    if missing:
        raise InputError(f"a model of {', '.join(model.components)} needs the parameters {', '.join(missing)} as well")
    return make_problem(observation, Prior(parameters), stage or model, likelihood or LikelihoodSettings())


def first_answer(
    observation: Observation,
    *,
    parameters: Parameters | None = None,
    model: GalaxyModel | None = None,
    emulator: str | Emulator | None = None,
    likelihood: LikelihoodSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FirstAnswer:
    """Maximum a posteriori and Laplace covariance of a galaxy; arguments as for `fit`."""
    check_seed(seed)
    problem = pose(observation, parameters=parameters, model=model, emulator=emulator, likelihood=likelihood)
    return _answer(problem, seed, progress)


def fit(
    observation: Observation,
    *,
    sampler: Nested | None = None,
    parameters: Parameters | None = None,
    model: GalaxyModel | None = None,
    emulator: str | Emulator | None = None,
    likelihood: LikelihoodSettings | None = None,
    seed: int = 0,
    out: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    announce: Callable[[FirstAnswer], None] | None = None,
) -> Posterior:
    """Posterior of a galaxy's parameters.

    Args:
        observation: the data.
        sampler: settings; `Nested()` if not given.
        parameters: of the model with their priors; `parameters_for(observation)` if not given.
        model: full-resolution predictor; if not given, the components that `parameters` describes (bulge, two discs and
            halo), integrated over the data's pixels.
        emulator: for a super-resolved predictor instead: name of an installed one, a folder that `galfit-sr train`
            wrote, or an `Emulator`.
        likelihood: settings; Gaussian with equal weights if not given.
        seed: of every random number.
        out: existing folder for checkpoints; none are written if not given.
        resume: continue from the checkpoint in `out`.
        progress: called with a phrase, the share that is done (None if unknown) and a few words.
        announce: called with the first answer, before sampling.

    Raises:
        InputError: data, model, priors and settings do not go together.
    """
    began = time.monotonic()
    sampler = sampler or Nested()
    if not isinstance(sampler, Nested):
        raise InputError(f"the sampler is {sampler!r}; settings such as Nested(nlive=500) are needed")
    check_seed(seed)
    problem = pose(observation, parameters=parameters, model=model, emulator=emulator, likelihood=likelihood)
    stored = load_modes(out) if resume and out is not None else None
    if stored is None:
        answer = _answer(problem, seed, progress)
        problem, modes, calls = answer.problem, answer.modes, answer.calls
        if announce is not None:
            announce(answer)
        if sampler.start == "repartitioned":
            if progress is not None:
                progress("pilot chain", None, "")
            modes, more = broaden(problem, modes, seed, sampler.walkers, sampler.walks)
            calls += more
        if out is not None:
            save_modes(out, problem, modes, calls)
    else:
        problem, modes, calls = stored.applied(problem)
    answered = time.monotonic()
    checkpoint = None if out is None else out / CHECKPOINT
    limited = sampler
    if sampler.max_seconds is not None:
        limited = dataclasses.replace(sampler, max_seconds=max(sampler.max_seconds - (answered - began), 1e-3))
    run = run_nested(problem, modes, limited, seed, progress=progress, checkpoint=checkpoint, resume=resume)
    ended = time.monotonic()
    return _posterior(
        problem,
        run,
        sampler,
        seed,
        calls,
        {"first answer": answered - began, "nested sampling": ended - answered},
    )


def _answer(problem: Problem, seed: int, progress: Progress | None) -> FirstAnswer:
    began = time.monotonic()
    found = find_modes(problem, seed, progress=progress)
    target, shift = found.problem.target, found.problem.arrays.shift
    best = found.modes[0]
    z = jnp.asarray(best.z, shift.dtype)
    theta = target.parameters(z, shift)
    slopes = np.asarray(jax.jacfwd(target.parameters)(z, shift), dtype=np.float64)
    maps, binned, chi2 = _look(found.problem, np.asarray(theta, dtype=np.float64))
    return FirstAnswer(
        found.problem,
        found.modes,
        np.asarray(theta, dtype=np.float64),
        np.sqrt(np.diag(slopes @ best.covariance @ slopes.T)),
        chi2,
        maps,
        binned,
        tuple(unfit(chi2, problem.observation)),
        found.calls,
        time.monotonic() - began,
    )


def _look(problem: Problem, theta: np.ndarray) -> tuple[Maps, Maps, dict[str, float]]:
    """Model maps, the same as the data see them (NaN where there are none), and reduced chi^2 per available map."""
    arrays = problem.arrays
    prediction, seen, residuals = predict(problem.target, jnp.asarray(theta, arrays.shift.dtype), arrays)
    chi2 = {}
    for name, residual, inverse_error in zip(MAP_NAMES, residuals, arrays.data.inverse_errors, strict=True):
        used = np.asarray(inverse_error) > 0
        if np.any(used):
            chi2[name] = float(np.mean(np.asarray(residual, dtype=np.float64)[used] ** 2))
    maps = Maps(*(np.asarray(m, dtype=np.float64) for m in prediction.maps))
    return maps, on_canvas(seen, problem), chi2


def _posterior(
    problem: Problem, run: NestedRun, sampler: Nested, seed: int, calls: int, timings: dict[str, float]
) -> Posterior:
    target, arrays, observation, card = problem.target, problem.arrays, problem.observation, problem.card
    shift = arrays.shift
    samples = in_chunks(lambda rows: batch_parameters(target, rows, shift), run.z, shift.dtype)
    density = run.log_likelihood + in_chunks(lambda rows: batch_log_prior(target, rows), samples, shift.dtype)
    best = samples[np.argmax(density)]
    maps, binned, chi2 = _look(problem, best)
    settings: dict[str, Any] = {**dataclasses.asdict(sampler), "acceptance": run.acceptance}
    posterior = Posterior(
        parameters=target.prior.parameters,
        samples=samples,
        log_weights=run.log_weights,
        log_likelihood=run.log_likelihood,
        n_likelihood_calls=calls + run.calls,
        wall_seconds=sum(timings.values()),
        sampler="nested",
        sampler_settings=settings,
        seed=seed,
        converged=run.converged,
        reduced_chi2=chi2,
        best=best,
        maps=maps,
        binned_maps=binned,
        data_fingerprint=observation.fingerprint(),
        version=version("galfit-sr"),
        log_evidence=run.log_evidence,
        log_evidence_error=run.log_evidence_error,
        information=run.information,
        truth=dict(observation.truth),
        timings=timings,
        galaxy=observation.name,
        log_volume=run.log_volume,
        emulator=None if card is None else card.name,
    )
    beyond = () if card is None else outside_training(posterior, card, arrays.scene.low)
    return dataclasses.replace(posterior, warnings=(*beyond, *diagnose(posterior, observation)))
