"""How fast the model, the likelihood and their gradients are on this machine, beside plain NumPy and SciPy."""

from __future__ import annotations

import dataclasses
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from rich.table import Table

from ..inference.likelihood import LikelihoodSettings
from ..inference.problem import Arrays, Target, make_problem
from ..maps import Maps, Observation
from ..model.galaxy import GalaxyModel
from ..model.grid import FULL_RESOLUTION, LOW_RESOLUTION, Canvas
from ..model.scene import Scene, make_scene
from ..observations.mock import MOCK_THICKNESS, MOCK_TRUTH
from ..parameters import COMPONENT_NAMES, THICK, default_parameters
from ..priors import Prior
from ..processes import cores_here
from ..progress import Progress
from ..psf import IMAGING, SPECTROSCOPY, GaussianPSF
from .plain import plain_maps
from .rendering import text

REDSHIFT = 0.03
BATCH = 16
OVERSAMPLE = 25
"""Parts of a pixel's side in the plain `pixel` maps."""

_ERRORS = Maps(0.02, 5.0, 5.0, 0.2)
_EDGE_ON = 1.48
_WITH_THICK_DISCS = ("bulge", THICK + "disc1", THICK + "disc2", "halo")
_LEAST_SECONDS, _LEAST_RUNS, _MOST_RUNS = 0.5, 5, 500


@dataclasses.dataclass(frozen=True)
class Setting:
    """One kind of map: canvas, fidelity, whether there is a point spread function, and what the galaxy consists of."""

    name: str
    canvas: Canvas
    fidelity: Literal["point", "pixel"]
    psf: bool
    components: tuple[str, ...] = COMPONENT_NAMES

    @property
    def model(self) -> GalaxyModel:
        """What makes the maps."""
        return GalaxyModel(self.components, self.canvas, self.fidelity)

    @property
    def thick(self) -> bool:
        """Whether there are thick discs, which the plain implementation lacks."""
        return any(name.startswith(THICK) for name in self.components)

    @property
    def truth(self) -> dict[str, float]:
        """The galaxy's parameters; with thick discs it is nearly edge-on."""
        values = {**MOCK_TRUTH, **MOCK_THICKNESS, **({"inclination": _EDGE_ON} if self.thick else {})}
        return {name: values[name] for name in default_parameters(self.components).names}

    @property
    def psfs(self) -> tuple[GaussianPSF | None, GaussianPSF | None]:
        """Of photometry and kinematics."""
        return (IMAGING, SPECTROSCOPY) if self.psf else (None, None)


SETTINGS = (
    Setting("80x80 point", FULL_RESOLUTION, "point", True),
    Setting("80x80 pixel", FULL_RESOLUTION, "pixel", True),
    Setting("20x20 point, no PSF", LOW_RESOLUTION, "point", False),
    Setting("80x80 pixel, thick", FULL_RESOLUTION, "pixel", True, _WITH_THICK_DISCS),
    Setting("20x20 point, no PSF, thick", LOW_RESOLUTION, "point", False, _WITH_THICK_DISCS),
)


def benchmark(settings: tuple[Setting, ...] = SETTINGS, progress: Progress | None = None) -> dict[str, Any]:
    """Times everything, one after the other; medians of several runs, after one that compiles.

    Args:
        settings: kinds of map.
        progress: called with stage, fraction done and what is timed.

    Returns:
        `machine`; `rows`, each with `setting`, `what` (maps, likelihood, gradient), `precision`, `compile_s`,
        `single_ms`, `batched_ms` (per galaxy, in batches of `batch`), `plain_ms` and `speed_up` (plain over single);
        these two None but for maps, and for thick discs; all ready for JSON.
    """
    report = progress or (lambda stage, fraction, detail: None)
    plain = {}
    for i, setting in enumerate(settings):
        report("plain NumPy and SciPy", i / len(settings), setting.name)
        plain[setting.name] = _plain(setting)
    rows = []
    steps = [(p, s) for p in ("float32", "float64") for s in settings]
    for i, (precision, setting) in enumerate(steps):
        report("galfit_sr", i / len(steps), f"{setting.name}, {precision}")
        milliseconds, maps = plain[setting.name]
        with jax.enable_x64(precision == "float64"), no_stored_programs():
            for what, function, arguments in _functions(setting, maps):
                row: dict[str, Any] = {"setting": setting.name, "what": what, "precision": precision}
                row |= time_compiled(function, *arguments)
                compared = what == "maps" and milliseconds is not None
                row["plain_ms"] = milliseconds if compared else None
                row["speed_up"] = milliseconds / row["single_ms"] if compared else None
                rows.append(row)
    report("galfit_sr", 1.0, "")
    return {"machine": _machine(), "batch": BATCH, "plain_oversample": OVERSAMPLE, "rows": rows}


