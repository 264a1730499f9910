"""The one way through: an observation in, a posterior out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist

from ..devices import full_precision
from ..emulation.card import Card
from ..emulation.emulator import Emulator
from ..emulation.registry import find_emulator
from ..errors import InputError
from ..files import path_of
from ..maps import Observation
from ..model.galaxy import GalaxyModel
from ..model.grid import Canvas
from ..parameters import COMPONENT_NAMES, Parameters, components_of, default_parameters
from ..priors import Prior
from ..progress import Progress
from ..seeds import checked_seed, part_seed
from .answer import FirstAnswer, find_answer, look
from .checkpoint import Checkpoints
from .correction import Correction, reweigh, sampled_on
from .diagnosis import diagnose, outside_training
from .likelihood import LikelihoodSettings
from .limits import remaining
from .nested import Nested
from .preview import previewed
from .problem import Problem, in_chunks, make_problem
from .results import Posterior
from .samplers import Sampler, check_sampler, sampler_name
from .stage import Preview, Stage, sample

SYSTEMIC_VELOCITY = dist.Uniform(-100.0, 100.0, validate_args=False)
"""Prior of the systemic velocity [km/s] of real data: a survey's redshift is off by up to 20 km/s."""


def parameters_for(
    observation: Observation, components: tuple[str, ...] = ("bulge", "disc1", "disc2", "halo")
) -> Parameters:
    """The default parameters of a model, and with them a free systemic velocity unless the observation is a mock.

    Args:
        observation: the data.
        components: any subset of bulge, disc1, disc2 and halo, at least one of them luminous; thick_disc1 and
            thick_disc2 in place of disc1 and disc2 for discs with a thickness.

    Raises:
        InputError: an unknown component, one twice, or no luminous one.
    """
    parameters = default_parameters(components)
    if observation.truth:
        return parameters.replace("systemic_velocity", value=float(observation.truth.get("systemic_velocity", 0.0)))
    return parameters.replace("systemic_velocity", prior=SYSTEMIC_VELOCITY)


def pose(
    observation: Observation,
    *,
    parameters: Parameters | None = None,
    model: GalaxyModel | None = None,
    emulator: str | Path | Emulator | None = None,
    likelihood: LikelihoodSettings | None = None,
) -> Problem:
    """The problem of fitting an observation; arguments as for `fit`, checked here.

    Raises:
        InputError: data, model and priors do not go together.
    """
    if not isinstance(observation, Observation):
        raise InputError(f"the observation is {observation!r}; one that `read` or `make_mock` gave is needed")
    if parameters is not None and not isinstance(parameters, Parameters):
        raise InputError(f"the parameters are {parameters!r}; such as `parameters_for` gives are needed")
    if model is not None and not isinstance(model, GalaxyModel):
        raise InputError(f"the model is {model!r}; one such as GalaxyModel(canvas=Canvas(80, 0.5)) is needed")
    stage = None if emulator is None else find_emulator(emulator)
    if stage is not None:
        if model is not None:
            raise InputError(f"emulator {stage.card.name} has a low-resolution model of its own; leave out the other")
        model = stage.card.recipe.low_model
    elif model is None:
        components = COMPONENT_NAMES if parameters is None else components_of(parameters)
        model = GalaxyModel(components, Canvas(observation.size, observation.pixel_scale))
    parameters = parameters or parameters_for(observation, model.components)
    if set(components_of(parameters)) != set(model.components):
        raise InputError(
            f"the parameters describe {', '.join(components_of(parameters))}, but"
            f" {'the model' if stage is None else f'emulator {stage.card.name}'} is made for"
            f" {', '.join(model.components)}; give parameters of these components"
        )
    missing = [p.name for p in default_parameters(model.components) if p.name not in parameters]
    if missing:
        raise InputError(f"a model of {', '.join(model.components)} needs the parameters {', '.join(missing)} as well")
    return make_problem(observation, Prior(parameters), stage or model, likelihood or LikelihoodSettings())


