"""The galaxy model: a tuple of components, seen on a canvas as four maps.

Rigamonti et al. (2022, MNRAS 513, 6111) with the corrections listed in the documentation: light is Sigma/(M/L), and
the dispersion is the full second central moment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..errors import InputError
from ..maps import Maps
from ..parameters import COMPONENT_NAMES, THICK, default_parameters
from .bulge import Bulge
from .component import Component, Rotation, StellarComponent, Values
from .disc import Disc
from .geometry import deproject
from .grid import FULL_RESOLUTION, Canvas
from .halo import Halo
from .kernel import Kernel, convolve, scatter
from .quadrature import hand_over, near_points, outside_window, polar_points, tensor_points
from .scene import FIDELITIES, Scene, check_fidelity
from .thick_disc import ThickDisc

COMPONENTS: dict[str, Component] = {c.name: c for c in (Bulge(), Disc("disc1"), Disc("disc2"), Halo())} | {
    THICK + name: ThickDisc(name) for name in ("disc1", "disc2")
}
DARK = 1e-15
"""Surface brightness [L_sun/kpc^2] added everywhere: 20 magnitudes below any survey, and logarithms stay finite."""
_SOFTENING = 1e-4
_TINY = 1e-16
_COLDEST = 1e-4


class Prediction(NamedTuple):
    """What a predictor gives: four maps, and how uncertain it is about them.

    Attributes:
        maps: brightness [log10 L_sun/kpc^2], velocity and dispersion [km/s], mass-to-light ratio, (n, n) each.
        variance: variances of the same, or None for an exact predictor.
    """

    maps: Maps
    variance: Maps | None


class Planes(NamedTuple):
    """Light-weighted moments, (n, n) each, as the detector sees them.

    Attributes:
        light: through the photometric PSF [L_sun/kpc^2].
        mass: through the photometric PSF [M_sun/kpc^2].
        kinematic_light: light through the kinematic PSF.
        first, second: light times velocity and times velocity^2 + dispersion^2, through the kinematic PSF.
    """

    light: jax.Array
    mass: jax.Array
    kinematic_light: jax.Array
    first: jax.Array
    second: jax.Array


@dataclasses.dataclass(frozen=True)
class GalaxyModel:
    """Full-resolution predictor: parameters and scene in, four maps out; jittable, vmappable, differentiable.

    Attributes:
        components: names of the components, any subset with at least one luminous.
        canvas: pixels of the maps.
        fidelity: `point` takes the model at the pixels' centres; `pixel` integrates over the pixels, cusps included.

    Raises:
        InputError: an unknown component, one twice or none that is luminous, something else for a canvas, or another
            fidelity.
    """

    components: tuple[str, ...] = COMPONENT_NAMES
    canvas: Canvas = FULL_RESOLUTION
    fidelity: str = "pixel"

    def __post_init__(self) -> None:
        default_parameters(self.components)  # which refuses what makes no galaxy
        object.__setattr__(self, "components", tuple(self.components))  # of a list: models must be hashable
        if not isinstance(self.canvas, Canvas):
            raise InputError(f"the canvas is {self.canvas!r}; one such as Canvas(80, 0.5) is needed")
        if self.fidelity not in FIDELITIES:
            raise InputError(f"fidelity is {self.fidelity!r}; allowed are {' and '.join(FIDELITIES)}")

    @property
    def _parts(self) -> tuple[Component, ...]:
        return tuple(COMPONENTS[name] for name in self.components)

    @property
    def _stars(self) -> tuple[StellarComponent, ...]:
        return tuple(c for c in self._parts if isinstance(c, StellarComponent))

    def __call__(self, values: Values, scene: Scene) -> Prediction:
        """The four maps.

        Args:
            values: name -> scalar, all parameters of the components, `systemic_velocity` if not 0.
            scene: from `make_scene` for the same canvas and fidelity.

        Returns:
            exact maps (no variance).
        """
        planes = self.planes(values, scene)
        per_light = 1 / (planes.kinematic_light + DARK)
        velocity = planes.first * per_light
        variance = planes.second * per_light - velocity**2
        maps = Maps(
            jnp.log10(planes.light + DARK),
            velocity + values.get("systemic_velocity", 0.0),
            jnp.sqrt(jnp.maximum(variance, _COLDEST)),
            (planes.mass + DARK) / (planes.light + DARK),
        )
        return Prediction(maps, None)

    def planes(self, values: Values, scene: Scene) -> Planes:
        """The light-weighted moments behind the maps; arguments `values` and `scene` as for `__call__`."""
        check_fidelity(self.fidelity, scene.photometry is not None)
        kpc = scene.kpc_per_pixel
        centre = scene.origin + jnp.stack([values["x0"], values["y0"]]) / kpc
        x, y = (scene.sources - centre[i] for i in (0, 1))
        shape = (y.size, x.size)
        grid_x, grid_y = jnp.broadcast_to(x[None, :], shape).ravel(), jnp.broadcast_to(y[:, None], shape).ravel()
        if self.fidelity == "point":
            sources = self._sources(values, scene, kpc * grid_x, kpc * grid_y, _SOFTENING * kpc, jnp.ones_like(grid_x))
            return _seen(scene, lambda kernel, plane: convolve(kernel, sources[plane].reshape(shape)))

        h = scene.sources[1] - scene.sources[0]
        tensor, polar = tensor_points(), polar_points()
        square = (tensor.u.size, tensor.u.size)
        near_x, near_y, near_weight = near_points(tensor, polar)
        # All points go through the components at once: the program is compiled (and differentiated) a single time.
        sources = self._sources(
            values,
            scene,
            kpc * jnp.concatenate([grid_x, h * jnp.asarray(near_x, kpc.dtype)]),
            kpc * jnp.concatenate([grid_y, h * jnp.asarray(near_y, kpc.dtype)]),
            kpc * jnp.concatenate([jnp.full_like(grid_x, _SOFTENING), jnp.full(near_x.shape, _TINY, kpc.dtype)]),
            h**2
            * jnp.concatenate([outside_window((grid_x**2 + grid_y**2) / h**2), jnp.asarray(near_weight, kpc.dtype)]),
        )
        u = h * jnp.asarray(tensor.u, kpc.dtype)

        def through(kernel: Kernel | None, plane: int) -> jax.Array:
            assert kernel is not None, "refused above"
            smooth, between, central = jnp.split(sources[plane], (x.size * y.size, x.size * y.size + u.size**2))
            between = hand_over(polar, central, between.reshape(square))
            near = scatter(kernel, centre[1] + u, centre[0] + u, between, self.canvas.size)
            return convolve(kernel, smooth.reshape(shape)) + near

        return _seen(scene, through)

    def _sources(
        self,
        values: Values,
        scene: Scene,
        x: jax.Array,
        y: jax.Array,
        softening: jax.Array,
        weight: jax.Array,
    ) -> tuple[jax.Array, ...]:
        """Light, mass, light * v, light * (sigma^2 + v^2) before the PSF, times a weight, at positions [kpc]; flat."""
        x, y, softening, weight = jax.lax.optimization_barrier((x, y, softening, weight))
        geometry = deproject(values, x, y, softening)
        circular_velocity = partial(self.circular_velocity, values, scene.critical_density)
        rotation = Rotation(circular_velocity(geometry.disc_radius), circular_velocity)
        light = mass = first = second = jnp.zeros_like(x)
        for component in self._stars:
            tracer = component.tracer(values, geometry, rotation)
            # The weight goes first: next to a cusp the moments alone would overflow float32.
            stars = tracer.density * weight
            shining = stars / values[f"ml_{component.name}"]
            light += shining
            mass += stars
            first += shining * tracer.velocity
            second += shining * (tracer.dispersion_squared + tracer.velocity**2)
        # Each consumer evaluates again what is cheap. XLA on CPU drops barriers before it fuses: what keeps whole
        # components from being evaluated again there is that they end in a root or an exponential. They are not
        # stacked: a concatenation on CPU is not vectorised together with what it concatenates (ten times slower).
        return jax.lax.optimization_barrier((light, mass, first, second))

    def circular_velocity(self, values: Values, critical_density: jax.Array, radius: jax.Array) -> jax.Array:
        """In the plane of the discs, of all components together.

        Args:
            values: as for `__call__`.
            critical_density: scalar [M_sun/kpc^3], that of the `Scene`.
            radius: (m,) [kpc], or of any other shape.

        Returns:
            (m,) [km/s], the shape of the radius.
        """
        squared = reduce(add, (c.circular_velocity_squared(values, radius, critical_density) for c in self._parts))
        return jnp.sqrt(squared)

    def profiles(self, values: Values, radius: jax.Array, scene: Scene) -> dict[str, dict[str, jax.Array]]:
        """Radial profiles in the plane of the discs, by component and in `total`.

        Args:
            values: as for `__call__`.
            radius: (m,) [kpc], positive.
            scene: for the critical density.

        Returns:
            name -> {"surface_brightness": face-on [L_sun/kpc^2] (stars only), "circular_velocity": [km/s]}, (m,) each.
        """
        profiles: dict[str, dict[str, jax.Array]] = {}
        for component in self._parts:
            squared = component.circular_velocity_squared(values, radius, scene.critical_density)
            profiles[component.name] = {"circular_velocity": jnp.sqrt(squared)}
            if isinstance(component, StellarComponent):
                light = component.face_on_density(values, radius) / values[f"ml_{component.name}"]
                profiles[component.name]["surface_brightness"] = light
        shining = [p["surface_brightness"] for p in profiles.values() if "surface_brightness" in p]
        total = {
            "circular_velocity": jnp.sqrt(reduce(add, (p["circular_velocity"] ** 2 for p in profiles.values()))),
            "surface_brightness": reduce(add, shining),
        }
        return {**profiles, "total": total}


def _seen(scene: Scene, through: Callable[[Kernel | None, int], jax.Array]) -> Planes:
    """The planes, given how each source (light, mass, first, second moment) looks through a kernel."""
    photometry = [through(scene.photometry, plane) for plane in (0, 1)]
    return Planes(*photometry, *(through(scene.kinematics, plane) for plane in (0, 2, 3)))
