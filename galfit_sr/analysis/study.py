"""What an emulator costs and what its correction mends, on a set of mock galaxies: the study behind docs/exact.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..emulation.emulator import Emulator
from ..emulation.registry import find_emulator
from ..errors import InputError, unknown_name
from ..files import write_text
from ..inference.fit import fit, parameters_for
from ..inference.nested import Nested
from ..inference.results import Posterior
from ..maps import Observation
from ..model.galaxy import GalaxyModel
from ..observations.mock import MOCK_THICKNESS, MOCK_TRUTH, make_mock
from ..parameters import COMPONENT_NAMES, bounds, default_parameters
from ..progress import Progress
from .compare import compare
from .kept_folder import claim
from .rendering import json_text, plain


class Mock(NamedTuple):
    """A galaxy of the study.

    Attributes:
        changes: values that differ from `MOCK_TRUTH`.
        noise: in units of a survey's.
    """

    changes: Mapping[str, float]
    noise: float = 1.0


GALAXIES: Mapping[str, Mock] = {
    "typical": Mock({}),
    "bulge-dominated": Mock({"log10_bulge_mass": 10.9, "log10_disc1_mass": 10.0, "log10_disc2_mass": 10.1}),
    "disc-dominated": Mock({"log10_bulge_mass": 9.3, "log10_disc1_mass": 10.3, "log10_disc2_mass": 10.8}),
    "compact": Mock({"log10_bulge_radius": -0.6, "log10_disc1_radius": -0.1, "log10_disc2_radius": 0.3}),
    "nearly face-on": Mock({"inclination": 0.25}),
    "inclined": Mock({"inclination": 1.0}),
    "low signal": Mock({}, noise=3.0),
    "high signal": Mock({}, noise=0.5),
    "edge-on": Mock({"inclination": 1.4835}),
}
MEAN, WIDTH = 0.1, 0.05
"""A posterior counts as that of the full resolution if every mean agrees to so many standard deviations and every width
to this share, beyond three Monte Carlo errors."""
_ERRORS = 3.0
_MARK = "study.json"


def mock(name: str, components: tuple[str, ...] = COMPONENT_NAMES) -> Observation:
    """One of `GALAXIES`, the same every time; `components` say whether its discs are thick."""
    changes, noise = GALAXIES[name]
    values = {**MOCK_TRUTH, **MOCK_THICKNESS, **changes}
    seed = 100 + list(GALAXIES).index(name)
    return make_mock(values, model=GalaxyModel(components), noise=noise, seed=seed, name=name)


def study(
    folder: Path,
    emulators: Sequence[str | Emulator],
    *,
    galaxies: Sequence[str] | None = None,
    sampler: Nested | None = None,
    seed: int = 1,
    corrected: bool = True,
    progress: Progress,
) -> dict[str, Any]:
    """Fits every galaxy at full resolution and with each emulator, without and with the correction, and compares.

    Posteriors are kept in the folder, and a study that was stopped goes on with those that are missing.

    Args:
        folder: for the posteriors and study.json, made if missing.
        emulators: names of installed ones, folders that `galfit-sr train` wrote, or emulators themselves. The galaxies
            have the discs, thin or thick, that these are for.
        galaxies: which of `GALAXIES`; if not given, all that are inclined as the prior for such discs allows.
            Nothing of others is returned, whatever the folder holds.
        sampler: settings of all fits.
        seed: of all fits.
        corrected: whether what emulators give is corrected too.
        progress: called with a phrase, the share that is done (None if unknown) and a few words.

    Returns:
        the content of study.json: `galaxies`, name -> `reference` and `runs`, predictor -> cost, `shifts` and
        `width_ratios` (parameter -> value and Monte Carlo error), which are `outside` of `MEAN` and `WIDTH`, difference
        in log evidence, and the record of the correction.

    Raises:
        InputError: there is no emulator, one is unknown, two have one name or are for different discs, a galaxy is
            unknown or inclined more than their prior allows, the folder holds something else, or it cannot be written.
    """
    named, components = _named(emulators)
    known = _within_prior(components)
    galaxies = known if galaxies is None else galaxies
    for name in galaxies:
        if name not in known:
            raise InputError(unknown_name(name, known, "galaxy of the study"))
    sampler = sampler or Nested()
    settings = {"components": list(components), "sampler": dataclasses.asdict(sampler), "seed": seed}
    claim(folder, _MARK, settings, "study")
    found: dict[str, Any] = {**settings, "galaxies": {}}
    for name in galaxies:
        home, observation = folder / name.replace(" ", "_"), mock(name, components)
        again = partial(
            _kept,
            home,
            observation=observation,
            parameters=parameters_for(observation, components),
            sampler=sampler,
            seed=seed,
            progress=progress,
        )
        reference = again("full resolution")
        rows = {}
        for label, emulator in named.items():
            checkpoints = home / label
            checkpoints.mkdir(parents=True, exist_ok=True)
            fits = [again(label, emulator=emulator, out=checkpoints)]
            seconds = [fits[0].wall_seconds]
            if corrected:
                # Goes on from the checkpoints of the plain run, whose samples it corrects.
                fits.append(again(f"{label}, corrected", emulator=emulator, exact=True, out=checkpoints, resume=True))
                exact = sum(spent for part, spent in fits[1].timings.items() if part.startswith("exact"))
                seconds.append(seconds[0] + exact)
            compared = compare(reference, *fits).summary()
            for (predictor, contrast), spent in zip(compared["contrasts"].items(), seconds, strict=True):
                rows[predictor] = _row(compared["runs"][predictor], contrast, spent)
        own = {key: getattr(reference, key) for key in ("log_evidence", "log_evidence_error", "n_likelihood_calls")}
        own |= {"seconds": reference.wall_seconds, "effective_samples": reference.effective_sample_size}
        found["galaxies"][name] = {"reference": own, "runs": rows}
        write_text(folder / _MARK, json_text(found))
    return dict(plain(found))


def _named(emulators: Sequence[str | Emulator]) -> tuple[dict[str, Emulator], tuple[str, ...]]:
    """The emulators by the names on their cards, and the components of the galaxies that all of them are for."""
    named: dict[str, Emulator] = {}
    for given in emulators:
        emulator = find_emulator(given)
        name = emulator.card.name
        if name in named:
            raise InputError(f"two emulators of the study are called {name!r}; leave one of them out")
        named[name] = emulator
    models = {name: emulator.card.recipe.components for name, emulator in named.items()}
    if not models:
        raise InputError("a study needs an emulator at least")
    (first, components), *others = models.items()
    for name, parts in others:
        if parts != components:
            raise InputError(
                f"{first} is for galaxies of {', '.join(components)} and {name} for those of {', '.join(parts)}; a"
                " study is of one model"
            )
    return named, components


def _within_prior(components: tuple[str, ...]) -> list[str]:
    """The names of `GALAXIES` but those that are inclined more than galaxies of a model."""
    prior = default_parameters(components)["inclination"].prior
    assert prior is not None, "free by default"
    _, most = bounds(prior)
    return [name for name, galaxy in GALAXIES.items() if {**MOCK_TRUTH, **galaxy.changes}["inclination"] <= most]


def _kept(folder: Path, label: str, *, observation: Observation, progress: Progress, **how: Any) -> Posterior:
    """The posterior that the folder holds under this label, fitted if it holds none; arguments as for `fit`."""
    file = folder / f"{label}.nc"
    if file.exists():
        return Posterior.load(file)
    progress(f"{folder.name}, {label}", None, "")
    posterior = fit(observation, progress=progress, **how)
    folder.mkdir(parents=True, exist_ok=True)
    posterior.save(file)
    return posterior


def _row(run: Mapping[str, Any], contrast: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What is kept of a comparison: departures of the free parameters, and which of them are too large."""
    free = {name: row for name, row in contrast["quantities"].items() if row["free"]}
    shifts, widths = (
        {name: [row[measure]["value"], row[measure]["error"]] for name, row in free.items()}
        for measure in ("shift", "width_ratio")
    )
    outside = [
        name
        for name in free
        if abs(shifts[name][0]) > MEAN + _ERRORS * shifts[name][1]
        or abs(widths[name][0] - 1) > WIDTH + _ERRORS * widths[name][1]
    ]
    return {
        "converged": run["converged"],
        "correction": run["correction"],
        "shifts": shifts,
        "width_ratios": widths,
        "outside": outside,
        "log_evidence_difference": contrast["log_evidence_difference"],
        "log_evidence_difference_error": contrast["log_evidence_difference_error"],
        "n_likelihood_calls": run["n_likelihood_calls"],
        "effective_samples": run["effective_sample_size"],
        "seconds": seconds,
    }