def first_answer(
    observation: Observation,
    *,
    parameters: Parameters | None = None,
    model: GalaxyModel | None = None,
    emulator: str | Path | Emulator | None = None,
    likelihood: LikelihoodSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FirstAnswer:
    """Maximum a posteriori and Laplace covariance of a galaxy; arguments as for `fit`."""
    seed = checked_seed(seed)
    problem = pose(observation, parameters=parameters, model=model, emulator=emulator, likelihood=likelihood)
    with full_precision():
        return find_answer(problem, seed, progress)


def check_exact(exact: bool, emulator: object) -> None:
    """Raises InputError where there is no emulator whose posterior could be made exact."""
    if exact and emulator is None:
        raise InputError("an exact fit corrects one with an emulator; name the emulator, or leave out `exact`")


def fit(
    observation: Observation,
    *,
    sampler: Sampler | None = None,
    parameters: Parameters | None = None,
    model: GalaxyModel | None = None,
    emulator: str | Path | Emulator | None = None,
    exact: bool = False,
    likelihood: LikelihoodSettings | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    announce: Callable[[FirstAnswer], None] | None = None,
) -> Posterior:
    """Posterior of a galaxy's parameters. Call `start_jax` first: on a CPU, all cores work on it then.

    Args:
        observation: the data.
        sampler: settings, `Nested(...)`, `Nuts(...)` or `Nss(...)`; `Nested()` if not given.
        parameters: of the model with their priors; `parameters_for(observation)` if not given.
        model: full-resolution predictor; if not given, the components that `parameters` describes (bulge, two discs and
            halo), integrated over the data's pixels.
        emulator: for a super-resolved predictor instead: name of an installed one, a folder that `galfit-sr train`
            wrote, or an `Emulator`.
        exact: correct what was found with the emulator to the posterior and evidence of the full-resolution model:
            its samples are weighed with the exact likelihood, and where the weights cannot be believed, the exact
            likelihood is sampled from there on; at once where the first answer already says so. See
            `correction.Correction`.
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
    check_sampler(sampler)
    seed = checked_seed(seed)
    out = None if out is None else path_of("out", out)
    check_exact(exact, emulator)
    posed = partial(pose, observation, likelihood=likelihood)
    problem = posed(parameters=parameters, model=None if exact else model, emulator=emulator)
    # The emulator says whether discs are thick where nothing else does.
    truth = posed(parameters=problem.target.prior.parameters, model=model) if exact else None

    def run(problem: Problem, name: str, seed: int, **more: Any) -> Stage:
        return sample(
            problem,
            remaining(sampler, time.monotonic() - began),
            seed,
            files=None if out is None else Checkpoints(out, name),
            resume=resume,
            progress=progress,
            **more,
        )

    # A density and the map that draws from it must be inverse to each other to the last bits.
    with full_precision():
        preview = None if truth is None else partial(_previewed, truth, seed)
        stage = run(problem, "", seed, announce=announce, preview=preview)
        correction = None
        if truth is not None:
            if progress is not None:
                progress("exact likelihoods", None, "")
            stage, correction = _corrected(stage, truth, seed, run)
        return _posterior(stage, sampler, seed, problem.card, correction)


def _previewed(truth: Problem, seed: int, answer: FirstAnswer) -> Preview:
    return previewed(truth.cut_by(answer.problem.arrays.shift), answer, seed)


def _corrected(emulated: Stage, truth: Problem, seed: int, run: Callable[..., Stage]) -> tuple[Stage, Correction]:
    """The stage of a run with an emulator, made that of the exact problem, and the record of it."""
    began = time.monotonic()
    # The same latent coordinates: the circle is cut where the run cut it.
    truth = truth.cut_by(emulated.problem.arrays.shift)
    weighed = reweigh(truth, emulated.sampled, seed)
    seconds = {**emulated.seconds, "exact likelihoods": time.monotonic() - began}
    correction = weighed.correction
    calls = emulated.calls + correction.exact_calls
    if correction.certified or not (emulated.sampled.converged or emulated.previewed):
        return Stage(truth, weighed.sampled, calls, seconds), correction
    exact = run(truth, "exact", part_seed(seed, 2), candidates=weighed.z)
    seconds |= {f"exact {part}": spent for part, spent in exact.seconds.items()}
    method = "replaced" if emulated.previewed else "re-partitioned"
    correction = sampled_on(correction, method, exact.sampled, exact.calls)
    return Stage(exact.problem, exact.sampled, calls + exact.calls, seconds), correction


def _posterior(
    stage: Stage, sampler: Sampler, seed: int, card: Card | None, correction: Correction | None
) -> Posterior:
    problem, run = stage.problem, stage.sampled
    target, arrays, observation = problem.target, problem.arrays, problem.observation
    shift = arrays.shift
    samples = in_chunks(lambda rows: target.parameters(rows, shift), run.z, shift.dtype)
    density = run.log_likelihood + in_chunks(target.prior.log_density, samples, shift.dtype)
    best = samples[np.argmax(density)]
    maps, binned, chi2 = look(problem, best)
    settings: dict[str, Any] = {**dataclasses.asdict(sampler), **run.diagnostics}
    posterior = Posterior(
        parameters=target.prior.parameters,
        samples=samples,
        log_weights=run.log_weights,
        log_likelihood=run.log_likelihood,
        n_likelihood_calls=stage.calls,
        wall_seconds=sum(stage.seconds.values()),
        sampler=sampler_name(sampler),
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
        timings=stage.seconds,
        galaxy=observation.name,
        chains=run.chains,
        log_volume=run.log_volume,
        effective_samples=run.effective,
        likelihood={
            **dataclasses.asdict(target.settings),
            "weights": target.settings.weights._asdict(),
            "correlation": target.settings.correlation_of(observation),
        },
        emulator=None if card is None else card.name,
        correction=None if correction is None else dataclasses.asdict(correction),
    )
    # Of an exact posterior it does not matter what the emulator was trained for.
    beyond = () if problem.card is None else outside_training(posterior, problem.card, arrays.scene.low)
    return dataclasses.replace(posterior, warnings=(*beyond, *diagnose(posterior, observation)))
