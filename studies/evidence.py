"""Does the evidence depend on how it was got? Two starts, walks twice as long, several seeds, on three mock galaxies.

    python studies/evidence.py GALAXY [GALAXY...]      (bundled, two_modes, inclined)

Appends one line per run to studies/results/evidence.jsonl, and leaves out the runs that are there already. The bundled
galaxy has 80x80 pixels, the other two 20x20, whose likelihood takes a fifth of the time. `two_modes` is the bundled
galaxy without its velocities: which side recedes is then unknown, and the posterior has two modes, half a turn apart,
of the same weight. `inclined` is a draw from the prior.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np

import galfit_sr as gs
from galfit_sr.inference.fit import pose
from galfit_sr.inference.nested import Nested
from galfit_sr.inference.stage import sample
from galfit_sr.observations.mock import MOCK_TRUTH
from galfit_sr.priors import Prior

RESULTS = Path(__file__).parent / "results" / "evidence.jsonl"
RUNS = (
    Nested(walks=60),
    Nested(walks=120),
    Nested(start="prior", nlive=500, walks=60),
    Nested(start="prior", nlive=500, walks=120),
)


def galaxy(name: str) -> gs.Observation:
    """One of the three, the same every time."""
    if name == "bundled":
        return gs.read(gs.mock_galaxy_path())
    model = gs.GalaxyModel(canvas=gs.Canvas(20, 2.0))
    if name == "two_modes":
        observation = gs.make_mock(MOCK_TRUTH, model=model, seed=1, name=name)
        still = observation.good._replace(velocity=np.zeros_like(observation.good.velocity))
        return dataclasses.replace(observation, good=still)
    prior = Prior(gs.default_parameters())
    drawn = prior.sample(jax.random.key(2), 1)[0]
    values = {k: float(v) for k, v in prior.parameters.complete(drawn).items()}
    return gs.make_mock(values, model=model, seed=2, name=name)


def main(names: list[str], runs: tuple[Nested, ...] = RUNS) -> None:
    """Runs the study."""
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(row["galaxy"], row["start"], row["walks"], row["nlive"]) for row in known}
    for settings, name in itertools.product(runs, names):
        if (name, settings.start, settings.walks, settings.nlive) in done:
            continue
        began = time.monotonic()
        _, run, calls, _ = sample(pose(galaxy(name)), settings, seed=1)
        weights = np.exp(run.log_weights)
        row = {
            "galaxy": name,
            "start": settings.start,
            "walks": settings.walks,
            "nlive": settings.nlive,
            "log_evidence": round(run.log_evidence, 3),
            "error": round(run.log_evidence_error, 3),
            "information": round(run.information, 2),
            "calls": calls,
            "seconds": round(time.monotonic() - began, 1),
            "effective_samples": round(1 / np.sum(weights**2)),
            "acceptance": round(run.diagnostics["acceptance"], 3),
        }
        print(row, flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
