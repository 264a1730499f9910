"""Nodes against error of the lines of sight through a thick disc: `python studies/thick_discs.py`.

Lines of sight at 0.003 to 20 disc lengths, seven inclinations from 5 to 90 degrees, thicknesses from 0.05 to 0.4,
through two rotation curves of 200 km/s: one that rises within 0.3 lengths and one of a compact bulge in a disc. The
yardstick has 40 nodes on each of the three pieces. Writes studies/results/thick_discs.json.
"""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from galfit_sr.model import line_of_sight

jax.config.update("jax_enable_x64", True)
NODES = ((6, 6, 4), (8, 8, 6), (10, 10, 8), (12, 12, 8), (12, 12, 12), (16, 16, 12))
INCLINATIONS = (5, 30, 60, 75, 84, 87, 90)
THICKNESSES = (0.05, 0.1, 0.2, 0.4)
SPEED = 200.0
CURVES = {
    "rising": lambda r: SPEED**2 * r**2 / (r**2 + 0.09),
    "bulge": lambda r: SPEED**2 * (0.2 * r / (r + 0.05) ** 2 + r**2 / (r**2 + 1) ** 1.5),
}


def seen(nodes: tuple[int, int, int], curve: str) -> tuple[np.ndarray, float]:
    """log10 density, velocity, second moment's root at all lines (k=1), and seconds for one inclination's lines."""
    line_of_sight.NODES = nodes
    radius, angle = np.geomspace(0.003, 20, 30)[:, None], np.linspace(0.003, np.pi / 2 - 0.003, 24)[None, :]

    @jax.jit
    def run(inclination, thickness):
        cosine, sine = jnp.cos(inclination), jnp.sin(inclination)
        across = jnp.asarray(radius * np.sin(angle)) * jnp.sqrt(cosine**2 + (thickness * sine) ** 2)
        along = jnp.asarray(radius * np.cos(angle))
        m = line_of_sight.moments(along, across, cosine, sine, thickness, lambda r: jnp.sqrt(CURVES[curve](r)))
        return jnp.stack([jnp.log10(m.density), sine * m.cosine, jnp.sqrt(m.squared)])

    cases = [(np.deg2rad(i), q) for i in INCLINATIONS for q in THICKNESSES]
    values = np.array([run(*case) for case in cases])
    start = time.perf_counter()
    jax.block_until_ready([run(*case) for case in cases])
    return values, (time.perf_counter() - start) / len(cases)


def main() -> None:
    """Print and keep the table."""
    exact = {curve: seen((40, 40, 40), curve)[0] for curve in CURVES}
    rows = []
    for nodes in NODES:
        errors, seconds = [], 0.0
        for curve in CURVES:
            values, seconds = seen(nodes, curve)
            errors.append(np.abs(values - exact[curve]))
        stacked = np.stack(errors)
        largest = stacked.max((0, 1, 3, 4))
        typical = np.quantile(stacked.max((3, 4)), 0.5, axis=(0, 1))
        rows.append(
            {
                "nodes": nodes,
                "largest": [float(x) for x in largest],
                "median_of_largest": [float(x) for x in typical],
                "milliseconds": 1e3 * seconds,
            }
        )
        print(nodes, "dex, km/s, km/s:", np.round(largest, 4), "ms for 720 lines:", round(1e3 * seconds, 3))
    path = Path(__file__).parent / "results" / "thick_discs.json"
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
