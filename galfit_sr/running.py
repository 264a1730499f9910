"""One fit as the command line runs it: from a configuration to a finished run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from .analysis.run_folder import claim_folder, read_run, run_fingerprint, write_first_answer, write_run
from .config import FitConfig, dumps
from .errors import InputError
from .files import write_text
from .inference.answer import FirstAnswer
from .inference.checkpoint import begun, clear
from .inference.fit import check_exact, fit, parameters_for, pose
from .inference.results import Posterior
from .maps import Observation
from .model.galaxy import GalaxyModel
from .model.grid import Canvas
from .observations import mock_galaxy_path, read
from .progress import Progress


def observe(config: FitConfig) -> Observation:
    """The data that a configuration names, with its point spread functions in place of the file's.

    Raises:
        InputError: they cannot be used.
    """
    section = config.observation
    observation = read(section.file or mock_galaxy_path(), region=section.region, masses=section.masses)
    return dataclasses.replace(
        observation,
        psf_photometry=section.psf_photometry or observation.psf_photometry,
        psf_kinematics=section.psf_kinematics or observation.psf_kinematics,
    )


def run_fit(
    config: FitConfig,
    folder: Path,
    *,
    resume: bool,
    overwrite: bool,
    command: str,
    progress: Progress,
    observation: Observation | None = None,
) -> tuple[Posterior, Observation]:
    """Fit and write everything into `folder`; nothing is written before all input has proved usable.

    A run that is finished is not done again: its posterior is what is returned.

    Args:
        config: what to fit, and how.
        folder: of the run.
        resume: go on from the checkpoint in it.
        overwrite: give up what a run left in it.
        command: that begins the run, for the report; one that goes on from it is not told there.
        progress: called with stage, fraction done (None if unknown) and a few words.
        observation: the data that the configuration names, if they are read already.

    Raises:
        InputError: data, configuration or folder cannot be used.
    """
    check_exact(config.exact, config.emulator)
    observation = observation or observe(config)
    components = config.components
    model = GalaxyModel(components, Canvas(observation.size, observation.pixel_scale), config.model.fidelity)
    common: dict[str, Any] = {
        "parameters": config.apply(parameters_for(observation, components)),
        "likelihood": config.likelihood,
    }
    posed = dict(common)
    if config.emulator is not None:
        pose(observation, emulator=config.emulator, **common)
        posed |= {"emulator": config.emulator, "exact": config.exact}
    if config.emulator is None or config.exact:
        pose(observation, model=model, **common)
        posed["model"] = model
    text = dumps(config.complete(common["parameters"]))
    claim_folder(
        folder,
        run_fingerprint(text, observation.fingerprint()),
        resume,
        overwrite=overwrite,
        galaxy=observation.name,
        config_toml=text,
        command=command,
    )
    finished = (folder / "summary.json").is_file()
    if finished:
        held = read_run(folder)
        if held.posterior.converged:
            return held.posterior, observation
    if (finished or begun(folder)) and not resume:
        raise InputError(
            f"{folder} holds this very run, not finished; continue it with --resume or start over with --overwrite"
        )
    write_text(folder / "config.toml", text)

    def announce(answer: FirstAnswer) -> None:
        write_first_answer(folder, answer, observation)
        for warning in answer.warnings:
            progress("first answer", 1.0, warning)

    posterior = fit(
        observation,
        sampler=config.sampler,
        **posed,
        seed=config.seed,
        out=folder,
        resume=resume,
        progress=progress,
        announce=announce,
    )
    progress("report", None, "")
    write_run(folder, posterior, observation, model, text)
    if posterior.converged:
        clear(folder)
    return posterior, observation
