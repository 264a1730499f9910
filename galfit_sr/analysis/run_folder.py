"""The folder of a run: what is written, who may write there, and how it is read back.

first_answer.json the maximum a posteriori with Laplace's errors, there before the sampling starts
run.json          which run this is (see `claim_folder`)
config.toml       everything needed to repeat it
posterior.nc      all samples (netCDF; `Posterior.load`, or ArviZ)
observation.fits  what was fitted
maps.fits         data, model, residual and error of every map, with world coordinates
profiles.ecsv     radial profiles with their 68 % bands
summary.json      the numbers
report.html       all of it for people, in one file
figures/*.png     the figures of the report, and that of the first answer
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..errors import InputError
from ..files import write_bytes, write_failure, write_text
from ..inference.answer import FirstAnswer
from ..inference.derived import derived_summary, parameter_summary
from ..inference.results import Posterior
from ..maps import Observation
from ..model.galaxy import GalaxyModel
from ..observations.files import read_observation, write_observation
from ..priors import Prior
from .display import key_columns, parameter_columns, prior_columns
from .map_figure import maps_figure
from .maps_file import maps_bytes
from .plots import corner_figure, marginals_figure, trace_figure
from .profiles import Profiles, from_ecsv, profile_bands, profiles_figure, to_ecsv
from .rendering import Figure, json_text, plain, png
from .report import report_html

FIRST_ANSWER = "first_answer.json"
RESULTS = (
    "config.toml",
    "posterior.nc",
    "observation.fits",
    "maps.fits",
    "profiles.ecsv",
    "summary.json",
    "report.html",
)
_DPI = {"corner": 80, "corner_key": 110}
_PRIOR_DRAWS = 20_000


class Run(NamedTuple):
    """What a run folder holds.

    Attributes:
        posterior, observation, profiles: as they were written.
        config_toml, command: what repeats the run, None if unknown.
    """

    posterior: Posterior
    observation: Observation
    profiles: Profiles
    config_toml: str | None
    command: str | None


def run_fingerprint(config_toml: str | None, data_fingerprint: str) -> str:
    """Hexadecimal digest that is equal for equal configurations of equal data (`Observation.fingerprint`)."""
    return hashlib.sha256(f"{config_toml or ''}\n{data_fingerprint}".encode()).hexdigest()


def claim_folder(
    folder: str | Path,
    fingerprint: str,
    resume: bool,
    *,
    overwrite: bool = False,
    galaxy: str = "",
    config_toml: str | None = None,
    command: str | None = None,
) -> None:
    """Make `folder` that of a run, or see that it already is.

    An empty or missing folder is claimed. One that holds the same run is left as it is, with the command that began it.

    Args:
        folder: made if missing.
        fingerprint: of the run, see `run_fingerprint`.
        resume: whether the run is to go on from what is there.
        overwrite: give up what a run has left there.
        galaxy: name to tell people what the folder holds.
        config_toml: of the run, to tell people in what another one differs.
        command: the command line that begins the run, for those who repeat it.

    Raises:
        InputError: the folder holds another run, or files that are no run's, or cannot be written.
    """
    folder = Path(folder)
    mark = folder / "run.json"
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; a folder for the run is needed")
        if mark.is_file():
            held = _read_mark(mark)
            if held["fingerprint"] == fingerprint and not overwrite:
                return
            if not overwrite:
                what = f" (of {held['galaxy']})" if held.get("galaxy") else ""
                hint = "resume it with its own settings and data, choose" if resume else "choose"
                raise InputError(
                    f"{folder} holds another run{what}, with other {_differences(folder, config_toml)}; {hint} another"
                    " folder, or replace it with --overwrite"
                )
            for name in (FIRST_ANSWER, *RESULTS, *(p.name for p in folder.glob("checkpoint*") if p.is_file())):
                (folder / name).unlink(missing_ok=True)
            for figure in (folder / "figures").glob("*.png"):
                figure.unlink()
        elif folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} holds files that are not a galfit_sr run; an empty or new folder is needed")
    except OSError as error:
        raise InputError(write_failure(folder, error)) from error
    write_text(mark, json_text({"fingerprint": fingerprint, "galaxy": galaxy, "command": command}))


def write_run(
    folder: str | Path,
    posterior: Posterior,
    observation: Observation,
    model: GalaxyModel,
    config_toml: str | None = None,
    command: str | None = None,
) -> None:
    """Write everything a run leaves behind; each file appears whole or not at all, the posterior first.

    Args:
        folder: claimed here if it is not yet.
        posterior, observation: of the fit.
        model: the full-resolution model, for the profiles.
        config_toml: the complete configuration.
        command: the command line that repeats the run, if the folder was not claimed with one.

    Raises:
        InputError: the folder holds another run, or cannot be written (disk full, permissions).
    """
    folder = Path(folder)
    fingerprint = run_fingerprint(config_toml, posterior.data_fingerprint)
    claim_folder(folder, fingerprint, resume=True, galaxy=observation.name, command=command)
    if config_toml is not None:
        write_text(folder / "config.toml", config_toml)
    posterior.save(folder / "posterior.nc")
    write_observation(folder / "observation.fits", observation)
    write_bytes(folder / "maps.fits", maps_bytes(observation, posterior))
    profiles = profile_bands(posterior, model, observation.redshift, seed=posterior.seed)
    write_text(folder / "profiles.ecsv", to_ecsv(profiles))
    write_text(folder / "summary.json", json_text(summary(posterior, observation)))
    begun_by = _read_mark(folder / "run.json").get("command")
    write_report(folder, Run(posterior, observation, profiles, config_toml, begun_by))


def write_first_answer(folder: str | Path, answer: FirstAnswer, observation: Observation) -> None:
    """Writes first_answer.json and figures/first_answer.png into a claimed folder.

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    parameters = answer.problem.target.prior.parameters
    content = {
        "parameters": {
            p.name: {"value": value, "error": error, "unit": p.unit}
            for p, value, error in zip(parameters.free, answer.values, answer.errors, strict=True)
        },
        "modes": len(answer.modes),
        "reduced_chi2": answer.reduced_chi2,
        "warnings": answer.warnings,
        "seconds": answer.seconds,
    }
    write_text(folder / FIRST_ANSWER, json_text(content))
    write_bytes(folder / "figures" / "first_answer.png", png(maps_figure(observation, answer), 130))


