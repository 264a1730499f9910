"""From an observation to a posterior: the first answer, what it warns of, and what a second galaxy costs."""

from __future__ import annotations

import dataclasses
import re

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from scipy.stats import t as student

from galfit_sr.analysis.trials import Setup, observe
from galfit_sr.errors import InputError
from galfit_sr.inference.fit import first_answer, fit, pose
from galfit_sr.inference.likelihood import LikelihoodSettings
from galfit_sr.inference.nested import Nested
from galfit_sr.inference.nss import Nss
from galfit_sr.inference.nuts import Nuts
from galfit_sr.maps import Observation
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock
from galfit_sr.parameters import JITTER, Parameters, default_parameters
from galfit_sr.priors import Prior
from galfit_sr.psf import GaussianPSF
from galfit_sr.seeds import checked_seed

MODEL = GalaxyModel(canvas=Canvas(32, 1.0), fidelity="point")
QUICK = Nested(nlive=40, walks=10, walkers=8, max_calls=30_000)


def mock(seed: int = 1, **changes) -> Observation:
    return make_mock({**MOCK_TRUTH, **changes}, model=MODEL, fibres=0, seed=seed)


def pulls(answer, truth: dict[str, float]) -> np.ndarray:
    """Differences from the truth in standard deviations."""
    names = answer.problem.target.prior.names
    return np.array([(v - truth[n]) / e for n, v, e in zip(names, answer.values, answer.errors, strict=True)])


def assert_described(answer, observation: Observation) -> None:
    """Reduced chi^2 of all maps is 1 within what chance and 18 parameters make of it."""
    for name, chi2 in answer.reduced_chi2.items():
        count = int(np.sum(getattr(observation.good, name)))
        assert abs(chi2 - 1) < 5 * np.sqrt(2 / count) + 18 / count, name


def test_first_answer_is_the_truth_within_its_errors():
    observation = mock()
    answer = first_answer(observation, model=MODEL)
    # 18 pulls of a normal distribution: the largest exceeds 4 once in a thousand times. Laplace's errors are too small
    # in the bulge's skewed directions, hence 5.
    assert np.max(np.abs(pulls(answer, MOCK_TRUTH))) < 5
    assert not answer.warnings
    assert_described(answer, observation)


def test_periodic_angle_next_to_its_edge():
    truth = {**MOCK_TRUTH, "position_angle": np.pi - 0.001}
    answer = first_answer(mock(position_angle=truth["position_angle"]), model=MODEL)
    turned = answer.best_values()["position_angle"] - truth["position_angle"]
    error = answer.errors[list(answer.problem.target.prior.names).index("position_angle")]
    assert abs((turned + np.pi) % (2 * np.pi) - np.pi) < 5 * error


@pytest.mark.parametrize(("number", "seed"), [(0, 1), (28, 3), (39, 4), (41, 6)])
def test_galaxies_of_which_most_searches_find_a_lesser_maximum(number, seed):
    """With these seeds all once did: half a turn off, at another inclination, with hardly anything in place."""
    setup = Setup(default_parameters(), Nested(), None, 20, "point", None, 1)
    observation, _ = observe(setup, number)
    answer = first_answer(observation, parameters=setup.parameters, model=setup.model, seed=seed)
    assert_described(answer, observation)


def test_both_sides_recede_without_velocities():
    """Two modes of the same weight, half a turn apart, and the circle cut between them."""
    observation = mock()
    still = observation.good._replace(velocity=np.zeros_like(observation.good.velocity))
    answer = first_answer(dataclasses.replace(observation, good=still), model=MODEL)
    assert len(answer.modes) >= 2
    index = list(answer.problem.target.prior.names).index("position_angle")
    latent = np.array([mode.z[index] for mode in answer.modes[:2]])
    # A quarter of a turn from the cut: the probit of 1/4 and 3/4.
    np.testing.assert_allclose(np.sort(latent), norm.ppf([0.25, 0.75]), atol=0.02)
    first, second = answer.modes[:2]
    assert abs(first.log_evidence - second.log_evidence) < 0.5


