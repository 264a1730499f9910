"""What does a fit find when its assumptions are wrong, and what do remedies mend? The study behind docs/mismatch.md.

    python studies/mismatch.py [SEEDS]                 (5 noise seeds if not given)

The bundled galaxy's parameters on 20x20 pixels of 1 arcsec, with half of MaNGA's noise: as much information as spaxels
of 0.5 arcsec hold. Each row of `FITS` spoils the mock in one way and fits it by one likelihood. Posteriors are kept as
means and deviations in studies/results/mismatch.json, and what is there is not repeated; the table goes to the output.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
from scipy.special import erf

import galfit_sr as gs
from galfit_sr.analysis.rendering import json_text
from galfit_sr.files import write_text
from galfit_sr.inference.derived import parameter_summary
from galfit_sr.observations.mock import MOCK_TRUTH
from galfit_sr.observations.region import apply_region
from galfit_sr.parameters import JITTER

RESULTS = Path(__file__).parent / "results" / "mismatch.json"
MODEL = gs.GalaxyModel(canvas=gs.Canvas(20, 1.0))
SAMPLER = gs.Nested(nlive=50, walks=30)
CORRELATION = 2.5
"""FWHM [arcsec] of what smooths the noise: 2.5 pixels."""
STAR = (3.0, -2.6)
"""Offset of the star from the middle [arcsec], x towards west and y towards north: 4 arcsec away."""
REGION = "circle(-3, -2.6, 3.5)"
INDEPENDENT = gs.LikelihoodSettings(correlation=0.0)
STUDENT = gs.LikelihoodSettings("student-t")


def mock(seed: int, correlation: float = 0.0) -> gs.Observation:
    """The galaxy without any mismatch, or with correlated noise."""
    return gs.make_mock(MOCK_TRUTH, model=MODEL, noise=0.5, correlation=correlation, fibres=0, seed=seed)


def other_psf(factor: float) -> Callable[[int], gs.Observation]:
    """The mock, said to have PSFs wider than they were by a factor."""

    def spoilt(seed: int) -> gs.Observation:
        seen = mock(seed)
        light, kinematics = (
            gs.GaussianPSF(factor * psf.fwhm)  # type: ignore[union-attr]
            for psf in (seen.psf_photometry, seen.psf_kinematics)
        )
        return dataclasses.replace(seen, psf_photometry=light, psf_kinematics=kinematics)

    return spoilt


def receding(seed: int) -> gs.Observation:
    """The mock by a redshift that is too small by 30 km/s."""
    seen = mock(seed)
    return dataclasses.replace(seen, values=seen.values._replace(velocity=seen.values.velocity + 30.0))


def starry(seed: int) -> gs.Observation:
    """The mock with a foreground star: in its brightest pixel three times as bright as the galaxy there.

    Its light, 300 km/s off, without width and with a mass-to-light ratio of 1, mixes with the galaxy's.
    """
    seen = mock(seed)
    galaxy = 10.0**seen.values.brightness
    image, blurred = (star_image(psf) for psf in (seen.psf_photometry, seen.psf_kinematics))
    flux = 3 * galaxy.ravel()[image.argmax()] / image.max()
    light, spectrum = flux * image, flux * blurred
    _, velocity, dispersion, ml = seen.values
    mean = (galaxy * velocity + spectrum * 300.0) / (galaxy + spectrum)
    square = (galaxy * (velocity**2 + dispersion**2) + spectrum * 300.0**2) / (galaxy + spectrum)
    values = gs.Maps(
        np.log10(galaxy + light), mean, np.sqrt(square - mean**2), (galaxy * ml + light) / (galaxy + light)
    )
    return dataclasses.replace(seen, values=values)


def star_image(psf: Any) -> np.ndarray:
    """(n, n) share of a star's light in each pixel, for a Gaussian PSF."""
    size, pixel = MODEL.canvas.size, MODEL.canvas.pixel_scale
    edges = (np.arange(size + 1) - size / 2) * pixel
    along_x, along_y = (np.diff(erf((edges - place) / psf.fwhm * 2 * np.sqrt(np.log(2)))) / 2 for place in STAR)
    return along_y[:, None] * along_x


def jittered() -> gs.Parameters:
    """The parameters and an extra error of the brightness."""
    parameters = gs.default_parameters()
    return gs.Parameters((*parameters.items, JITTER), parameters.orders)


