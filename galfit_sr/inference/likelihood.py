"""The likelihood of four maps: masks, bins, weights, Gaussian or Student-t errors; one program for every galaxy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import digamma, gammaln

from ..correlation import check_correlation, inflation
from ..errors import InputError, unknown_name
from ..maps import KINEMATIC, MAP_NAMES, Maps, Observation
from ..model.galaxy import Prediction
from ..numeric import number

KINDS = ("gaussian", "student-t")


@dataclasses.dataclass(frozen=True)
class LikelihoodSettings:
    """How residuals are judged.

    Attributes:
        kind: `gaussian`, or `student-t` for maps with outliers.
        degrees_of_freedom: of Student's t; 1 (Cauchy) forgives most, large values tend to the Gaussian.
        weights: one number per map, a factor on its log-likelihood; 0 leaves a map out. Names of some maps with their
            numbers do as well, `{"ml": 0}`; all others have 1.
        correlation: FWHM [arcsec] of the Gaussian that smoothed the noise, 0 for independent errors; None for what the
            observation says (`Observation.correlation`; for MaNGA's cubes it is not 0). Each map's
            log-likelihood is divided by the variance of its mean over that of independent data (`inflation`): it then
            counts as many data as are independent, and Gaussian errors are in effect larger by the root of it. Right
            for what depends on the whole map; for details no larger than the correlation, errors come out too large.
        emulator_error: whether the variance of an emulator's error is added to the data's, pixel by pixel; without, its
            maps are taken as exact, as published super-resolved fits did.
    """

    kind: str = "gaussian"
    degrees_of_freedom: float = 4.0
    weights: Maps = dataclasses.field(default_factory=lambda: Maps(1.0, 1.0, 1.0, 1.0))
    correlation: float | None = None
    emulator_error: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"likelihood kind is {self.kind!r}; allowed are {' and '.join(KINDS)}")
        if not number(self.degrees_of_freedom) > 0:
            raise InputError(f"degrees of freedom are {self.degrees_of_freedom!r}; a positive number is needed")
        object.__setattr__(self, "weights", _weights(self.weights))
        for name, weight in zip(MAP_NAMES, self.weights, strict=True):
            if not 0 <= number(weight) < math.inf:
                raise InputError(f"weight of {name} is {weight!r}; a finite number of at least 0 is needed")
        if self.correlation is not None:
            check_correlation(self.correlation)

    def correlation_of(self, observation: Observation) -> float:
        """The correlation of the noise that is assumed for an `observation`, FWHM [arcsec]."""
        return observation.correlation if self.correlation is None else self.correlation


def _weights(given: Any) -> Maps:
    """The weights of all maps from what `LikelihoodSettings` takes for them."""
    if isinstance(given, Mapping):
        for name in given:
            if name not in MAP_NAMES:
                raise InputError(unknown_name(str(name), list(MAP_NAMES), "map"))
        return Maps(1.0, 1.0, 1.0, 1.0)._replace(**given)
    if not isinstance(given, list | tuple) or len(given) != len(MAP_NAMES):
        raise InputError(f"weights are {given!r}; a number each for {', '.join(MAP_NAMES)} is needed")
    return Maps(*given)


class Data(NamedTuple):
    """An observation as the compiled likelihood takes it; the shapes depend on the canvas alone.

    Attributes:
        values: per map (n*n,), in pixels, or in bins first and then padding.
        inverse_errors: per map (n*n,), 0 for what is not to be fitted.
        weights: per map, scalar: the settings', divided by the inflation that correlated noise calls for.
        bins: (n*n,) index of each pixel's bin, n*n for none; None where pixels stand for themselves.
    """

    values: Maps
    inverse_errors: Maps
    weights: Maps
    bins: jax.Array | None


def make_data(observation: Observation, settings: LikelihoodSettings) -> Data:
    """The observation in the form of `Data`, every bin once.

    Raises:
        InputError: the weights leave nothing to fit.
    """
    count = observation.size**2
    bins = None
    first = np.arange(count)
    if observation.bins is not None:
        labels, first, inverse = np.unique(observation.bins.ravel(), return_index=True, return_inverse=True)
        none = int(np.sum(labels < 0))
        bins = np.where(observation.bins.ravel() >= 0, inverse - none, count)
        first = first[none:]

    def pack(name: str, array: np.ndarray) -> np.ndarray:
        flat = np.ravel(array).astype(np.float64)
        if bins is None or name not in KINEMATIC:
            return flat
        return np.pad(flat[first], (0, count - first.size))

    values, inverse_errors, weights = [], [], []
    width = settings.correlation_of(observation) / observation.pixel_scale
    for name, value, error, good in zip(
        MAP_NAMES, observation.values, observation.errors, observation.good, strict=True
    ):
        weight = getattr(settings.weights, name)
        use = good if weight > 0 else np.zeros_like(good)
        correlated = width > 0 and np.any(use)
        weights.append(weight / inflation(observation.labels(name), width) if correlated else weight)
        values.append(pack(name, np.where(use, value, 0.0)))
        inverse_errors.append(pack(name, np.where(use, 1 / np.where(use, error, 1.0), 0.0)))
    if not any(np.any(e) for e in inverse_errors):
        raise InputError(f"{observation.name}: the likelihood's weights leave no map to fit")
    dtype = jnp.result_type(float)
    return Data(
        Maps(*(jnp.asarray(v, dtype) for v in values)),
        Maps(*(jnp.asarray(e, dtype) for e in inverse_errors)),
        Maps(*(jnp.asarray(w, dtype) for w in weights)),
        None if bins is None else jnp.asarray(bins, jnp.int32),
    )


def seen(maps: Maps, bins: jax.Array | None) -> Maps:
    """Predicted maps (n, n) as the data see them, (n*n,): kinematics averaged over bins, weighted with light.

    The dispersion of a bin is the full second moment, the scatter of the velocities within it included.
    """
    brightness, velocity, dispersion, ml = (m.ravel() for m in maps)
    if bins is None:
        return Maps(brightness, velocity, dispersion, ml)
    count = brightness.size
    light = 10 ** (brightness - jax.lax.stop_gradient(jnp.max(brightness)))
    # A bin's own first velocity would do as the reference; the overall scale is enough to keep squares small.
    moments = jnp.stack([light, light * velocity, light * (dispersion**2 + velocity**2)], axis=-1)
    sums = jax.ops.segment_sum(moments, bins, num_segments=count + 1)[:count]
    total = jnp.where(sums[:, 0] > 0, sums[:, 0], 1.0)
    mean = sums[:, 1] / total
    spread = jnp.sqrt(jnp.maximum(sums[:, 2] / total - mean**2, 1e-4))
    return Maps(brightness, mean, spread, ml)


def normalised_residuals(prediction: Prediction, data: Data) -> Maps:
    """(model - data) / error per map, (n*n,); 0 where nothing is fitted."""
    model = seen(prediction.maps, data.bins)
    return Maps(*((m - v) * e for m, v, e in zip(model, data.values, data.inverse_errors, strict=True)))


def extra_variance(prediction: Prediction, values: dict[str, jax.Array], data: Data) -> Maps | None:
    """Variance beyond the data's, in units of the data's, per map (n*n,): the predictor's own and the jitter's."""
    jitter = values.get("log10_brightness_jitter")
    if jitter is None and prediction.variance is None:
        return None
    zero = jnp.zeros_like(data.inverse_errors.brightness)
    own = Maps(zero, zero, zero, zero) if prediction.variance is None else seen_variance(prediction.variance, data.bins)
    if jitter is not None:
        own = own._replace(brightness=own.brightness + 10 ** (2 * jitter))
    return Maps(*(v * e**2 for v, e in zip(own, data.inverse_errors, strict=True)))


def seen_variance(variance: Maps, bins: jax.Array | None) -> Maps:
    """Variances of predicted maps as the data see them, (n*n,); within a bin errors are taken as fully correlated."""
    brightness, velocity, dispersion, ml = (v.ravel() for v in variance)
    if bins is None:
        return Maps(brightness, velocity, dispersion, ml)
    count = brightness.size
    sums = jax.ops.segment_sum(jnp.stack([jnp.ones_like(velocity), velocity, dispersion], -1), bins, count + 1)[:count]
    number = jnp.maximum(sums[:, 0], 1.0)
    return Maps(brightness, sums[:, 1] / number, sums[:, 2] / number, ml)


def log_likelihood(
    settings: LikelihoodSettings, prediction: Prediction, values: dict[str, jax.Array], data: Data
) -> jax.Array:
    """Log-likelihood less its `offset`, which float32 could not carry along without losing the differences.

    Args:
        settings: static.
        prediction: maps (n, n).
        values: all parameters, for the jitter.
        data: from `make_data`.
    """
    residuals = normalised_residuals(prediction, data)
    extra = extra_variance(prediction, values, data)
    total = jnp.zeros_like(residuals.brightness)
    for i, (r, e, w) in enumerate(zip(residuals, data.inverse_errors, data.weights, strict=True)):
        used = e > 0
        squared = r**2 if extra is None else r**2 / (1 + extra[i])
        if settings.kind == "gaussian":
            terms = -0.5 * (squared - 1)
        else:
            nu = settings.degrees_of_freedom
            terms = -(nu + 1) / 2 * jnp.log1p(squared / nu) + _student_mean(nu)
        if extra is not None:
            terms -= 0.5 * jnp.log1p(extra[i])
        total += w * jnp.where(used, terms, 0.0)
    # Once over all maps, and not once for each: a sum is several pieces of the program, and so is its gradient.
    return jnp.sum(total)


def offset(settings: LikelihoodSettings, data: Data) -> float:
    """The constant that completes `log_likelihood` to the log of a normalised density, float64."""
    nu = settings.degrees_of_freedom
    if settings.kind == "gaussian":
        each = -0.5 * math.log(2 * math.pi) - 0.5
    else:
        each = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * math.log(nu * math.pi) - _student_mean(nu)
    total = 0.0
    for e, w in zip(data.inverse_errors, data.weights, strict=True):
        inverse = np.asarray(e, dtype=np.float64)
        total += float(w) * float(np.sum(each + np.log(inverse[inverse > 0])))
    return total


def deviance_residuals(
    settings: LikelihoodSettings, prediction: Prediction, values: dict[str, jax.Array], data: Data
) -> jax.Array:
    """Residuals whose half sum of squares is minus the log-likelihood, up to a constant; for least squares.

    Args:
        settings, prediction, values, data: as for `log_likelihood`.

    Returns:
        (4 n*n,), and as many again with extra variance, whose logarithm has rows of its own.
    """
    residuals = normalised_residuals(prediction, data)
    extra = extra_variance(prediction, values, data)
    rows, logarithms = [], []
    for i, (r, e, w) in enumerate(zip(residuals, data.inverse_errors, data.weights, strict=True)):
        if extra is not None:
            # The 1 is one of the constants: with it the curvature of least squares is the likelihood's expected one
            # where the extra variance is small.
            logarithms.append(jnp.sqrt(w) * jnp.where(e > 0, jnp.sqrt(1 + jnp.log1p(extra[i])), 0.0))
            r = r / jnp.sqrt(1 + extra[i])
        if settings.kind == "student-t":
            nu = settings.degrees_of_freedom
            # sign(r) sqrt((nu+1) log(1 + r^2/nu)), written so that it is smooth at 0.
            squared = r**2 / nu + 1e-12
            r = r * jnp.sqrt((nu + 1) / nu * jnp.log1p(squared) / squared)
        rows.append(jnp.sqrt(w) * r)
    return jnp.concatenate([*rows, *logarithms])


def _student_mean(nu: float) -> float:
    """Mean of (nu+1)/2 log(1 + t^2/nu) for t distributed as Student's t."""
    return float((nu + 1) / 2 * (digamma((nu + 1) / 2) - digamma(nu / 2)))
