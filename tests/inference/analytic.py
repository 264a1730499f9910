"""Problems with known evidence, mean and covariance, with the interface that the nested sampler needs.

The prior is a standard normal, as it is in the latent coordinates of every problem. Likelihoods are sums of normalised
densities, times the exponential of an offset that the sampler must carry through.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm, ortho_group
from scipy.stats import t as student

from galfit_sr.inference.maximum import Mode
from galfit_sr.inference.problem import Problem

OFFSET = -1234.5


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A problem and what is known about it.

    Attributes:
        problem: what `run_nested` takes.
        log_evidence: natural logarithm, offset included.
        information: from the prior to the posterior, in nats; None where it has no closed form.
        mean, covariance: (ndim,), (ndim, ndim) of the posterior.
        modes: exact: where the components of the posterior are, with their covariances.
    """

    problem: Problem
    log_evidence: float
    information: float | None
    mean: np.ndarray
    covariance: np.ndarray
    modes: tuple[Mode, ...]


class NoArrays(NamedTuple):
    """Of a problem without data; `shift`, (ndim,), is there for its dtype, as in the arrays of a galaxy."""

    shift: jax.Array


class GaussianArrays(NamedTuple):
    """Components of a `GaussianSum`; `shift` as of `NoArrays`.

    Attributes:
        shift: (ndim,).
        log_norms: (k,) log of weight and normalisation.
        means: (k, ndim).
        whitening: (k, ndim, ndim) inverse Cholesky factors of the covariances.
    """

    shift: jax.Array
    log_norms: jax.Array
    means: jax.Array
    whitening: jax.Array


@dataclasses.dataclass(frozen=True)
class GaussianSum:
    """Likelihood that is a weighted sum of normal densities."""

    ndim: int

    def latent_log_likelihood(self, z: jax.Array, arrays: GaussianArrays) -> jax.Array:
        white = jnp.einsum("kij,kj->ki", arrays.whitening, z[None, :] - arrays.means)
        return jax.nn.logsumexp(arrays.log_norms - 0.5 * jnp.sum(white**2, axis=1))

    def residuals(self, z: jax.Array, arrays: GaussianArrays) -> jax.Array:
        """Of the component that is the largest there: of components that do not overlap."""
        white = jnp.einsum("kij,kj->ki", arrays.whitening, z[None, :] - arrays.means)
        largest = jnp.argmax(arrays.log_norms - 0.5 * jnp.sum(white**2, axis=1))
        return jnp.concatenate([white[largest], z])


EVALUATED: list[int] = []


@dataclasses.dataclass(frozen=True)
class Counting(GaussianSum):
    """The same, with an entry in `EVALUATED` for every evaluation, made where it happens."""

    def latent_log_likelihood(self, z: jax.Array, arrays: GaussianArrays) -> jax.Array:
        jax.debug.callback(lambda _: EVALUATED.append(1), z[0])
        return super().latent_log_likelihood(z, arrays)


class StudentArrays(NamedTuple):
    """Centres and widths (ndim,) of a `StudentProduct`, in coordinates turned by `rotation` (ndim, ndim)."""

    shift: jax.Array
    centres: jax.Array
    widths: jax.Array
    rotation: jax.Array


@dataclasses.dataclass(frozen=True)
class StudentProduct:
    """Likelihood that is a product of Student's t densities along turned axes: long arms in every direction."""

    ndim: int
    degrees_of_freedom: float

    def latent_log_likelihood(self, z: jax.Array, arrays: StudentArrays) -> jax.Array:
        nu = self.degrees_of_freedom
        white = (arrays.rotation @ z - arrays.centres) / arrays.widths
        norm = student.logpdf(0.0, nu)
        return jnp.sum(norm - jnp.log(arrays.widths) - 0.5 * (nu + 1) * jnp.log1p(white**2 / nu))

    def residuals(self, z: jax.Array, arrays: StudentArrays) -> jax.Array:
        nu = self.degrees_of_freedom
        white = (arrays.rotation @ z - arrays.centres) / arrays.widths
        # Smooth where it vanishes, gradients included.
        square = jnp.maximum(white**2, 1e-20)
        return jnp.concatenate([white * jnp.sqrt((nu + 1) * jnp.log1p(square / nu) / square), z])