def drifting() -> gs.Parameters:
    """The parameters and a free systemic velocity, which is what real data get by default."""
    return gs.default_parameters().replace("systemic_velocity", prior=dist.Uniform(-100, 100))


FITS: Mapping[tuple[str, str], tuple[Callable[[int], gs.Observation], Callable[[], Mapping[str, Any]]]] = {
    # (case, remedy): how the mock is made, and with what it is fitted.
    ("none", ""): (mock, dict),
    ("PSF of the fit 20 % too wide", ""): (other_psf(1.2), dict),
    ("PSF of the fit 20 % too narrow", ""): (other_psf(0.8), dict),
    ("correlated noise", ""): (lambda seed: mock(seed, CORRELATION), lambda: {"likelihood": INDEPENDENT}),
    ("correlated noise", "correlation"): (lambda seed: mock(seed, CORRELATION), dict),
    ("redshift off by 30 km/s", ""): (receding, dict),
    ("redshift off by 30 km/s", "free systemic velocity"): (receding, lambda: {"parameters": drifting()}),
    ("foreground star", ""): (starry, dict),
    ("foreground star", "Student-t"): (starry, lambda: {"likelihood": STUDENT}),
    ("foreground star", "jitter of the brightness"): (starry, lambda: {"parameters": jittered()}),
    ("foreground star", "region mask"): (lambda seed: apply_region(starry(seed), REGION), dict),
}


def fitted(case: str, remedy: str, seed: int) -> dict[str, Any]:
    """What is kept of a fit."""
    make, how = FITS[case, remedy]
    began = time.monotonic()
    posterior = gs.fit(make(seed), model=MODEL, sampler=SAMPLER, seed=seed, **how())
    rows = parameter_summary(posterior)
    return {
        "case": case,
        "remedy": remedy,
        "seed": seed,
        "mean": {name: rows[name]["mean"] for name in MOCK_TRUTH},
        "std": {name: rows[name]["std"] for name in MOCK_TRUTH},
        "reduced_chi2": posterior.reduced_chi2,
        "effective_samples": posterior.effective_sample_size,
        "converged": posterior.converged,
        "warnings": posterior.warnings,
        "seconds": time.monotonic() - began,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The kept fits as a Markdown table, a line per case and remedy."""
    lines = [
        "| mismatch | remedy | mean of abs(bias) | largest bias | rms of (mean - truth) / error"
        " | reduced chi^2: light, velocity, dispersion, M/L | warned: neighbours alike, centre, reduced chi^2 |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, remedy in FITS:
        own = [row for row in rows if (row["case"], row["remedy"]) == (case, remedy)]
        if len(own) < 2:
            continue
        off = np.array([[(r["mean"][name] - MOCK_TRUTH[name]) / r["std"][name] for name in MOCK_TRUTH] for r in own])
        bias, scatter = off.mean(axis=0), off.std(axis=0, ddof=1) / np.sqrt(len(own))
        worst = int(np.abs(bias).argmax())
        squares = np.mean(off**2, axis=1)
        rms = float(np.sqrt(squares.mean()))
        error = float(squares.std(ddof=1) / np.sqrt(len(own)) / (2 * rms))
        chi2 = [np.mean([row["reduced_chi2"][name] for row in own]) for name in gs.Maps._fields]
        warned = [
            sum(any(warning.startswith(words) for warning in row["warnings"]) for row in own)
            for words in ("Neighbouring residuals", "The brightest", "The reduced chi^2")
        ]
        lines.append(
            f"| {case} | {remedy or '-'} | {np.abs(bias).mean():.2f} | {bias[worst]:+.1f} +- {scatter[worst]:.1f},"
            f" {list(MOCK_TRUTH)[worst]} | {rms:.2f} +- {error:.2f} | {', '.join(f'{c:.2f}' for c in chi2)}"
            f" | {', '.join(f'{count} of {len(own)}' for count in warned)} |"
        )
    return "\n".join(lines)


def main(seeds: int = 5) -> None:
    """Runs the study, seed by seed, so that what is there after any of them can be compared."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    done = {(row["case"], row["remedy"], row["seed"]) for row in rows}
    for seed in range(1, seeds + 1):
        for case, remedy in FITS:
            if (case, remedy, seed) in done:
                continue
            rows.append(fitted(case, remedy, seed))
            write_text(RESULTS, json_text(rows))
            print(case, remedy, seed, f"{rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