def test_discs_that_can_trade_places_have_two_modes():
    """Without an order between their radii nothing tells which disc is the first: exchanged, a mode is a mode."""
    components = ("disc1", "disc2", "halo")
    model = GalaxyModel(components, Canvas(12, 3.0), "point")
    parameters = dataclasses.replace(default_parameters(components), orders=())
    answer = first_answer(make_mock(MOCK_TRUTH, model=model, fibres=0, seed=1), model=model, parameters=parameters)
    assert len(answer.modes) >= 2
    first, second = answer.modes[:2]
    other = {"disc1": "disc2", "disc2": "disc1"}
    exchanged = [
        parameters.names.index(re.sub("disc[12]", lambda disc: other[disc[0]], name)) for name in parameters.names
    ]
    deviations = np.sqrt(np.diag(second.covariance))
    assert np.max(np.abs(first.z[exchanged] - second.z) / deviations) < 0.1
    assert np.max(np.abs(first.z - second.z) / deviations) > 10
    assert abs(first.log_evidence - second.log_evidence) < 0.1


@pytest.mark.parametrize("kind", ["gaussian", "student-t"])
def test_jitter_and_systemic_velocity_are_found(kind):
    components = ("disc1", "halo")
    model = dataclasses.replace(MODEL, components=components)
    defaults = default_parameters(components)
    parameters = Parameters((*defaults.items, JITTER), defaults.orders).replace(
        "systemic_velocity", prior=dist.Uniform(-100.0, 100.0)
    )
    jitter = 0.05
    truth = {**MOCK_TRUTH, "systemic_velocity": 37.5, "log10_brightness_jitter": np.log10(jitter)}
    observation = make_mock(truth, model=model, fibres=0, seed=1)
    brightness = observation.values.brightness
    more = jitter * np.random.default_rng(5).standard_normal(brightness.shape)
    noisy = dataclasses.replace(observation, values=observation.values._replace(brightness=brightness + more))
    answer = first_answer(noisy, parameters=parameters, model=model, likelihood=LikelihoodSettings(kind))
    found = dict(zip(answer.problem.target.prior.names, pulls(answer, truth), strict=True))
    assert abs(found["systemic_velocity"]) < 5
    # The same search in one dimension, everything else at the truth.
    exact = make_mock(truth, model=model, fibres=0, noise=0.0, seed=0).values.brightness
    residuals, errors = noisy.values.brightness - exact, noisy.errors.brightness
    density = norm.logpdf if kind == "gaussian" else student(LikelihoodSettings().degrees_of_freedom).logpdf
    plain = minimize_scalar(
        lambda j: -np.sum(density(residuals / np.hypot(errors, 10**j)) - np.log(np.hypot(errors, 10**j))),
        bounds=(-4, -0.5),
        method="bounded",
    ).x
    # 12 parameters take up as many of 1024 squared residuals, 0.002 dex.
    assert abs(answer.best_values()["log10_brightness_jitter"] - plain) < 0.02


def test_a_model_that_does_not_describe_the_data_is_told_before_sampling():
    """A bar of light across the disc."""
    observation = mock()
    brightness = observation.values.brightness.copy()
    brightness[:, 20:24] += 0.5
    odd = dataclasses.replace(observation, values=observation.values._replace(brightness=brightness))
    answer = first_answer(odd, model=MODEL)
    assert answer.reduced_chi2["brightness"] > 2
    assert any("brightness" in sentence for sentence in answer.warnings)


