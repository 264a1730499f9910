"""Nested slice sampling: known evidences and posteriors, limits, going on, and devices."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.errors import InputError
from galfit_sr.inference.fit import fit
from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.nss import Nss, run_nss, stepping_out
from galfit_sr.inference.sampled import Sampled
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

PROBLEMS = {
    "gaussian": analytic.correlated_gaussian,
    "two modes": analytic.two_modes,
    "student": analytic.student_arms,
}
NDIM = 9
"""Half of a galaxy's, for what needs several seeds; the rest is in all of them."""
SETTINGS = Nss(nlive=100, slices=3 * NDIM, draws=1, dlogz=0.1)
"""Around exact modes, draws alone would do; here slices are on trial."""
WHOLE = dataclasses.replace(SETTINGS, slices=54)
SMALL = Nss(nlive=100, slices=12, draws=4, dlogz=0.1)


@cache
def known(name: str, ndim: int = NDIM) -> analytic.Known:
    return PROBLEMS[name](ndim)


@cache
def run(name: str, seed: int, settings: Nss = SETTINGS, ndim: int = NDIM) -> Sampled:
    return run_nss(known(name, ndim).problem, laplace_mixture(known(name, ndim).modes), settings, seed)


@pytest.mark.parametrize("name", PROBLEMS)
def test_evidence(name):
    found = [run(name, seed) for seed in range(3)]
    off = np.array([r.log_evidence for r in found]) - known(name).log_evidence
    error = np.array([r.log_evidence_error for r in found])
    assert all(r.converged for r in found)
    assert np.all(np.abs(off) < 3 * error), (off, error)


@pytest.mark.parametrize("name", ["gaussian", "two modes"])
def test_evidence_in_all_dimensions_of_a_galaxy(name):
    found = run(name, 1, WHOLE, 18)
    assert found.converged
    assert abs(found.log_evidence - known(name, 18).log_evidence) < 3 * found.log_evidence_error


@pytest.mark.parametrize("name", PROBLEMS)
def test_posterior_mean(name):
    found = [run(name, seed) for seed in range(3)]
    mean = np.mean([np.exp(r.log_weights) @ r.z for r in found], axis=0)
    size = sum(r.effective_sample_size for r in found)
    # Walks leave samples alike: errors are up to 1.3 times those of independent ones (docs/compare.md).
    variance = 1.3**2 * np.diag(known(name).covariance) / size
    if name == "two modes":
        # Slices do not leave a mode. One with a share s of the live points has the error of the run over the root of s.
        odds = np.mean([r.log_evidence_error**2 for r in found]) / len(found) * (1 / 0.75 + 1 / 0.25)
        first, second = known(name).modes
        variance += (0.75 * 0.25 * (first.z - second.z)) ** 2 * odds
    assert np.max(np.abs(mean - known(name).mean) / np.sqrt(variance)) < 4


@pytest.mark.parametrize("most", [1, 2, 10])
def test_brackets_are_those_of_blackjax(most):
    from blackjax.mcmc import slice as blackjax_slice

    def ends(interval, key, width):
        # Holes make the ends stop at different places, or nowhere before the steps are used up.
        left, right, steps, accept = interval(key, lambda t: jnp.sin(3 * t) + 2 > 0.1 * t**2, width, most)
        return left, right, steps, accept(left)

    keys, widths = jax.random.split(jax.random.key(0), 200), jnp.geomspace(0.1, 30, 200)
    mine, theirs = (
        jax.jit(jax.vmap(partial(ends, interval)))(keys, widths)
        for interval in (stepping_out, blackjax_slice.stepping_out)
    )
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)  # up to fused products and sums
    taken = np.asarray(mine[2])
    assert taken.min() == 0
    assert taken.max() == most - 1


def test_from_the_prior():
    found = run("gaussian", 1, Nss(nlive=200, slices=4 * NDIM, start="prior"))
    assert abs(found.log_evidence - known("gaussian").log_evidence) < 3 * found.log_evidence_error


