"""The result of every sampler: one type, whatever made it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..files import path_of, write_bytes
from ..maps import Maps, Observation
from ..parameters import Parameters
from ..shown import Shown
from . import arviz_io
from .derived import shown_summary
from .statistics import effective_sample_size, equal_weight_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior(Shown):
    """Weighted samples of the free parameters, and where they came from.

    Attributes:
        parameters: names, units, labels, priors; also what was fixed and tied.
        samples: (n, ndim) float64, in the order of `parameters.names` and the units of the model. Angles lie in the
            range of their prior.
        log_weights: (n,) float64, normalised: the weights sum to one.
        log_likelihood: (n,) float64, of each sample, in nats.
        n_likelihood_calls: evaluations of the likelihood, those of the first answer included.
        wall_seconds: of the whole fit, compilation included.
        sampler: its name.
        sampler_settings: what it was run with; numbers, texts, booleans, None, and lists and mappings of them.
        seed: of the random numbers.
        converged: False if a limit on time or calls ended the run, or a sampler's own test failed.
        reduced_chi2: per available map, at `best`, every bin counted once; about 1 for a model that fits.
        best: (ndim,) the sample of highest posterior density, in the units of the model.
        maps: the model at `best`, (n, n) float64 each, on every pixel.
        binned_maps: (n, n) float64 each, as the data see it: kinematics averaged in bins, NaN where there are no data.
        data_fingerprint: `Observation.fingerprint` of what was fitted.
        version: of galfit_sr.
        log_evidence, log_evidence_error: natural logarithm and its standard deviation; None for samplers without.
        information: Kullback-Leibler divergence from prior to posterior in nats, None where unknown.
        likelihood: its settings, the fields of `LikelihoodSettings` by name, the weights by map; empty where unknown.
        emulator: name of the network, None for the full-resolution model.
        correction: how the samples drawn with the emulator were made those of the full-resolution model (the fields of
            `correction.Correction`); None if they were not.
        warnings: sentences that a reader should see before the numbers.
        truth: name -> value where known (mocks), in the units of the model.
        timings: stage -> seconds, for instance {"compile": 9.1, "first answer": 3.2, "sampling": 80.0}.
        galaxy: its name.
        chains: how many chains of equal length follow each other in `samples` (Markov chains; 1 for nested sampling).
        log_volume: (n,) log of the prior volume above the likelihood of each sample, falling within each of the runs
            that follow each other, one for each mode; None where there is none.
        effective_samples: independent samples that those of Markov chains are worth in the worst parameter, in its bulk
            and tails; None where the weights tell.
    """

    parameters: Parameters
    samples: np.ndarray
    log_weights: np.ndarray
    log_likelihood: np.ndarray
    n_likelihood_calls: int
    wall_seconds: float
    sampler: str
    sampler_settings: Mapping[str, Any]
    seed: int
    converged: bool
    reduced_chi2: Mapping[str, float]
    best: np.ndarray
    maps: Maps
    binned_maps: Maps
    data_fingerprint: str
    version: str
    log_evidence: float | None = None
    log_evidence_error: float | None = None
    information: float | None = None
    likelihood: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    emulator: str | None = None
    correction: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    truth: Mapping[str, float] = dataclasses.field(default_factory=dict)
    timings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    galaxy: str = ""
    chains: int = 1
    log_volume: np.ndarray | None = None
    effective_samples: float | None = None

    def __post_init__(self) -> None:
        n, ndim = np.shape(self.samples)
        if ndim != self.parameters.ndim:
            raise InputError(f"samples have {ndim} columns; {self.parameters.ndim} free parameters are needed")
        for what in ("log_weights", "log_likelihood", "log_volume"):
            array = getattr(self, what)
            if array is not None and np.shape(array) != (n,):
                raise InputError(f"{what} has shape {np.shape(array)}; {(n,)} is needed, one per sample")
        total = np.logaddexp.reduce(self.log_weights)
        if not abs(total) < 1e-6:
            raise InputError(f"the weights of the samples sum to exp({total:.3g}); normalised weights (1) are needed")
        if n % self.chains:
            raise InputError(f"{n} samples cannot be {self.chains} chains; chains of equal length are needed")

    def __repr__(self) -> str:
        evidence = "" if self.log_evidence is None else f", log evidence {self.log_evidence:.2f}"
        state = "" if self.converged else ", not converged"
        return (
            f"<Posterior of {self.galaxy or 'a galaxy'}: {self.parameters.ndim} parameters, {len(self.samples)} samples"
            f" worth {self.effective_sample_size:.0f}{evidence}{state}>"
        )

    @property
    def weights(self) -> np.ndarray:
        """(n,) weights of the samples, summing to one."""
        return np.exp(self.log_weights)

    @property
    def effective_sample_size(self) -> float:
        """Independent samples of equal weight that the samples are worth: Kish's number, or that of the chains."""
        return effective_sample_size(self.weights) if self.effective_samples is None else self.effective_samples

    @property
    def is_emulated(self) -> bool:
        """Whether its likelihood is that of an emulator, not corrected to full resolution."""
        return self.emulator is not None and self.correction is None

    @property
    def predictor(self) -> str:
        """What gave the maps: `full resolution`, or an emulator's name, with `, corrected` if its posterior was."""
        if self.emulator is None:
            return "full resolution"
        return self.emulator if self.is_emulated else f"{self.emulator}, corrected"

    def columns(self) -> dict[str, np.ndarray]:
        """Name -> (n,) values of every parameter, in the units of the model, fixed and tied ones included."""
        return complete(self.parameters, self.samples)

    def best_values(self) -> dict[str, float]:
        """Name -> value of every parameter of the model at `best`, fixed and tied ones included."""
        return {name: float(column[0]) for name, column in complete(self.parameters, self.best[None]).items()}

    def equal_weight_samples(self, n: int, seed: int) -> np.ndarray:
        """(n, ndim) samples that all count the same, in the units of the model.

        They are drawn with replacement in proportion to the weights, see `statistics.equal_weight_rows`.

        Args:
            n: how many.
            seed: of the draws.
        """
        return self.samples[self.equal_weight_indices(n, seed)]

    def equal_weight_indices(self, n: int, seed: int) -> np.ndarray:
        """(n,) rows of `samples` that `equal_weight_samples` picks with the same `n` and `seed`."""
        return equal_weight_rows(self.weights, n, seed)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Free parameter -> mean, std, q05, q16, q50, q84, q95, unit, and truth where known: the rows of our tables.

        Angles are in degrees and have names of their own: `inclination_deg`, and `position_angle_deg` from north
        through east, of the receding side, from 0 to 360. The latter is described around its circular mean, so that
        q16 > q84 where the interval contains north, see `statistics.Statistics`. `samples` and `columns()` hold the
        parameters themselves, in the units of the model.
        """
        return shown_summary(self)

    def plot(self, observation: Observation | None = None) -> Figure:
        """Marginals of the key quantities, with the truth where known; or, with the data, the maps.

        Args:
            observation: what was fitted. Data, model at `best`, and residuals in standard deviations are then drawn,
                north up, east left.

        Raises:
            InputError: the posterior is of other data.
        """
        return self._draw() if observation is None else self._draw(observation)

    def check_data(self, observation: Observation) -> None:
        """Raises InputError if the posterior was not fitted to this `observation`."""
        if observation.fingerprint() != self.data_fingerprint:
            raise InputError(f"the observation ({observation.name}) is not what the posterior was fitted to")

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _draws(self) -> np.ndarray:
        """(chains, draws) rows of `samples` that count the same: all of them, or as many as the weights are worth."""
        if np.ptp(self.log_weights) < 1e-9:
            return np.arange(len(self.samples)).reshape(self.chains, -1)
        return self.equal_weight_indices(int(np.ceil(self.effective_sample_size)), self.seed)[None]

    def to_arviz(self) -> Any:
        """An `arviz.InferenceData` (ArviZ 0.x) or `xarray.DataTree` (ArviZ 1.x) with equally weighted draws."""
        return arviz_io.to_arviz(self._fields(), self._draws())

    def save(self, path: str | Path) -> None:
        """Write a netCDF file that ArviZ opens and `load` restores exactly.

        Args:
            path: of the file; one of that name is replaced.

        Raises:
            InputError: the file cannot be written, or a prior cannot be stored.
        """
        write_bytes(path_of("path", path), arviz_io.to_bytes(self._fields(), self._draws()))

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """The posterior that `save` wrote.

        Args:
            path: of the file.

        Raises:
            InputError: no such file, or not one that `save` wrote.
        """
        return cls(**arviz_io.read(path_of("path", path)))


def complete(parameters: Parameters, samples: np.ndarray) -> dict[str, np.ndarray]:
    """All values by name from rows of free ones, (n, ndim) -> name -> (n,), in float64 (NumPy's `complete`)."""
    columns = dict(zip(parameters.names, samples.T, strict=True))
    values = {}
    for p in parameters:
        root = p if p.tied is None else parameters[p.tied]
        values[p.name] = columns[root.name] if root.is_free else np.full(len(samples), root.value)
    return values
