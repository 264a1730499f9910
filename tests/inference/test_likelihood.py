"""The likelihood against a plain evaluation of its definition; the latent space; one program for every galaxy."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from galfit_sr.correlation import deviates, shared
from galfit_sr.errors import InputError
from galfit_sr.inference.likelihood import (
    LikelihoodSettings,
    deviance_residuals,
    log_likelihood,
    make_data,
    offset,
)
from galfit_sr.inference.problem import (
    Problem,
    batch_log_likelihood,
    log_standard_normal,
    make_problem,
    predict,
)
from galfit_sr.maps import KINEMATIC, MAP_NAMES, Maps, Observation
from galfit_sr.model.galaxy import GalaxyModel, Prediction
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock
from galfit_sr.parameters import JITTER, Parameters, default_parameters
from galfit_sr.priors import Prior
from galfit_sr.psf import GaussianPSF

SIZE = 8
# Of few components, since what is tested here does not depend on them and every program is compiled.
MODEL = GalaxyModel(("disc1", "halo"), Canvas(24, 0.5), "point")
GAUSSIAN = LikelihoodSettings()
STUDENT = LikelihoodSettings("student-t", 3.0)
JITTER_NAME = JITTER.name
# Sums of at most a thousand terms of order 1 to 100 in double precision: 1e-16 times their number times their size.
ROUNDING = 1e-11


def random_maps(rng: np.random.Generator, size: int = SIZE) -> Maps:
    shape = (size, size)
    return Maps(
        rng.normal(8.5, 0.5, shape), rng.normal(0, 100, shape), rng.uniform(30, 120, shape), rng.uniform(1, 5, shape)
    )


def blocks(size: int = SIZE) -> np.ndarray:
    """Bins of 1x2 pixels whose labels neither start at 0 nor follow each other; the first row is in none."""
    labels = 3 + 2 * np.repeat(np.arange(size * size // 2), 2).reshape(size, size)
    labels[0] = -1
    return labels


def random_observation(seed: int, *, bins: bool = False, missing: tuple[str, ...] = ()) -> Observation:
    """Random maps, errors and masks; what is masked is not a number."""
    rng = np.random.default_rng(seed)
    values = random_maps(rng)
    errors = Maps(*(scale * rng.uniform(0.5, 2, (SIZE, SIZE)) for scale in (0.05, 10.0, 12.0, 0.4)))
    good = Maps(*(rng.random((SIZE, SIZE)) > 0.3 for _ in range(4)))
    labels = None
    if bins:
        labels = blocks()
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)

        def even(array):
            return array.ravel()[first][inverse].reshape(array.shape)

        values, errors, good = (
            kind._replace(velocity=even(kind.velocity), dispersion=even(kind.dispersion))
            for kind in (values, errors, good)
        )
        good = good._replace(**{name: getattr(good, name) & (labels >= 0) for name in KINEMATIC})
    good = good._replace(**{name: np.zeros((SIZE, SIZE), bool) for name in missing})
    return Observation(
        name="random",
        redshift=0.03,
        pixel_scale=0.5,
        psf_photometry=GaussianPSF(1.3),
        psf_kinematics=GaussianPSF(2.5),
        values=Maps(*(np.where(g, v, np.nan) for v, g in zip(values, good, strict=True))),
        errors=Maps(*(np.where(g, e, np.nan) for e, g in zip(errors, good, strict=True))),
        good=good,
        bins=labels,
    )


def plain_log_density(
    observation: Observation,
    model: Maps,
    settings: LikelihoodSettings,
    variance: Maps | None = None,
    jitter: float | None = None,
) -> float:
    """The log density of the data, from its definition, one datum after the other."""
    total = 0.0
    for name in MAP_NAMES:
        value, error, good, prediction = (
            getattr(kind, name) for kind in (observation.values, observation.errors, observation.good, model)
        )
        own = np.zeros_like(prediction) if variance is None else getattr(variance, name)
        data = []
        if observation.bins is not None and name in KINEMATIC:
            for label in np.unique(observation.bins[observation.bins >= 0]):
                inside = observation.bins == label
                if not good[inside][0]:
                    continue
                light = 10 ** model.brightness[inside]
                mean = np.average(model.velocity[inside], weights=light)
                square = np.average(model.dispersion[inside] ** 2 + model.velocity[inside] ** 2, weights=light)
                seen = mean if name == "velocity" else math.sqrt(square - mean**2)
                data.append((value[inside][0], seen, error[inside][0], np.mean(own[inside])))
        else:
            data = list(zip(value[good], prediction[good], error[good], own[good], strict=True))
        for datum, mean, sigma, more in data:
            if jitter is not None and name == "brightness":
                more = more + 10 ** (2 * jitter)
            scale = math.sqrt(sigma**2 + more)
            nu = settings.degrees_of_freedom
            density = (
                norm.logpdf(datum, mean, scale)
                if settings.kind == "gaussian"
                else student.logpdf(datum, nu, mean, scale)
            )
            total += getattr(settings.weights, name) * density
    return total


def evaluated(
    observation: Observation,
    model: Maps,
    settings: LikelihoodSettings,
    variance: Maps | None = None,
    jitter: float | None = None,
) -> float:
    data = make_data(observation, settings)
    values = {} if jitter is None else {JITTER_NAME: jnp.asarray(jitter)}
    more = None if variance is None else Maps(*map(jnp.asarray, variance))
    found = log_likelihood(settings, Prediction(Maps(*map(jnp.asarray, model)), more), values, data)
    return float(found) + offset(settings, data)


@pytest.mark.parametrize("settings", [GAUSSIAN, STUDENT, LikelihoodSettings("student-t", 1.0)], ids=lambda s: s.kind)
@pytest.mark.parametrize("bins", [False, True], ids=["pixels", "bins"])
@pytest.mark.parametrize(
    "case", ["plain", "no brightness", "no kinematics", "weights", "jitter", "variance", "jitter and variance"]
)
def test_against_the_definition(settings, bins, case):
    missing = {"no brightness": ("brightness",), "no kinematics": KINEMATIC}.get(case, ())
    if case == "weights":
        settings = dataclasses.replace(settings, weights=Maps(0.25, 1.0, 0.0, 2.0))
    observation = random_observation(1, bins=bins, missing=missing)
    rng = np.random.default_rng(2)
    model = random_maps(rng)
    variance = (
        Maps(*(rng.uniform(0, 2, (SIZE, SIZE)) * s**2 for s in (0.05, 10, 12, 0.4))) if "variance" in case else None
    )
    jitter = -1.2 if "jitter" in case else None
    expected = plain_log_density(observation, model, settings, variance, jitter)
    assert evaluated(observation, model, settings, variance, jitter) == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("settings", [GAUSSIAN, STUDENT], ids=lambda s: s.kind)
def test_density_is_normalised(settings):
    """Integrated over one datum, all else as it is, the density is that without the datum."""
    observation = random_observation(3)
    model = random_maps(np.random.default_rng(4))
    y, x = np.argwhere(observation.good.velocity)[5]
    sigma, mean = observation.errors.velocity[y, x], model.velocity[y, x]

    def with_value(value):
        values = observation.values.velocity.copy()
        values[y, x] = value
        changed = dataclasses.replace(observation, values=observation.values._replace(velocity=values))
        return evaluated(changed, model, settings)

    good = observation.good.velocity.copy()
    good[y, x] = False
    without = evaluated(
        dataclasses.replace(observation, good=observation.good._replace(velocity=good)), model, settings
    )
    # Trapezoids in a stretched coordinate, datum = mean + sigma sinh(s): spectrally exact for either density. Student's
    # tail beyond sinh(12) = 8e4 sigma, with three degrees of freedom, holds less than 1e-14.
    s = np.linspace(-12, 12, 481)
    density = np.exp([with_value(mean + sigma * math.sinh(t)) - without for t in s])
    assert np.trapezoid(density * sigma * np.cosh(s), s) == pytest.approx(1.0, abs=1e-9)


def doubled(observation: Observation) -> Observation:
    """Every pixel four times."""
    kinds = {
        k: Maps(*(m.repeat(2, 0).repeat(2, 1) for m in getattr(observation, k))) for k in ("values", "errors", "good")
    }
    bins = None if observation.bins is None else observation.bins.repeat(2, 0).repeat(2, 1)
    return dataclasses.replace(observation, **kinds, bins=bins, origin=None)


def test_a_bin_counts_once_however_many_spaxels_it_has():
    settings = LikelihoodSettings(weights=Maps(0.0, 1.0, 1.0, 0.0))
    observation = random_observation(5, bins=True)
    model = random_maps(np.random.default_rng(6))
    larger = Maps(*(m.repeat(2, 0).repeat(2, 1) for m in model))
    once = evaluated(observation, model, settings)
    assert evaluated(doubled(observation), larger, settings) == pytest.approx(once, rel=ROUNDING)
    # Without bins every spaxel is a datum of its own.
    loose = dataclasses.replace(observation, bins=None)
    each = evaluated(loose, model, settings)
    assert evaluated(doubled(loose), larger, settings) == pytest.approx(4 * each, rel=ROUNDING)


def test_labels_of_bins_do_not_matter():
    observation = random_observation(7, bins=True)
    model = random_maps(np.random.default_rng(8))
    order = np.random.default_rng(9).permutation(observation.bins.max() + 1)
    shuffled = np.where(observation.bins >= 0, order[observation.bins], -7)
    again = evaluated(dataclasses.replace(observation, bins=shuffled), model, GAUSSIAN)
    assert again == pytest.approx(evaluated(observation, model, GAUSSIAN), rel=ROUNDING)


@pytest.mark.parametrize("bins", [False, True], ids=["pixels", "bins"])
def test_masked_pixels_are_harmless(bins):
    """Not a number where masked, in data and errors: neither the value nor its gradient notices."""
    observation = random_observation(10, bins=bins)
    filled = dataclasses.replace(
        observation,
        values=Maps(*(np.where(g, v, 17.0) for v, g in zip(observation.values, observation.good, strict=True))),
        errors=Maps(*(np.where(g, e, 2.0) for e, g in zip(observation.errors, observation.good, strict=True))),
    )
    model = Maps(*map(jnp.asarray, random_maps(np.random.default_rng(11))))
    for settings in (GAUSSIAN, STUDENT):
        value, slope = (
            jax.value_and_grad(lambda m, s=settings, d=data: log_likelihood(s, Prediction(m, None), {}, d))(model)
            for data in (make_data(o, settings) for o in (observation, filled))
        )
        assert value[0] == slope[0]
        for ours, theirs, good in zip(value[1], slope[1], observation.good, strict=True):
            assert np.all(np.isfinite(ours))
            np.testing.assert_array_equal(ours, theirs)
            if not bins:
                np.testing.assert_array_equal(np.asarray(ours)[~good], 0.0)


@pytest.mark.parametrize("settings", [GAUSSIAN, STUDENT], ids=lambda s: s.kind)
@pytest.mark.parametrize("case", ["plain", "weights", "jitter", "variance"])
def test_half_sum_of_squares_is_minus_the_log_likelihood(settings, case):
    if case == "weights":
        settings = dataclasses.replace(settings, weights=Maps(0.25, 1.0, 0.0, 2.0))
    observation = random_observation(12, bins=True)
    data = make_data(observation, settings)
    sums = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        maps = Maps(*map(jnp.asarray, random_maps(rng)))
        variance = Maps(*(jnp.abs(m) * 0.01 for m in maps)) if case == "variance" else None
        values = {JITTER_NAME: jnp.asarray(rng.uniform(-2, -0.5))} if case == "jitter" else {}
        prediction = Prediction(maps, variance)
        residuals = deviance_residuals(settings, prediction, values, data)
        sums.append(0.5 * np.sum(residuals**2) + log_likelihood(settings, prediction, values, data))
        assert np.sum(residuals**2) > 100
    # Student's residuals are smoothed at 1e-12 of a unit, each of 256.
    np.testing.assert_allclose(sums, sums[0], rtol=ROUNDING, atol=1e-9)


def test_jitter_curvature_is_the_expected_one():
    """Least squares' curvature in the jitter: half the squared derivative of the log variance, summed over pixels."""
    observation = random_observation(13, missing=("velocity", "dispersion", "ml"))
    model = Maps(*map(jnp.asarray, random_maps(np.random.default_rng(14))))
    good, errors = observation.good.brightness, observation.errors.brightness[observation.good.brightness]
    data = make_data(observation, GAUSSIAN)
    jitter = -2.0
    expected = np.sum(0.5 * (2 * math.log(10) * 10 ** (2 * jitter) / (errors**2 + 10 ** (2 * jitter))) ** 2)
    slope = jax.jit(jax.jacfwd(lambda j, d: deviance_residuals(GAUSSIAN, Prediction(model, None), {JITTER_NAME: j}, d)))
    found = []
    for draw in range(400):
        # Data as the model has them: the curvature is a mean over data.
        noise = np.random.default_rng(draw).standard_normal(good.shape) * np.hypot(observation.errors.brightness, 0.01)
        values = data.values._replace(brightness=jnp.where(jnp.asarray(good), model.brightness + noise, 0.0).ravel())
        found.append(float(np.sum(slope(jnp.asarray(jitter), data._replace(values=values)) ** 2)))
    mean, error = np.mean(found), np.std(found) / math.sqrt(len(found))
    # Rows of the logarithm give 1/(1+log(1+x)) of their half, x <= (0.01/0.025)^2 = 0.16: up to 7 % less.
    assert 0.93 * expected - 5 * error < mean < expected + 5 * error


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LikelihoodSettings("cauchy"), "'cauchy'; allowed are gaussian and student-t"),
        (lambda: LikelihoodSettings("student-t", 0.0), "degrees of freedom are 0.0"),
        (lambda: LikelihoodSettings("student-t", math.nan), "degrees of freedom are nan"),
        (lambda: LikelihoodSettings(weights=Maps(1, 1, -0.5, 1)), "weight of dispersion is -0.5"),
        (lambda: LikelihoodSettings(weights=Maps(1, math.inf, 1, 1)), "weight of velocity is inf"),
        (lambda: LikelihoodSettings(correlation=-1.0), "correlation is -1.0; the FWHM in arcsec"),
        (lambda: LikelihoodSettings(correlation=math.nan), "correlation is nan"),
        (lambda: LikelihoodSettings("student-t", "4"), "degrees of freedom are '4'"),
        (lambda: LikelihoodSettings(weights={"mll": 0}), "unknown map 'mll'; did you mean 'ml'"),
        (lambda: LikelihoodSettings(weights={"ml": "none"}), "weight of ml is 'none'"),
        (lambda: LikelihoodSettings(weights=(1, 1, 1)), "weights are \\(1, 1, 1\\); a number each for brightness, "),
        (lambda: LikelihoodSettings(weights=1), "weights are 1; a number each"),
    ],
)
def test_impossible_settings(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_weights_of_some_maps_by_name():
    assert LikelihoodSettings(weights={"ml": 0}) == LikelihoodSettings(weights=Maps(1, 1, 1, 0))
    assert hash(LikelihoodSettings(weights=[1, 1, 1, 0])) == hash(LikelihoodSettings(weights={"ml": 0}))


@pytest.mark.parametrize("bins", [False, True], ids=["pixels", "bins"])
def test_correlated_noise_counts_as_fewer_data(bins):
    """chi^2 of a map's mean, as the likelihood counts it, is that of one number: 1 in the mean over the noise."""
    rng, size, fwhm = np.random.default_rng(16), 24, 1.25
    observation = make_mock(MOCK_TRUTH, model=MODEL, noise=0, fibres=37, seed=0, bins=bins)
    labels, width = observation.labels("velocity"), fwhm / observation.pixel_scale
    weight = float(make_data(observation, LikelihoodSettings(correlation=fwhm)).weights.velocity)
    _, first = np.unique(labels[labels >= 0], return_index=True)
    chi2 = []
    for _ in range(300):
        field = deviates(rng, size, width)
        field = shared(field, labels, width) if bins else field
        # Residuals r of unit variance and a model of a constant: chi^2 falls by N mean(r)^2.
        data = field[labels >= 0][first]
        chi2.append(weight * data.size * data.mean() ** 2)
    assert weight < 0.3
    # chi^2 of one degree of freedom has a variance of 2.
    assert np.mean(chi2) == pytest.approx(1, abs=5 * math.sqrt(2 / 300))


def test_correlation_is_that_of_the_observation_unless_told_otherwise():
    observation = make_mock(MOCK_TRUTH, model=MODEL, correlation=1.25, fibres=37, seed=0)

    def weight(correlation: float | None) -> float:
        return float(make_data(observation, LikelihoodSettings(correlation=correlation)).weights.brightness)

    assert weight(None) == weight(1.25) < 0.3
    assert weight(0.0) == 1.0


def test_correlation_leaves_out_what_weights_leave_out():
    observation = random_observation(17, bins=True, missing=("ml",))
    settings = LikelihoodSettings(weights=Maps(0.0, 0.5, 1.0, 1.0), correlation=1.0)
    weights = make_data(observation, settings).weights
    assert weights.brightness == 0.0
    assert 0 < weights.velocity < 0.5
    model = random_maps(np.random.default_rng(18))
    explicit = dataclasses.replace(settings, weights=Maps(*map(float, weights)), correlation=0.0)
    assert evaluated(observation, model, settings) == pytest.approx(evaluated(observation, model, explicit), rel=1e-12)


def test_weights_that_leave_nothing():
    observation = random_observation(15, missing=("brightness", "ml"))
    with pytest.raises(InputError, match="leave no map to fit"):
        make_data(observation, LikelihoodSettings(weights=Maps(1.0, 0.0, 0.0, 1.0)))


def mock(seed: int = 1, parameters: Parameters | None = None, **changes) -> Observation:
    values = {**MOCK_TRUTH, **changes.pop("values", {})}
    return make_mock(values, model=MODEL, fibres=0, seed=seed, **changes)


def problem_for(observation: Observation, settings: LikelihoodSettings = GAUSSIAN, **replaced) -> Problem:
    parameters = default_parameters(MODEL.components)
    for name, change in replaced.items():
        parameters = parameters.replace(name, **change)
    return make_problem(observation, Prior(parameters), MODEL, settings)


@pytest.fixture(scope="module")
def galaxy() -> Problem:
    return problem_for(mock())


@pytest.fixture(scope="module")
def truth(galaxy) -> jax.Array:
    return jnp.asarray(galaxy.target.prior.parameters.flatten(MOCK_TRUTH))


def test_the_whole_way_from_latent_to_likelihood(galaxy, truth):
    z = galaxy.target.latent(truth, galaxy.arrays.shift)
    found = float(batch_log_likelihood(galaxy.target, z[None], galaxy.arrays)[0]) + galaxy.offset
    prediction, _, _ = predict(galaxy.target, truth, galaxy.arrays)
    maps = Maps(*(np.asarray(m) for m in prediction.maps))
    # The round trip through the cube and the probit costs four digits of sixteen.
    assert found == pytest.approx(plain_log_density(galaxy.observation, maps, GAUSSIAN), rel=1e-10)


def test_systemic_velocity_moves_the_velocities(galaxy, truth):
    moved = dataclasses.replace(
        galaxy.observation,
        values=galaxy.observation.values._replace(velocity=galaxy.observation.values.velocity + 37.5),
    )
    problem = problem_for(moved, systemic_velocity={"prior": dist.Uniform(-100.0, 100.0)})
    theta = jnp.append(truth, 37.5)
    assert problem.target.prior.names[-1] == "systemic_velocity"
    still = jax.jit(galaxy.target.log_likelihood)(truth, galaxy.arrays)
    value = jax.jit(problem.target.log_likelihood)
    assert float(value(theta, problem.arrays)) == pytest.approx(float(still), rel=1e-10)
    off = value(theta.at[-1].set(0.0), problem.arrays)
    assert float(off) < float(still) - 100


def test_single_precision_keeps_the_differences(galaxy, truth):
    """A residual r = (m - d)/s carries the rounding of the map, n eps |m|/s, and the log-likelihood the sum of r dr.

    n = 50 roundings on the way to a pixel; they are taken as independent from pixel to pixel. The sum itself, of N
    terms, adds eps sqrt(N) times its largest partial sum, well below that.
    """
    rng = np.random.default_rng(16)
    z = np.asarray(galaxy.target.latent(truth, galaxy.arrays.shift)) + 0.01 * rng.standard_normal(
        (30, galaxy.target.ndim)
    )
    # The same parameters for both: those single precision can hold.
    z = z.astype(np.float32)
    exact = np.asarray(batch_log_likelihood(galaxy.target, jnp.asarray(z, jnp.float64), galaxy.arrays))
    with jax.enable_x64(False):
        single = problem_for(galaxy.observation)
        found = batch_log_likelihood(single.target, jnp.asarray(z), single.arrays)
    assert found.dtype == jnp.float32
    theta = galaxy.target.parameters(jnp.asarray(z, jnp.float64), galaxy.arrays.shift)
    eps = np.finfo(np.float32).eps
    error = np.zeros(len(z))
    for i, one in enumerate(theta):
        prediction, _, residuals = predict(galaxy.target, one, galaxy.arrays)
        for m, r, e in zip(prediction.maps, residuals, galaxy.arrays.data.inverse_errors, strict=True):
            error[i] += np.sum((50 * eps * np.asarray(m).ravel() * e * r) ** 2)
    error = np.sqrt(error)
    assert np.ptp(exact) > 100, "the differences that are to be kept"
    assert error.max() < 0.5, "a tolerance that would hide half a nat proves nothing"
    difference = (np.asarray(found, np.float64) - found[0]) - (exact - exact[0])
    assert np.all(np.abs(difference) < 3 * np.hypot(error, error[0]))


def test_latent_coordinates_and_back(galaxy):
    z = np.random.default_rng(17).standard_normal((200, galaxy.target.ndim))
    latent, parameters = jax.jit(galaxy.target.latent), jax.jit(galaxy.target.parameters)
    for shift in (galaxy.arrays.shift, galaxy.arrays.shift.at[2].set(0.4), galaxy.arrays.shift.at[2].set(-0.45)):
        theta = parameters(jnp.asarray(z), shift)
        assert np.all(np.isfinite(galaxy.target.prior.log_density(theta)))
        # A probit at 4.5 standard deviations magnifies the rounding of u by 1/phi(4.5) = 6e4.
        np.testing.assert_allclose(latent(theta, shift), z, rtol=0, atol=1e-9)


def test_density_in_latent_coordinates_is_the_prior(galaxy):
    """A standard normal in z: log density of theta plus the log Jacobian of z -> theta."""
    z = jnp.asarray(np.random.default_rng(18).standard_normal((20, galaxy.target.ndim)))
    shift = galaxy.arrays.shift.at[2].set(0.3)
    theta = galaxy.target.parameters(z, shift)
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda one: galaxy.target.parameters(one, shift))))(z)
    found = galaxy.target.prior.log_density(theta) + jnp.linalg.slogdet(slopes).logabsdet
    np.testing.assert_allclose(found, log_standard_normal(z), rtol=0, atol=1e-6)


