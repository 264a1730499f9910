"""Straight coordinates: one to one, of constant Jacobian, and straight where the posterior is bent."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.inference.bending import fit_bending, to_latent, to_straight, unbent

NDIM = 8
BEND = 0.3


def bent_draws(n: int, seed: int, bend: float = BEND) -> np.ndarray:
    """(4, n, NDIM) draws of widths from 1 to 0.05, turned; the narrowest follows the square of the widest."""
    rng = np.random.default_rng(7)
    turn = np.linalg.qr(rng.standard_normal((NDIM, NDIM)))[0]
    y = np.random.default_rng(seed).standard_normal((4, n, NDIM))
    y[..., -1] += bend * (y[..., 0] ** 2 - 1)
    return 0.5 + (y * np.geomspace(1, 0.05, NDIM)) @ turn.T


@pytest.fixture(scope="module")
def bending():
    return fit_bending(bent_draws(2000, 1), np.eye(NDIM), jnp.dtype(np.float64))


def straight(bending, z: np.ndarray) -> np.ndarray:
    return np.asarray(jax.vmap(to_straight, (None, 0))(bending, jnp.asarray(z.reshape(-1, NDIM))))


def test_there_and_back(bending):
    z = bent_draws(50, 2).reshape(-1, NDIM)
    back = jax.vmap(to_latent, (None, 0))(bending, straight(bending, z))
    np.testing.assert_allclose(back, z, rtol=0, atol=1e-12)


def test_its_jacobian_is_the_same_everywhere(bending):
    found = [
        np.linalg.slogdet(jax.jacfwd(to_latent, argnums=1)(bending, jnp.asarray(x))).logabsdet
        for x in np.random.default_rng(3).normal(0, 3, (20, NDIM))
    ]
    np.testing.assert_allclose(found, found[0], rtol=1e-9)


def test_what_was_bent_is_standard_normal(bending):
    """On other draws than those it was fitted to; without the bends the narrowest direction follows the widest."""
    z = bent_draws(5000, 4)
    x = straight(bending, z)
    np.testing.assert_allclose(np.cov(x.T), np.eye(NDIM), atol=0.06)
    linear = straight(unbent(z.mean(axis=(0, 1)), np.cov(z.reshape(-1, NDIM).T), jnp.dtype(np.float64)), z)

    def dependence(x: np.ndarray) -> float:
        squares = x[:, 0] ** 2 - 1
        return max(abs(np.corrcoef(squares, column)[0, 1]) for column in x[:, 4:].T)

    assert dependence(linear) > 0.3
    assert dependence(x) < 0.05


def test_few_draws_bend_little():
    straight_draws = bent_draws(25, 5, bend=0.0)
    found = fit_bending(straight_draws, np.cov(straight_draws.reshape(-1, NDIM).T), jnp.dtype(np.float64))
    # A coefficient is known to one over the square root of twice the hundred draws, about.
    assert np.max(np.abs(found.bends)) < 4 / np.sqrt(200)
    assert not np.any(found.bends[:4])


def test_dimensions_fewer_than_it_bends_by():
    z = np.random.default_rng(6).standard_normal((2, 50, 2))
    found = fit_bending(z, np.eye(2), jnp.dtype(np.float32))
    assert found.bends.dtype == jnp.float32
    np.testing.assert_array_equal(found.bends, 0.0)
