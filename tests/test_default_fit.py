"""The README's first command, whole: the bundled galaxy comes out as it went in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import galfit_sr as gs
from galfit_sr.inference.statistics import quantiles


@pytest.mark.slow
def test_default_fit_recovers_the_truth(tmp_path):
    command = Path(sys.executable).with_name("galfit-sr")
    done = subprocess.run(
        [command, "fit", "--json"],
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["converged"]
    folder = tmp_path / summary["folder"]
    assert (folder / "report.html").stat().st_size > 100_000
    posterior = gs.Posterior.load(folder / "posterior.nc")
    inside = 0
    names = posterior.parameters.names
    for name, column in zip(names, posterior.samples.T, strict=True):
        low, high = quantiles(column, posterior.weights, (0.005, 0.995))
        inside += low < posterior.truth[name] < high
    assert len(names) == 18
    # Each is outside once in a hundred times: two of eighteen once in seventy.
    assert inside >= 17
    for name, chi2 in posterior.reduced_chi2.items():
        assert 0.9 < chi2 < 1.1, name