def test_position_angle_is_cut_opposite(galaxy, truth):
    """Across +-pi the latent coordinate, and with it the likelihood and its slope, runs on."""
    turned = truth.at[2].set(np.pi - 0.02)
    problem = problem_for(mock(values={"position_angle": np.pi - 0.02})).cut_opposite(turned)
    target, arrays = problem.target, problem.arrays
    middle = target.latent(turned, arrays.shift)
    assert float(middle[2]) == pytest.approx(0.0, abs=1e-9)
    # dPA/dz = 2 pi phi(z): from 0.08 rad before to 0.08 rad after the middle, the end of the range on the way.
    line = middle[None, :] + jnp.linspace(-0.03, 0.03, 61)[:, None] * jnp.eye(target.ndim)[2][None, :]
    angles = np.asarray(target.parameters(line, arrays.shift)[:, 2])
    assert angles.min() < -3.1
    assert angles.max() > 3.1
    u = np.asarray(jax.scipy.stats.norm.cdf(line[:, 2]))
    np.testing.assert_allclose(np.unwrap(angles), np.pi - 0.02 + 2 * np.pi * (u - 0.5), atol=1e-9)
    look = jax.jit(jax.value_and_grad(target.latent_log_likelihood))
    values, gradients = (np.array(a) for a in zip(*(look(z, arrays) for z in line), strict=True))
    slopes = gradients[:, 2]
    # The trapezoid's error, h^3/12 times the third derivative, is estimated from the slopes themselves.
    step = 0.001
    mistake = np.diff(values) - step * (slopes[1:] + slopes[:-1]) / 2
    allowed = step * np.max(np.abs(np.diff(slopes, 2))) / 6 + 1e-7
    assert np.all(np.abs(mistake) < allowed)
    assert np.ptp(values) > 1e3 * allowed
    # Uncut, the same step is a jump across the whole coordinate.
    uncut = problem_for(problem.observation)
    ends = uncut.target.latent(target.parameters(line[jnp.array([0, -1])], arrays.shift), uncut.arrays.shift)[:, 2]
    assert abs(float(ends[0] - ends[1])) > 4


def test_residuals_of_a_target_are_its_log_posterior(galaxy):
    """Free jitter and Student's errors included."""
    defaults = default_parameters(MODEL.components)
    parameters = Parameters((*defaults.items, JITTER), defaults.orders)
    for settings in (GAUSSIAN, STUDENT):
        problem = make_problem(galaxy.observation, Prior(parameters), MODEL, settings)
        z = 0.5 * np.random.default_rng(19).standard_normal((4, parameters.ndim))
        posterior = batch_log_likelihood(problem.target, jnp.asarray(z), problem.arrays) - 0.5 * np.sum(z**2, axis=1)
        residuals = jax.jit(problem.target.residuals)
        squares = [0.5 * float(np.sum(residuals(jnp.asarray(one), problem.arrays) ** 2)) for one in z]
        total = np.asarray(posterior) + squares
        np.testing.assert_allclose(total, total[0], rtol=0, atol=1e-9 * max(squares))


def test_an_evaluation_that_fails_is_impossible_not_an_error(galaxy, truth):
    nowhere = truth.at[0].set(jnp.nan)
    assert galaxy.target.log_likelihood(nowhere, galaxy.arrays) == -jnp.inf