def _functions(setting: Setting, maps: Maps) -> Iterator[tuple[str, Callable, tuple[jax.Array, Scene | Arrays]]]:
    """What is timed: name, function of a flat vector and of the rest, its arguments."""
    model = setting.model
    parameters = default_parameters(model.components)
    theta = jnp.asarray(parameters.flatten(setting.truth), jnp.result_type(float))

    def all_maps(vector: jax.Array, scene: Scene) -> Maps:
        return model(parameters.complete(vector), scene).maps

    scene = make_scene(setting.canvas, REDSHIFT, *setting.psfs, fidelity=setting.fidelity)
    yield "maps", all_maps, (theta, scene)
    if not setting.psf:
        # Data always have one; without, there is only the model that a network starts from.
        return
    shape = (setting.canvas.size,) * 2
    observation = Observation(
        name=setting.name,
        redshift=REDSHIFT,
        pixel_scale=setting.canvas.pixel_scale,
        psf_photometry=IMAGING,
        psf_kinematics=SPECTROSCOPY,
        values=maps,
        errors=Maps(*(np.full(shape, e) for e in _ERRORS)),
        good=Maps(*(np.ones(shape, bool) for _ in _ERRORS)),
    )
    problem = make_problem(observation, Prior(parameters), model, LikelihoodSettings())
    yield "likelihood", problem.target.log_likelihood, (theta, problem.arrays)
    yield "gradient", partial(_value_and_gradient, problem.target), (theta, problem.arrays)


def _value_and_gradient(target: Target, theta: jax.Array, arrays: Arrays) -> tuple[jax.Array, jax.Array]:
    return jax.value_and_grad(target.log_likelihood)(theta, arrays)


def time_compiled(function: Callable, theta: jax.Array, rest: Scene | Arrays) -> dict[str, float]:
    """Seconds to compile; milliseconds for one galaxy, and per galaxy in a batch of `BATCH`."""
    alone = time_single(function, theta, rest)
    batched = jax.jit(jax.vmap(function, in_axes=(0, None)))
    thetas = jnp.tile(theta, (BATCH, 1))
    jax.block_until_ready(batched(thetas, rest))
    batched_ms = median_ms(lambda: jax.block_until_ready(batched(thetas, rest))) / BATCH
    return {**alone, "batched_ms": batched_ms}


def time_single(function: Callable, theta: jax.Array, rest: Scene | Arrays) -> dict[str, float]:
    """Seconds to compile, and milliseconds for one galaxy."""
    single = jax.jit(function)
    began = time.perf_counter()
    jax.block_until_ready(single(theta, rest))
    compile_seconds = time.perf_counter() - began
    return {
        "compile_s": compile_seconds,
        "single_ms": median_ms(lambda: jax.block_until_ready(single(theta, rest))),
    }


def _plain(setting: Setting) -> tuple[float | None, Maps]:
    """Milliseconds of the plain implementation, and its maps; for thick discs, which it lacks, the model's."""
    if setting.thick:
        scene = make_scene(setting.canvas, REDSHIFT, *setting.psfs, fidelity=setting.fidelity)
        model = jax.jit(setting.model)({k: jnp.asarray(v) for k, v in setting.truth.items()}, scene).maps
        return None, Maps(*(np.asarray(m, np.float64) for m in model))

    def maps() -> Maps:
        return plain_maps(
            setting.truth, setting.canvas, REDSHIFT, *setting.psfs, fidelity=setting.fidelity, oversample=OVERSAMPLE
        )

    return median_ms(maps), maps()


def median_ms(run: Callable[[], Any]) -> float:
    """Milliseconds, the median of a function's wall times: of at least 5 runs and half a second."""
    times: list[float] = []
    while len(times) < _LEAST_RUNS or (sum(times) < _LEAST_SECONDS and len(times) < _MOST_RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


@contextmanager
def no_stored_programs() -> Iterator[None]:
    """Within it, JAX compiles for real: a program from the cache on disk would show a compile time of nothing."""
    before = jax.config.values["jax_enable_compilation_cache"]
    try:
        _store_programs(False)
        yield
    finally:
        _store_programs(before)


def _store_programs(wanted: bool) -> None:
    jax.config.update("jax_enable_compilation_cache", wanted)
    # JAX looks at the setting once, with the first program, and goes on reading and writing.
    reset_cache()


def _machine() -> dict[str, Any]:
    return {
        "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(),
        "processor": _processor(),
        "cores": cores_here(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def as_text(result: dict[str, Any]) -> str:
    """The result of `benchmark` as a table for people."""
    machine = result["machine"]
    table = Table(
        title=f"{machine['processor']}, {machine['cores']} cores; {machine['device']}, JAX {machine['jax']}",
        caption=f"plain: NumPy and SciPy, float64; its pixel maps have {result['plain_oversample']}^2 parts per pixel",
    )
    for heading in ("maps", "timed", "precision"):
        table.add_column(heading)
    for heading in ("compile [s]", "one [ms]", f"of {result['batch']} [ms]", "plain [ms]", "plain / one"):
        table.add_column(heading, justify="right")
    group = None
    for row in result["rows"]:
        if group not in (None, (row["setting"], row["precision"])):
            table.add_section()
        group = row["setting"], row["precision"]
        table.add_row(
            row["setting"],
            row["what"],
            row["precision"],
            f"{row['compile_s']:.1f}",
            f"{row['single_ms']:.2f}",
            f"{row['batched_ms']:.2f}",
            "" if row["plain_ms"] is None else f"{row['plain_ms']:.1f}",
            "" if row["speed_up"] is None else f"{row['speed_up']:.0f}",
        )
    return text(table, 110)
