"""Simulation-based calibration of fits: are truths where posteriors say that they are?

Truths are drawn from the prior, observed, and fitted; their ranks in the posteriors are uniform if, and for all
practical purposes only if, model, likelihood and sampler are right (Cook, Gelman & Rubin 2006, J. Comput. Graph. Stat.
15, 675; Talts et al. 2018, arXiv:1804.06788).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..files import path_of, write_bytes, write_text
from ..inference.calibration import LEVELS, Judgement, judge
from ..inference.nested import Nested
from ..inference.ranks import rank_error
from ..inference.samplers import Sampler
from ..numeric import whole
from ..parameters import Parameters, default_parameters
from ..processes import in_processes
from ..progress import Progress
from .calibration_figure import calibration_figure
from .calibration_text import calibration_html, calibration_text
from .controls import CONTROLS
from .kept_folder import claim, read_json
from .rendering import Figure, json_text, plain, png
from .trials import Setup, trial

FEWEST = 2
"""Mocks from which scatter can be told."""
_SETTINGS = "settings.json"
_MOCKS = "mocks"


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truths of some mocks in their posteriors, and what they say of the fits.

    Attributes:
        setup: what was calibrated.
        trials: what is kept of each mock, see `trials.trial`.
        judgement: over the ranks.
    """

    setup: Setup
    trials: tuple[Mapping[str, Any], ...]
    judgement: Judgement

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the posteriors."""
        return self.judgement.passed

    @property
    def ranks(self) -> np.ndarray:
        """(mocks, ndim) share of each posterior below the truth, from 0 to 1."""
        return _ranks(self.setup, self.trials)

    def __str__(self) -> str:
        return calibration_text(self.summary())

    def _repr_html_(self) -> str:
        return calibration_html(self.summary())

    def summary(self) -> dict[str, Any]:
        """Everything but the single mocks and figures, in plain mappings, lists, numbers, texts and None.

        `passed`, `reasons` (sentences), `mocks`, `not_converged`, `settings`, `control` (a sentence, None without);
        `effective_samples`, `rank_error` (of finite samples), `seconds` and `likelihood_calls`, the median over mocks;
        `parameters`, name -> `offset`, `uniformity`, `scatter`, and `coverage`, level -> each with `value`, `error`,
        `p` and `corrected` (see `inference.calibration`); `pooled`, level -> the same of all parameters.
        """
        sizes = np.array([trial["effective_samples"] for trial in self.trials])
        return plain(
            {
                "passed": self.passed,
                "reasons": self.judgement.reasons,
                "mocks": len(self.trials),
                "not_converged": sum(not trial["converged"] for trial in self.trials),
                "settings": self.setup.identity(),
                "control": None if self.setup.control is None else CONTROLS[self.setup.control],
                "effective_samples": np.median(sizes),
                "rank_error": np.median(rank_error(self.ranks, sizes[:, None])),
                "seconds": np.median([trial["seconds"] for trial in self.trials]),
                "likelihood_calls": np.median([trial["likelihood_calls"] for trial in self.trials]),
                "parameters": {
                    row.name: {
                        "offset": row.offset,
                        "uniformity": row.uniformity._asdict(),
                        "scatter": row.scatter._asdict(),
                        "coverage": _by_level(row.coverage),
                    }
                    for row in self.judgement.rows
                },
                "pooled": _by_level(self.judgement.pooled),
            }
        )

    def plot(self) -> Figure:
        """Ranks of every parameter, as histogram and as distribution function less that of uniform ones."""
        return calibration_figure(self.setup.parameters.free, self.ranks, self.judgement)


def calibrate(
    mocks: int = 128,
    *,
    sampler: Sampler | None = None,
    emulator: str | None = None,
    canvas: int = 80,
    fidelity: str = "pixel",
    control: str | None = None,
    parameters: Parameters | None = None,
    seed: int = 1,
    workers: int = 1,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Calibrates fits: draws truths from the prior, makes mocks, fits them, ranks the truths.

    What is finished is kept in `out`: a calibration that was stopped goes on there, and one with more mocks begins with
    those that are there.

    Args:
        mocks: how many, at least 2.
        sampler: settings of the fits; `Nested()` if not given.
        emulator: of the fits, a name or folder; the full-resolution model if not given.
        canvas: pixels along a side, over 40 arcsec.
        fidelity: `pixel` or `point`, of the model that makes the data, and of fits without an emulator.
        control: `understated-errors`, `wrong-psf` or `biased-emulator`, with which the calibration should fail.
        parameters: with priors; the default ones if not given.
        seed: of every random number; mock i depends on it and on i only.
        workers: processes; with 1 this process does everything itself. See `processes.in_processes`.
        out: folder for the mocks (`mocks/*.json`) and the result (`calibration.json`, `.txt`, `.png`); nothing is
            written if not given.
        progress: called with a phrase, the share that is done and a few words.

    Raises:
        InputError: a value that is not allowed, an emulator that is not for this canvas, a folder that holds something
            else or a calibration with other settings, or a process that was killed.
    """
    mocks, workers = whole("mocks", mocks, FEWEST), whole("workers", workers, 1)
    out = None if out is None else path_of("out", out)
    setup = Setup(parameters or default_parameters(), sampler or Nested(), emulator, canvas, fidelity, control, seed)
    done = {} if out is None else _kept(out, setup, mocks)
    report = progress or (lambda phrase, share, words: None)
    report("mocks", len(done) / mocks, f"{len(done)} of {mocks} done")
    for found in _made(setup, [index for index in range(mocks) if index not in done], workers):
        done[found["index"]] = found
        if out is not None:
            write_text(_file(out, found["index"]), json_text(found))
        report("mocks", len(done) / mocks, f"{len(done)} of {mocks} done, the last in {found['seconds']:.0f} s")
    trials = tuple(done[index] for index in range(mocks))
    made = Calibration(setup, trials, judge(setup.parameters.names, _ranks(setup, trials)))
    if out is not None:
        write_text(out / "calibration.json", json_text({**made.summary(), "trials": trials}))
        write_text(out / "calibration.txt", f"{made}\n")
        write_bytes(out / "calibration.png", png(made.plot(), 110))
    return made


def _made(setup: Setup, indices: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
    """Trials of these indices, in the order in which they become ready."""
    one = partial(trial, setup)
    if workers == 1 or len(indices) < 2:
        return map(one, indices)
    settings = {name: getattr(jax.config, name) for name in ("jax_enable_x64", "jax_compilation_cache_dir")}
    return in_processes(one, indices, min(workers, len(indices)), settings)


def _kept(folder: Path, setup: Setup, mocks: int) -> dict[int, dict[str, Any]]:
    """Index -> trial of those that a folder holds, which is claimed for this setup."""
    claim(folder, _SETTINGS, setup.identity(), "calibration")
    files = {index: _file(folder, index) for index in range(mocks)}
    return {index: read_json(file) for index, file in files.items() if file.exists()}


def _file(folder: Path, index: int) -> Path:
    return folder / _MOCKS / f"{index:05d}.json"


def _ranks(setup: Setup, trials: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([[trial["ranks"][name] for name in setup.parameters.names] for trial in trials])


def _by_level(tests: Sequence[Any]) -> dict[str, Any]:
    return {f"{level:g}": test._asdict() for level, test in zip(LEVELS, tests, strict=True)}
