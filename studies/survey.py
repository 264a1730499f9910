"""What does a survey cost, does it scale, and what survives? The study behind the numbers in docs/surveys.md.

    python studies/survey.py trial      64 galaxies and 3 broken files on two workers, one killed; stopped, resumed
    python studies/survey.py scaling    12 galaxies on one core and on two
    python studies/survey.py memory     200 galaxies on one worker

or as many as a number after that says. Mock galaxies on 20x20 pixels with two free parameters, so that a fit takes
seconds; for the scaling, with six. Each part is kept in studies/results/survey.json as soon as it is measured.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import galfit_sr as gs
from galfit_sr.choices import Choice
from galfit_sr.config import FitConfig, ModelConfig
from galfit_sr.files import write_text
from galfit_sr.observations.mock import MOCK_TRUTH

RESULTS = Path(__file__).parent / "results" / "survey.json"
MODEL = gs.GalaxyModel(canvas=gs.Canvas(20, 2.0), fidelity="point")
SECONDS = ("inclination", "ml_disc2")
LONGER = (*SECONDS, "position_angle", "log10_disc2_mass", "log10_disc2_radius", "k_disc2")


def config(free: tuple[str, ...], sampler: gs.Nested) -> FitConfig:
    """Of fits with these parameters free, and all others at the truth."""
    return FitConfig(
        model=ModelConfig(fidelity="point"),
        parameters={n: Choice(value=MOCK_TRUTH[n]) for n in gs.default_parameters().names if n not in free},
        orders=(),
        sampler=sampler,
        seed=1,
    )


QUICK = config(SECONDS, gs.Nested(nlive=40, walks=10))
REAL = config(LONGER, gs.Nested(nlive=200))


def mocks(folder: Path, number: int) -> list[Path]:
    """So many galaxies of different inclination and noise."""
    files = [folder / f"mock{i:03d}.fits" for i in range(number)]
    for i, file in enumerate(files):
        truth = {**MOCK_TRUTH, "inclination": 0.3 + 0.6 * i / number}
        gs.write_observation(file, gs.make_mock(truth, model=MODEL, seed=i, fibres=0, name=file.stem))
    return files


def broken(folder: Path, good: Path) -> list[Path]:
    """Three files: cut off, no FITS file, nothing."""
    files = [folder / name for name in ("broken_cut.fits", "broken_text.fits", "broken_absent.fits")]
    files[0].write_bytes(good.read_bytes()[:9000])
    files[1].write_text("not a galaxy\n")
    return files


def _survey(
    files: list[Path], out: Path, workers: int, resume: bool, killing: int | None, settings: FitConfig = QUICK
) -> None:
    """A survey that kills one of its workers when so many galaxies have ended."""
    killed = []

    def look(phrase: str, share: float | None, words: str) -> None:
        ended = sorted((out / "outcomes").glob("mock*.json"), key=lambda file: file.stat().st_mtime)
        if killing is not None and not killed and len(ended) >= killing:
            killed.append(json.loads(ended[-1].read_text())["worker"]["process"])
            os.kill(killed[0], signal.SIGKILL)
        print(words, flush=True)

    gs.survey(None if resume else files, out, config=None if resume else settings, workers=workers, resume=resume,
              progress=look)  # fmt: skip
    assert killing is None or killed


def trial(folder: Path, number: int = 64) -> dict[str, Any]:
    """Killed and broken; then the same, stopped by kill -9 of all when a third is done, and resumed."""
    files = mocks(folder, number)
    files += broken(folder, files[0])
    began = time.monotonic()
    _survey(files, folder / "one", 2, False, number // 2)
    seconds = time.monotonic() - began
    catalogue = (folder / "one" / "catalogue.fits").read_bytes()
    done = _outcomes(folder / "one")
    fitted = [outcome for outcome in done if outcome["status"] == "done"]

    other = folder / "two"
    process = multiprocessing.get_context("spawn").Process(target=_survey, args=(files, other, 2, False, None))
    process.start()
    while len(list((other / "outcomes").glob("mock*.json"))) < number // 3:
        time.sleep(0.5)
    process.kill()
    process.join()
    stopped = {file.name: file.stat().st_mtime_ns for file in (other / "outcomes").glob("mock*.json")}
    _survey(files, other, 2, True, None)
    return {
        "galaxies": len(files),
        "done": len(fitted),
        "failed": {o["name"]: o["reason"].replace(str(folder), "") for o in done if o["status"] != "done"},
        "processes": len({outcome["worker"]["process"] for outcome in fitted}),
        "minutes": round(seconds / 60, 1),
        "done_when_stopped": len(stopped),
        "done_twice_after_the_stop": sum(
            (other / "outcomes" / name).stat().st_mtime_ns != when for name, when in stopped.items()
        ),
        "same_catalogue_after_the_stop": (other / "catalogue.fits").read_bytes() == catalogue,
    }


def scaling(folder: Path, number: int = 12) -> dict[str, Any]:
    """Throughput once every worker has its programs, and what a survey takes beyond its fits.

    On one core, and on two: by a worker of one core each, and by a single worker, which spreads its fits over both.
    Once more in the opposite order, since a machine is not the same all the time.
    """
    files = mocks(folder, number)
    cores = sorted(os.sched_getaffinity(0))
    ways = (("one core", 1, 1), ("two workers", 2, 2), ("one worker, two cores", 1, 2))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name, _, _ in ways}
    for name, workers, used in (*ways, *ways[::-1]):
        out = folder / f"{name} {len(found[name])}"
        began = time.monotonic()
        os.sched_setaffinity(0, cores[:used])
        try:
            _survey(files, out, workers, False, None, REAL)
        finally:
            os.sched_setaffinity(0, cores)
        wall = time.monotonic() - began
        fits = sum(json.loads(file.read_text())["wall_seconds"] for file in out.glob("galaxies/*/summary.json"))
        found[name].append(
            {"seconds": round(wall, 1), "beyond_the_fits": round(workers * wall / fits - 1, 4), **pace(out)}
        )
    one, two = (np.mean([run["galaxies_per_hour"] for run in found[name]]) for name in ("one core", "two workers"))
    return {"galaxies": number, **found, "throughput_ratio": round(two / one, 3)}


def pace(out: Path) -> dict[str, Any]:
    """Throughput and overhead, of each process from the end of its first fit, when it has all programs."""
    fits: dict[int, list[tuple[float, float]]] = {}
    for outcome in _outcomes(out):
        if outcome["status"] == "done":
            end = (out / "outcomes" / f"{outcome['name']}.json").stat().st_mtime
            fits.setdefault(outcome["worker"]["process"], []).append((end, outcome["worker"]["seconds"]))
    lines = [sorted(line) for line in fits.values() if len(line) > 1]
    spans = [line[-1][0] - line[0][0] for line in lines]
    busy = [sum(seconds for _, seconds in line[1:]) for line in lines]
    later = [len(line) - 1 for line in lines]
    return {
        "galaxies_per_hour": round(3600 * sum(n / span for n, span in zip(later, spans, strict=True)), 1),
        "seconds_per_fit": round(sum(busy) / sum(later), 2),
        "first_fits_seconds": [round(line[0][1], 1) for line in lines],
        "overhead": round(sum(spans) / sum(busy) - 1, 4),
    }


def memory(folder: Path, number: int = 200) -> dict[str, Any]:
    """Of a worker's process after each galaxy [MiB]."""
    files = mocks(folder, number)
    _survey(files, folder / "out", 1, False, None)
    outcomes = {outcome["name"]: outcome["worker"] for outcome in _outcomes(folder / "out")}
    half = number // 2
    sizes = [round(outcomes[file.stem]["memory"]) for file in files]
    return {
        "galaxies": len(sizes),
        "MiB_after": {str(n): sizes[n - 1] for n in (1, 2, 10, 50, 100, 150, 200) if n <= number},
        "MiB_per_galaxy_in_the_second_half": round(float(np.polyfit(range(half), sizes[-half:], 1)[0]), 3),
        **pace(folder / "out"),
        "compiled": [outcomes[file.stem]["compiled"] for file in files[:3]],
        "compiled_after_the_first": sum(outcomes[file.stem]["compiled"] for file in files[1:]),
    }


def _outcomes(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((out / "outcomes").glob("*.json"))]


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"trial": trial, "scaling": scaling, "memory": memory}


def main() -> None:
    """Measures one part and keeps it."""
    part = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        found = PARTS[part](Path(folder), *map(int, sys.argv[2:]))
    found["load_average_at_the_end"] = round(os.getloadavg()[1], 1)
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    text = json.dumps({**kept, part: found}, indent=1) + "\n"
    print(text)
    write_text(RESULTS, text)


if __name__ == "__main__":
    main()