def write_report(folder: str | Path, run: Run) -> Path:
    """Draw the figures and write report.html and figures/*.png; returns the path of the report.

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    images = {name: png(figure, _DPI.get(name, 130)) for name, figure in figures(run).items()}
    for name, image in images.items():
        write_bytes(folder / "figures" / f"{name}.png", image)
    page = report_html(run.posterior, run.observation, images, config_toml=run.config_toml, command=run.command)
    write_text(folder / "report.html", page)
    return folder / "report.html"


def read_run(folder: str | Path) -> Run:
    """What `write_run` wrote.

    Raises:
        InputError: something is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise InputError(f"{folder} is not the folder of a run: it has no run.json")
    missing = [n for n in ("posterior.nc", "observation.fits", "profiles.ecsv") if not (folder / n).is_file()]
    if missing:
        raise InputError(f"the run in {folder} is not finished: {', '.join(missing)} missing")
    config = folder / "config.toml"
    return Run(
        Posterior.load(folder / "posterior.nc"),
        read_observation(folder / "observation.fits"),
        from_ecsv((folder / "profiles.ecsv").read_text(encoding="utf-8")),
        config.read_text(encoding="utf-8") if config.is_file() else None,
        _read_mark(folder / "run.json").get("command"),
    )


def summary(posterior: Posterior, observation: Observation) -> dict[str, Any]:
    """The content of summary.json: plain JSON, numbers that do not exist are null.

    Angles in `parameters` are those of the model (rad), in `derived` those of people (degree, north through east).
    """
    content = {
        "object": posterior.galaxy or observation.name,
        "parameters": parameter_summary(posterior),
        "derived": derived_summary(posterior),
        "log_evidence": posterior.log_evidence,
        "log_evidence_error": posterior.log_evidence_error,
        "information": posterior.information,
        "n_likelihood_calls": posterior.n_likelihood_calls,
        "effective_sample_size": posterior.effective_sample_size,
        "wall_seconds": posterior.wall_seconds,
        "timings": posterior.timings,
        "sampler": posterior.sampler,
        "sampler_settings": posterior.sampler_settings,
        "emulator": posterior.emulator,
        "correction": posterior.correction,
        "seed": posterior.seed,
        "reduced_chi2": posterior.reduced_chi2,
        "converged": posterior.converged,
        "warnings": posterior.warnings,
        "best": dict(zip(posterior.parameters.names, posterior.best, strict=True)),
        "redshift": observation.redshift,
        "data_fingerprint": posterior.data_fingerprint,
        "version": posterior.version,
    }
    return plain(content)


def figures(run: Run) -> dict[str, Figure]:
    """Name -> figure of everything the report shows."""
    posterior = run.posterior
    columns = parameter_columns(posterior)
    key = jax.random.key(posterior.seed)
    prior = prior_columns(posterior, np.asarray(Prior(posterior.parameters).sample(key, _PRIOR_DRAWS)))
    drawn = {
        "maps": maps_figure(run.observation, posterior),
        "profiles": profiles_figure(run.profiles),
        "marginals": marginals_figure(posterior, columns, prior),
    }
    # One quantity has no pairs.
    key_quantities = key_columns(posterior)
    if len(key_quantities) > 1:
        drawn["corner_key"] = corner_figure(posterior, key_quantities, cell=1.7)
    if len(columns) > 1:
        drawn["corner"] = corner_figure(posterior, columns)
    trace = trace_figure(posterior)
    return drawn if trace is None else {**drawn, "trace": trace}


def _differences(folder: Path, config_toml: str | None) -> str:
    """In what the run in a folder differs, as far as its configuration tells; otherwise it is the data."""
    stored = folder / "config.toml"
    if config_toml is None or not stored.is_file():
        return "data or settings"
    try:
        held = _flat(tomllib.loads(stored.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return "data or settings"
    new = _flat(tomllib.loads(config_toml))
    different = sorted(key for key in held.keys() | new.keys() if held.get(key) != new.get(key))
    shown = ", ".join(different[:3]) + (f" and {len(different) - 3} more settings" if len(different) > 3 else "")
    return shown or "data"


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of a nested table."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def _read_mark(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as the mark of a run ({error})") from error
    return content