@pytest.mark.parametrize(
    "sampler", [QUICK, Nuts(chains=2, warmup=100, effective_samples=5, most_draws=50)], ids=["nested", "nuts"]
)
def test_second_galaxy_compiles_nothing(sampler):
    """Another truth, redshift, PSF and mask: what a survey pays per galaxy is sampling alone."""
    components = ("disc1", "halo")
    model = GalaxyModel(components, Canvas(8, 5.0), "point")
    first, other = (make_mock(MOCK_TRUTH | {"inclination": i}, model=model, fibres=0, seed=1) for i in (0.7, 0.5))
    second = dataclasses.replace(
        other,
        redshift=0.05,
        psf_kinematics=GaussianPSF(2.2),
        good=first.good._replace(velocity=first.good.velocity & (np.arange(8) > 2)[:, None]),
    )
    fit(first, model=model, parameters=default_parameters(components), sampler=sampler)
    compiled: list[str] = []

    def heard(event: str, seconds: float, **details: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(heard)
    fit(second, model=model, parameters=default_parameters(components), sampler=sampler)
    assert not compiled
    # The count is not blind.
    jax.jit(lambda x: x + 1.25)(np.float64(1.0))
    assert compiled


def test_a_fit_multiplies_with_all_bits(monkeypatch):
    """Accelerators would take ten of them, and a flow's inverse would no longer be its inverse."""
    seen: list[str | None] = []

    def sample(*arguments, **options):
        seen.append(jax.config.jax_default_matmul_precision)
        raise KeyboardInterrupt

    monkeypatch.setattr("galfit_sr.inference.fit.sample", sample)
    with pytest.raises(KeyboardInterrupt):
        fit(mock(), model=MODEL)
    assert seen == ["highest"]
    assert jax.config.jax_default_matmul_precision is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"observation": "galaxy.fits"}, "the observation is 'galaxy.fits'"),
        ({"parameters": {"x0": 0.0}}, "the parameters are {'x0': 0.0}; such as"),
        ({"model": "disc1"}, "the model is 'disc1'; one such as"),
        ({"sampler": "nested"}, "the sampler is 'nested'"),
        ({"seed": -1}, "seed is -1; a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"likelihood": "student-t"}, "the likelihood is 'student-t'; settings such as"),
        (
            {"parameters": default_parameters(("bulge", "disc1")), "model": MODEL},
            "the parameters describe bulge, disc1, but the model is made for bulge, disc1, disc2, halo",
        ),
        (
            {"parameters": Parameters(tuple(p for p in default_parameters() if p.name != "k_disc2")), "model": MODEL},
            "a model of bulge, disc1, disc2, halo needs the parameters k_disc2 as well",
        ),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_computed(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(**{"observation": mock(), **arguments})


def test_components_follow_from_the_parameters():
    problem = pose(mock(), parameters=default_parameters(("bulge", "disc1")))
    assert problem.target.predictor.components == ("bulge", "disc1")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda p: p.replace("k_disc1", prior=dist.Uniform(-5.0, 5.0)),
            "k_disc1 reaches from -5 to 5; a number",
        ),
        (lambda p: p.replace("bulge_slope", value=2.7), "bulge_slope = 2.7; a number from 0 to 2.4"),
        (lambda p: p.replace("inclination", prior=dist.Uniform(0.1, 2.0)), "inclination reaches from 0.1 to 2"),
        (lambda p: p.replace("ml_bulge", prior=dist.Normal(0.0, 1.0)), "ml_bulge reaches from -inf to inf"),
        (lambda p: p.replace("x0", prior=0.3), "prior of x0 is 0.3; a NumPyro distribution is needed"),
        (
            lambda p: Prior(p.replace("x0", prior=dist.Beta(2.0, 2.0))),
            "prior of x0 is Beta, whose inverse",
        ),
        (lambda p: Nested(nlive=50.5), "nlive is 50.5; a whole number"),
        (lambda p: Nested(walkers=True), "walkers is True; a whole number"),
        (lambda p: Nested(dlogz=None), "dlogz is None; a positive number"),
        (lambda p: Nested(max_seconds="60"), "max_seconds is '60'; a positive number"),
        (lambda p: Nuts(target_acceptance="high"), "target_acceptance is 'high'; a number between"),
        (lambda p: Nss(max_calls=[1]), "max_calls is \\[1\\]; a positive number"),
    ],
)
def test_priors_and_values_the_model_is_not_made_for(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make(default_parameters())


@pytest.mark.parametrize("kind", [Nested, Nuts, Nss])
def test_whole_numbers_may_be_numpys(kind):
    values = {f.name: f.default for f in dataclasses.fields(kind) if type(f.default) is int}
    made = kind(**{name: np.int64(value) for name, value in values.items()})
    assert made == kind()
    assert {type(getattr(made, name)) for name in values} == {int}
    assert checked_seed(np.int32(3)) == 3


def test_the_tail_of_a_gaussian_may_reach_beyond():
    changed = default_parameters().replace("ml_bulge", prior=dist.Normal(5.0, 1.0))
    assert changed["ml_bulge"].is_free