@pytest.mark.parametrize("name", ["gaussian", "two modes"])
def test_draws_to_begin_with_cost_less_and_tell_more(name):
    slicing, drawing = (run(name, 1, dataclasses.replace(WHOLE, draws=draws), 18) for draws in (1, 100))
    assert abs(drawing.log_evidence - known(name, 18).log_evidence) < 3 * drawing.log_evidence_error
    assert drawing.log_evidence_error < 0.7 * slicing.log_evidence_error
    assert drawing.log_volume[0] == pytest.approx(-1 / (100 * SETTINGS.nlive), rel=1e-3)
    # The volume that draws leave is 1/100: by slices nlive ln 100 points would have to die, of which every one costs.
    walked = sum(found.z.shape[0] for found in (slicing, drawing)) - 100 * SETTINGS.nlive
    cost = slicing.diagnostics["calls_per_point"]
    spared = SETTINGS.nlive * np.log(100) * cost - 100 * SETTINGS.nlive
    assert slicing.calls - drawing.calls == pytest.approx(spared, abs=3 * cost * np.sqrt(walked))
    assert spared > 0


def test_weights_volumes_and_likelihoods_belong_together():
    found = run("gaussian", 0)
    assert np.sum(np.exp(found.log_weights)) == pytest.approx(1)
    assert np.all(np.diff(found.log_volume) < 0)
    assert np.exp(found.log_volume[0]) == pytest.approx(1 - 1 / (SETTINGS.nlive + 1))
    target, arrays = known("gaussian").problem.target, known("gaussian").problem.arrays
    expected = [float(target.latent_log_likelihood(z, arrays)) for z in found.z[::400]]
    np.testing.assert_allclose(found.log_likelihood[::400] - known("gaussian").problem.offset, expected, rtol=1e-9)
    assert found.information == pytest.approx(known("gaussian").information, abs=0.5)


def test_a_limit_ends_it_and_it_goes_on_as_if_there_had_been_none(tmp_path):
    checkpoint = tmp_path / "checkpoint"
    whole = run("gaussian", 1, SMALL)
    mixture = laplace_mixture(known("gaussian").modes)
    problem = known("gaussian").problem
    limited = dataclasses.replace(SMALL, max_calls=whole.calls // 2)
    part = run_nss(problem, mixture, limited, 1, checkpoint=checkpoint)
    assert not part.converged
    assert whole.calls // 2 < part.calls < whole.calls
    on = run_nss(problem, mixture, SMALL, 1, checkpoint=checkpoint, resume=True)
    np.testing.assert_array_equal(on.z, whole.z)
    assert (on.log_evidence, on.calls) == (whole.log_evidence, whole.calls)
    assert on.seconds > part.seconds
    with pytest.raises(InputError, match="another run"):
        run_nss(problem, mixture, SMALL, 2, checkpoint=checkpoint, resume=True)


def four_devices() -> None:
    """What the subprocess below does."""
    import jax

    mixture = laplace_mixture(known("gaussian").modes)
    found = run_nss(known("gaussian").problem, mixture, SMALL, 1)
    np.savez(sys.argv[1], devices=len(jax.devices()), z=found.z, evidence=found.log_evidence)


def test_devices_share_the_work_and_change_nothing(tmp_path):
    here, out = Path(__file__), tmp_path / "found.npz"
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_nss; test_nss.four_devices()"
    environment = {
        **os.environ,
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    subprocess.run([sys.executable, "-c", code, out], env=environment, check=True, timeout=300)
    found = np.load(out)
    assert found["devices"] == 4
    np.testing.assert_allclose(found["z"], run("gaussian", 1, SMALL).z, rtol=1e-6, atol=1e-6)


def test_fit_of_a_galaxy():
    model = GalaxyModel(components=("disc1", "halo"), canvas=Canvas(8, 5.0), fidelity="point")
    galaxy = make_mock(MOCK_TRUTH, model=model, fibres=0, seed=1)
    posterior = fit(galaxy, model=model, sampler=SMALL, seed=1)
    assert posterior.sampler == "nss"
    assert posterior.converged
    assert posterior.log_evidence is not None
    assert "nested slice sampling" in posterior.timings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"nlive": 10}, "nlive is 10"),
        ({"batch": 300}, "batch is 300; at most half of the 400 live points"),
        ({"start": "anywhere"}, "start is 'anywhere'; allowed are repartitioned and prior"),
        ({"dlogz": -1}, "dlogz is -1"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Nss(**settings)


def test_without_blackjax_the_sentence_names_it(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "blackjax" else found(name))
    with pytest.raises(InputError, match="needs blackjax, which is not installed"):
        run_nss(known("gaussian").problem, None, Nss(start="prior"), 1)