def gaussian_sum(weights, means, covariances, dtype=jnp.float64) -> Known:
    """Likelihood sum_k w_k N(z; m_k, C_k): evidence sum_k w_k N(m_k; 0, I + C_k), posterior a sum of Gaussians."""
    ndim = means.shape[1]
    eye = np.eye(ndim)
    whitening = np.linalg.inv(np.linalg.cholesky(covariances))
    log_norms = np.log(weights) + np.linalg.slogdet(whitening)[1] - 0.5 * ndim * np.log(2 * np.pi)
    evidences = np.array(
        [w * multivariate_normal(cov=eye + c).pdf(m) for w, m, c in zip(weights, means, covariances, strict=True)]
    )
    inner = np.linalg.inv(np.linalg.inv(covariances) + eye)
    centres = np.einsum("kij,kj->ki", inner @ np.linalg.inv(covariances), means)
    shares = evidences / evidences.sum()
    mean = shares @ centres
    spread = centres - mean
    covariance = np.einsum("k,kij->ij", shares, inner) + np.einsum("k,ki,kj->ij", shares, spread, spread)
    modes = tuple(
        Mode(z, c, float(np.log(e) - 0.5 * np.linalg.slogdet(2 * np.pi * c)[1]))
        for z, c, e in zip(centres, inner, evidences, strict=True)
    )
    # For components that do not overlap: KL(posterior, prior) = sum p_k (log p_k + KL of the component).
    own = [0.5 * (np.trace(c) + z @ z - ndim - np.linalg.slogdet(c)[1]) for z, c in zip(centres, inner, strict=True)]
    arrays = (np.zeros(ndim), log_norms, means, whitening)
    return Known(
        Problem(GaussianSum(ndim), GaussianArrays(*(jnp.asarray(a, dtype) for a in arrays)), OFFSET, None),
        float(np.log(evidences.sum())) + OFFSET,
        float(shares @ (np.log(shares) + own)),
        mean,
        covariance,
        modes,
    )


def correlated_gaussian(ndim: int = 18, dtype=jnp.float64) -> Known:
    """One Gaussian along random directions, with standard deviations from 0.05 to 1 of the prior's."""
    rng = np.random.default_rng(18)
    rotation = ortho_group.rvs(ndim, random_state=rng)
    covariance = rotation @ np.diag(np.geomspace(0.05, 1.0, ndim) ** 2) @ rotation.T
    mean = 0.7 * rng.standard_normal((1, ndim))
    return gaussian_sum(np.ones(1), mean, covariance[None], dtype)


def two_modes(ndim: int = 18, dtype=jnp.float64) -> Known:
    """Two Gaussians that hold 3/4 and 1/4 of the posterior, more than eight of their standard deviations apart."""
    rng = np.random.default_rng(2)
    covariances = []
    for widths in (np.geomspace(0.1, 0.8, ndim), np.geomspace(0.15, 0.6, ndim)):
        rotation = ortho_group.rvs(ndim, random_state=rng)
        covariances.append(rotation @ np.diag(rng.permutation(widths) ** 2) @ rotation.T)
    axis = np.ones(ndim) / np.sqrt(ndim)
    means = np.stack([1.6 * axis, -1.6 * axis])
    even = gaussian_sum(np.ones(2), means, np.stack(covariances), dtype)
    evidences = np.exp([mode.log_evidence for mode in even.modes])
    return gaussian_sum(np.array([0.75, 0.25]) / evidences, means, np.stack(covariances), dtype)


def student_arms(ndim: int = 18, dtype=jnp.float64) -> Known:
    """Student's t with three degrees of freedom along turned axes: evidence and moments by quadrature."""
    nu, rng = 3.0, np.random.default_rng(3)
    rotation = ortho_group.rvs(ndim, random_state=rng)
    widths, centres = np.geomspace(0.08, 0.4, ndim), 0.7 * rng.standard_normal(ndim)
    moments, peaks, curvatures = [], [], []
    for centre, width in zip(centres, widths, strict=True):

        def density(x, power, c=centre, w=width):
            return x**power * student.pdf((x - c) / w, nu) / w * norm.pdf(x)

        def slope_of_slope(x, c=centre, w=width):
            square = ((x - c) / w) ** 2 / nu
            return 1 + (nu + 1) / (nu * w**2) * (1 - square) / (1 + square) ** 2

        near = sorted({-12.0, centre - 5 * width, centre, centre + 5 * width, 12.0})
        moments.append(
            [
                sum(quad(density, a, b, (k,), epsabs=1e-13)[0] for a, b in zip(near[:-1], near[1:], strict=True))
                for k in range(3)
            ]
        )
        low, high = sorted((0.0, centre))
        peak = minimize_scalar(lambda x: -np.log(density(x, 0)), bounds=(low, high), method="bounded").x
        peaks.append(peak)
        curvatures.append(slope_of_slope(peak))
    evidence, first, second = np.array(moments).T
    mean = first / evidence
    variance = second / evidence - mean**2
    log_peak = sum(
        student.logpdf((x - c) / w, nu) - np.log(w) + norm.logpdf(x)
        for x, c, w in zip(peaks, centres, widths, strict=True)
    )
    mode = Mode(
        rotation.T @ np.array(peaks), rotation.T @ np.diag(1 / np.array(curvatures)) @ rotation, float(log_peak)
    )
    arrays = (np.zeros(ndim), centres, widths, rotation)
    return Known(
        Problem(StudentProduct(ndim, nu), StudentArrays(*(jnp.asarray(a, dtype) for a in arrays)), OFFSET, None),
        float(np.log(evidence).sum()) + OFFSET,
        None,
        rotation.T @ mean,
        rotation.T @ np.diag(variance) @ rotation,
        (mode,),
    )


def narrowed(modes: tuple[Mode, ...], factor: float) -> tuple[Mode, ...]:
    """Modes whose standard deviations were underestimated by `factor`."""
    return tuple(dataclasses.replace(mode, covariance=mode.covariance / factor**2) for mode in modes)
