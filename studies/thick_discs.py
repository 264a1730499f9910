"""Lines of sight through a thick disc, tables against quadrature: `python studies/thick_discs.py`.

Elliptic radii of 0.003 to 20 disc lengths, eight inclinations from 5 to 90 degrees, thicknesses from 0.05 to 0.4,
through two rotation curves of 200 km/s: one that rises within 0.3 lengths and one of a compact bulge in a disc. The
yardstick is the quadrature of which the tables are made; that with fewer nodes stands beside them. Writes
studies/results/thick_discs.json.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from galfit_sr.model.geometry import deproject
from galfit_sr.model.line_of_sight import NODES, lines_of_sight
from galfit_sr.model.thick_disc import moments

jax.config.update("jax_enable_x64", True)
FEWER = ((6, 6, 4), (10, 10, 8), (16, 16, 12), (24, 24, 16))
INCLINATIONS = (5, 30, 60, 75, 80, 84, 87, 90)
THICKNESSES = (0.05, 0.1, 0.2, 0.4)
RANGES = {"0.003 to 20": (0.0, 21.0), "0.02 to 8": (0.02, 8.0)}
SPEED = 200.0
CURVES = {
    "rising": lambda r: SPEED * np.sqrt(r**2 / (r**2 + 0.09)),
    "bulge": lambda r: SPEED * np.sqrt(0.2 * r / (r + 0.05) ** 2 + r**2 / (r**2 + 1) ** 1.5),
}
RADIUS, ANGLE = np.geomspace(0.003, 20, 30)[:, None], np.linspace(0.003, np.pi / 2 - 0.003, 24)[None, :]
ALONG, ACROSS = RADIUS * np.cos(ANGLE), RADIUS * np.sin(ANGLE)


def by_quadrature(inclination, thickness, curve, nodes=NODES):
    """log10 density, velocity and second moment's root at all lines (k=1)."""
    cosine, sine = np.cos(inclination), np.sin(inclination)
    lines = lines_of_sight(ALONG, ACROSS, 2 * cosine / (thickness * sine), nodes)
    speed = CURVES[curve](lines.radius)
    return np.stack(
        [
            np.log10(lines.density / np.hypot(cosine, thickness * sine)),
            sine * (lines.share * speed * ALONG[..., None] / lines.radius).sum(-1),
            np.sqrt((lines.share * speed**2).sum(-1)),
        ]
    )


def by_tables(inclination, thickness, curve):
    """The same."""
    cosine, sine = np.cos(inclination), np.sin(inclination)
    across = ACROSS * np.hypot(cosine, thickness * sine)
    pose = {"position_angle": 0.0, "inclination": inclination}
    geometry = deproject(pose, jnp.asarray(ALONG.ravel()), jnp.asarray(across.ravel()), jnp.asarray(0.0))
    seen = moments(geometry, jnp.asarray(thickness), jnp.asarray(1.0), CURVES[curve])
    values = jnp.stack([jnp.log10(seen.density), sine * seen.cosine, jnp.sqrt(seen.squared)])
    return np.asarray(values).reshape(3, *ALONG.shape)


def main() -> None:
    """Print and keep the table."""
    cases = [(np.deg2rad(i), q, curve) for i in INCLINATIONS for q in THICKNESSES for curve in CURVES]
    exact = np.array([by_quadrature(*case) for case in cases])
    seen = {"tables": np.array([by_tables(*case) for case in cases])}
    for nodes in FEWER:
        seen[", ".join(map(str, nodes))] = np.array([by_quadrature(*case, nodes) for case in cases])
    rows = []
    for name, values in seen.items():
        for region, (low, high) in RANGES.items():
            error = np.abs(values - exact)[:, :, (low < RADIUS[:, 0]) & (RADIUS[:, 0] < high)]
            largest, typical = error.max((0, 2, 3)), np.median(error.max((2, 3)), axis=0)
            rows.append({"by": name, "radii": region, "largest": list(largest), "median_of_largest": list(typical)})
            print(name, region, "dex, km/s, km/s:", np.round(largest, 5), "median", np.round(typical, 5))
    path = Path(__file__).parent / "results" / "thick_discs.json"
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
