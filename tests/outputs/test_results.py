"""The posterior: summaries, equally weighted draws, exact saving and loading, ArviZ."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import numpyro.distributions as dist
import pytest

from galfit_sr.errors import InputError
from galfit_sr.inference import stored_parameters
from galfit_sr.inference.derived import derived_summary, parameter_summary, shown_quantities
from galfit_sr.inference.results import Posterior
from galfit_sr.maps import Maps
from galfit_sr.priors import Isotropic


def assert_same(a, b):
    """Equal to the last bit, arrays and all."""
    for field in dataclasses.fields(Posterior):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, Maps):
            for x, y in zip(left, right, strict=True):
                np.testing.assert_array_equal(x, y)
        elif isinstance(left, np.ndarray):
            assert right.dtype == np.float64
            np.testing.assert_array_equal(left, right)
        else:
            assert type(left) is type(right), field.name
            assert left == right, field.name


def test_saved_posterior_is_restored_exactly(posterior, tmp_path):
    posterior.save(tmp_path / "posterior.nc")
    assert_same(posterior, Posterior.load(tmp_path / "posterior.nc"))


def test_markov_chains_without_evidence_are_restored_exactly(posterior, tmp_path):
    n = len(posterior.samples)
    chains = dataclasses.replace(
        posterior,
        log_weights=np.full(n, -np.log(n)),
        log_evidence=None,
        log_evidence_error=None,
        information=None,
        log_volume=None,
        emulator="isrcnn",
        converged=False,
        warnings=(),
        chains=4,
        parameters=posterior.parameters.replace("k_disc1", prior=dist.Beta(2.0, 3.0)),
    )
    chains.save(tmp_path / "posterior.nc")
    assert_same(chains, Posterior.load(tmp_path / "posterior.nc"))
    data = chains.to_arviz()
    assert data["posterior"]["inclination"].shape == (4, n // 4)
    inclination = posterior.samples[:, posterior.parameters.names.index("inclination")]
    np.testing.assert_array_equal(np.asarray(data["posterior"]["inclination"])[1], inclination[n // 4 : n // 2])


PRIORS = {
    "uniform": dist.Uniform(0.1, 1.0, validate_args=False),
    "loguniform": dist.LogUniform(0.1, 1.0),
    "normal": dist.Normal(0.3, 0.05),
    "truncated": dist.TruncatedNormal(0.3, 0.2, low=0.1, high=1.0),
    "isotropic": Isotropic(0.1, 1.0),
    "one-sided": dist.HalfNormal(2.0),
}


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_priors_are_restored(parameters, prior):
    changed = parameters.replace("x0", prior=prior)
    restored = stored_parameters.from_json(stored_parameters.to_json(changed))
    assert restored == changed
    assert restored != parameters.replace("x0", prior=dist.Uniform(0.1, 1.01))
    assert float(restored["x0"].prior.log_prob(0.37)) == float(prior.log_prob(0.37))


def test_fixed_and_tied_parameters_are_restored(parameters):
    changed = parameters.replace("ml_disc1", tied="ml_bulge").replace("bulge_slope", value=1.0)
    assert stored_parameters.from_json(stored_parameters.to_json(changed)) == changed


def test_file_cannot_name_any_class(parameters):
    content = json.loads(stored_parameters.to_json(parameters))
    content["items"][0]["prior"] = {"module": "subprocess", "kind": "Popen", "arguments": {"args": "true"}}
    with pytest.raises(InputError, match="subprocess"):
        stored_parameters.from_json(json.dumps(content))


def test_files_that_are_no_posterior_are_refused(posterior, tmp_path):
    with pytest.raises(InputError, match="no posterior at"):
        Posterior.load(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("not netCDF")
    with pytest.raises(InputError, match="damaged"):
        Posterior.load(tmp_path / "text.nc")
    posterior.save(tmp_path / "posterior.nc")
    content = (tmp_path / "posterior.nc").read_bytes()
    (tmp_path / "half.nc").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        Posterior.load(tmp_path / "half.nc")


def test_summary_has_what_the_run_promises(posterior):
    summary = posterior.summary()
    in_degrees = {"position_angle": "position_angle_deg", "inclination": "inclination_deg"}
    assert tuple(summary) == tuple(in_degrees.get(name, name) for name in posterior.parameters.names)
    for name, row in summary.items():
        assert set(row) == {"mean", "std", "q05", "q16", "q50", "q84", "q95", "unit", "truth"}
        assert row["unit"] == ("deg" if name in in_degrees.values() else posterior.parameters[name].unit)
    without = dataclasses.replace(posterior, truth={"x0": 0.3}).summary()
    assert [name for name, row in without.items() if "truth" in row] == ["x0"]


def test_summary_recovers_the_gaussian(posterior):
    """The fixture is a unit Gaussian around the truth in each direction: means within 4.5 standard errors."""
    size = posterior.effective_sample_size
    assert size > 1000
    for name, row in posterior.summary().items():
        assert abs(row["mean"] - row["truth"]) < 4.5 * row["std"] / np.sqrt(size), name


def test_angles_are_told_in_degrees_north_through_east_and_kept_in_radian(posterior):
    told, kept = posterior.summary(), parameter_summary(posterior)
    assert told["position_angle_deg"]["truth"] == pytest.approx(np.degrees(3.1) - 90)
    assert told["position_angle_deg"]["q16"] < told["position_angle_deg"]["q50"] < told["position_angle_deg"]["q84"]
    assert told["inclination_deg"]["std"] == pytest.approx(np.degrees(kept["inclination"]["std"]))
    assert tuple(kept) == posterior.parameters.names
    assert {name: row for name, row in kept.items() if name in told} == {
        name: row for name, row in told.items() if name in kept
    }
    assert posterior.columns()["inclination"].max() < np.pi / 3
    derived = derived_summary(posterior)
    assert all(told[name] == derived[name] for name in told.keys() & derived.keys())


def test_an_angle_around_north_has_its_median_there(posterior):
    """1.58 rad from +x is half a degree beyond north, 4.6 degrees wide."""
    column = posterior.parameters.names.index("position_angle")
    shift = np.eye(posterior.parameters.ndim)[column] * (1.58 - 3.1)
    north = dataclasses.replace(posterior, samples=posterior.samples + shift)
    row = north.summary()["position_angle_deg"]
    size = np.sqrt(posterior.effective_sample_size)
    assert abs((row["q50"] - (np.degrees(1.58) - 90) + 180) % 360 - 180) < 4.5 * 1.3 * 4.6 / size
    assert abs(row["q16"] - (360 + np.degrees(1.5) - 90)) < 4.5 * 1.5 * 4.6 / size
    assert abs(row["q84"] - (np.degrees(1.66) - 90)) < 4.5 * 1.5 * 4.6 / size
    assert row["std"] == pytest.approx(posterior.summary()["position_angle_deg"]["std"], rel=1e-6)


def test_shown_quantities_follow_the_free_parameters(posterior):
    fixed = posterior.parameters.replace("inclination", value=0.8)
    names = [q.name for q in shown_quantities(fixed)]
    assert names[:3] == ["x0", "y0", "position_angle_deg"]
    assert "inclination_deg" not in names


def test_the_models_angle_runs_over_its_cut(posterior):
    size = posterior.effective_sample_size
    angle = parameter_summary(posterior)["position_angle"]
    # 3.1 +- 0.08 runs over pi: the upper quantiles come back at the other end.
    assert abs(angle["q16"] - 3.02) < 4.5 * 0.08 * 1.5 / np.sqrt(size)
    assert abs(angle["q84"] - (3.18 - 2 * np.pi)) < 4.5 * 0.08 * 1.5 / np.sqrt(size)
    assert abs(angle["std"] - 0.08) < 4.5 * 0.08 / np.sqrt(2 * size)


def test_derived_quantities(posterior):
    derived = derived_summary(posterior)
    assert derived["position_angle_deg"]["truth"] == pytest.approx(np.degrees(3.1) - 90)
    assert derived["position_angle_deg"]["q50"] == pytest.approx(87.6, abs=0.5)
    assert derived["inclination_deg"]["truth"] == pytest.approx(np.degrees(0.8))
    mass = 10**10.0 + 10**10.5
    assert derived["log10_stellar_mass"]["truth"] == pytest.approx(np.log10(mass))
    assert derived["bulge_fraction"]["truth"] == pytest.approx(10**10.0 / mass)
    assert derived["log10_halo_mass"]["truth"] == pytest.approx(np.log10(mass) + 1.6)
    assert "truth" not in derived_summary(dataclasses.replace(posterior, truth={}))["bulge_fraction"]


def test_derived_quantities_know_fixed_and_tied_parameters(posterior):
    parameters = posterior.parameters.replace("log10_bulge_mass", tied="log10_disc1_mass")
    keep = [i for i, name in enumerate(posterior.parameters.names) if name != "log10_bulge_mass"]
    tied = dataclasses.replace(
        posterior, parameters=parameters, samples=posterior.samples[:, keep], best=posterior.best[keep]
    )
    row = derived_summary(tied)["bulge_fraction"]
    assert row["q05"] == row["q95"] == pytest.approx(0.5)
    assert tied.best_values()["log10_bulge_mass"] == tied.best_values()["log10_disc1_mass"]


def test_equally_weighted_samples_repeat_as_little_as_possible(posterior):
    n = 5000
    rows = posterior.equal_weight_indices(n, seed=3)
    counts = np.bincount(rows, minlength=len(posterior.samples))
    # Systematic resampling takes each sample either floor or ceil of its share.
    assert np.all(np.abs(counts - n * posterior.weights) < 1)
    np.testing.assert_array_equal(posterior.equal_weight_samples(n, 3), posterior.samples[rows])
    assert not np.array_equal(rows, posterior.equal_weight_indices(n, seed=4))


def test_inconsistent_posteriors_are_refused(posterior):
    with pytest.raises(InputError, match="normalised"):
        dataclasses.replace(posterior, log_weights=posterior.log_weights + 0.1)
    with pytest.raises(InputError, match="log_likelihood"):
        dataclasses.replace(posterior, log_likelihood=posterior.log_likelihood[:-1])
    with pytest.raises(InputError, match="13 columns; 14"):
        dataclasses.replace(posterior, samples=posterior.samples[:, :-1])
    with pytest.raises(InputError, match="chains"):
        dataclasses.replace(posterior, chains=3)


def test_arviz_sees_equally_weighted_draws(posterior):
    data = posterior.to_arviz()
    draws = np.asarray(data["posterior"]["log10_disc1_mass"])
    row = posterior.summary()["log10_disc1_mass"]
    size = posterior.effective_sample_size
    assert draws.shape == (1, int(np.ceil(size)))
    # Systematic resampling adds at most as much variance as the samples have.
    assert abs(draws.mean() - row["mean"]) < 4 * row["std"] / np.sqrt(size)
    assert data.attrs["log_evidence"] == posterior.log_evidence
    assert data["posterior"]["log10_disc1_mass"].attrs["units"] == "dex(Msun)"


SCRIPT = """
import sys
from galfit_sr.inference.results import Posterior
assert "arviz" not in sys.modules
posterior = Posterior.load(sys.argv[1])
assert "arviz" not in sys.modules
posterior.to_arviz()
from galfit_sr.inference.arviz_library import arviz
data = arviz().from_netcdf(sys.argv[1])
print(float(data["posterior"]["x0"].mean()))
"""


def test_arviz_opens_the_file_and_no_warning_of_it_reaches_a_user(posterior, tmp_path):
    """In a fresh process, with a fresh cache: ArviZ 0.23 warns once a day and remembers in the cache."""
    posterior.save(tmp_path / "posterior.nc")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / "posterior.nc")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    row = posterior.summary()["x0"]
    assert abs(float(result.stdout) - row["mean"]) < 4 * row["std"] / np.sqrt(posterior.effective_sample_size)
