"""Do three samplers give the same posteriors? Nested sampling, NUTS and nested slice sampling on four mock galaxies.

    python studies/agreement.py

The bundled galaxy and two of the study of emulators have 80x80 pixels, the fourth, a draw from the prior, 20x20.
Nested sampling is the reference. Posteriors are kept in a folder and not made again; the comparison goes to
studies/results/agreement.json. Processor time is reported as well as seconds: it depends less on what else runs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jax

import galfit_sr as gs
from galfit_sr.analysis.study import mock
from galfit_sr.priors import Prior

RESULTS = Path(__file__).parent / "results" / "agreement.json"
SAMPLERS = {"nested": gs.Nested(), "nuts": gs.Nuts(), "nss": gs.Nss()}
DRAW = 4
STUDIED = ("inclined", "typical")
GALAXIES = ("bundled", *STUDIED, "draw")


def galaxy(name: str) -> gs.Observation:
    """One of the four, the same every time."""
    if name == "bundled":
        return gs.read(gs.mock_galaxy_path())
    if name in STUDIED:
        return mock(name)
    prior = Prior(gs.default_parameters())
    values = prior.parameters.complete(prior.sample(jax.random.key(DRAW), 1)[0])
    model = gs.GalaxyModel(canvas=gs.Canvas(20, 2.0))
    return gs.make_mock({key: float(value) for key, value in values.items()}, model=model, seed=DRAW, name=name)


def fitted(observation: gs.Observation, sampler: str, folder: Path) -> gs.Posterior:
    """The posterior; how long it took lies beside it."""
    file = folder / f"{observation.name} {sampler}.nc"
    if not file.exists():
        began = time.process_time()
        posterior = gs.fit(observation, sampler=SAMPLERS[sampler], seed=1)
        spent = {"processor_seconds": time.process_time() - began, "seconds": posterior.wall_seconds}
        posterior.save(file)
        file.with_suffix(".json").write_text(json.dumps(spent))
    return gs.Posterior.load(file)


def main(folder: Path) -> None:
    """Runs the study."""
    gs.start_jax()
    folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in GALAXIES:
        observation = galaxy(name)
        posteriors = {sampler: fitted(observation, sampler, folder) for sampler in SAMPLERS}
        summary = gs.compare(*posteriors.values(), labels=list(posteriors)).summary()
        rows = {}
        for sampler, posterior in posteriors.items():
            run = summary["runs"][sampler]
            spent = json.loads((folder / f"{observation.name} {sampler}.json").read_text())
            row = {key: run[key] for key in ("converged", "log_evidence", "log_evidence_error", "n_likelihood_calls")}
            row |= {"effective_samples": run["effective_sample_size"], **spent, "settings": posterior.sampler_settings}
            if sampler in summary["contrasts"]:
                row |= against(summary["contrasts"][sampler])
            rows[sampler] = row
            print(name, sampler, row, flush=True)
        found[name] = rows
        RESULTS.write_text(json.dumps(found, indent=1))


def against(contrast: dict) -> dict:
    """The free parameters farthest off in mean and in width, with their errors, and what is significant."""
    free = {name: row for name, row in contrast["quantities"].items() if row["free"]}
    shift = max(free, key=lambda name: abs(free[name]["shift"]["value"]))
    width = max(free, key=lambda name: abs(free[name]["width_ratio"]["value"] - 1))
    return {
        "largest_shift": [shift, free[shift]["shift"]["value"], free[shift]["shift"]["error"]],
        "largest_width": [width, free[width]["width_ratio"]["value"], free[width]["width_ratio"]["error"]],
        "significant": [
            f"{name} {measure}"
            for name, row in free.items()
            for measure in ("shift", "width_ratio")
            if row[measure]["significant"]
        ],
        "log_evidence_difference": contrast["log_evidence_difference"],
        "log_evidence_difference_error": contrast["log_evidence_difference_error"],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("agreement"))
