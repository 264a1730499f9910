"""Transform, inverse and density of the joint prior say the same thing, orders included."""

import functools
import math
import os
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import ks_1samp, ks_2samp, uniform

from galfit_sr.errors import InputError
from galfit_sr.parameters import Order, Parameter, Parameters, default_parameters
from galfit_sr.priors import Isotropic, Prior

# The 0.01 % point of Kolmogorov's distribution: a right sampler fails once in 10,000 seeds, and these are fixed.
LEAST_P = 1e-4


def free(**priors) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "", name, prior=prior) for name, prior in priors.items())


def ordered(larger: str, *smaller: str, **priors) -> Parameters:
    return Parameters(free(**priors), (Order(smaller, larger),))


def flat() -> dist.Distribution:
    return dist.Uniform(-2.0, 1.5)


# Made anew for every use: distributions carry the precision in which they were made.
JOINT = {
    "default": lambda: default_parameters(),
    "every kind": lambda: Parameters(
        free(
            a=dist.Uniform(-2.0, 3.5),
            b=dist.LogUniform(0.1, 20.0),
            c=dist.Normal(1.0, 2.0),
            d=dist.TruncatedNormal(2.5, 1.0, low=0.1, high=5.0),
            e=dist.TruncatedNormal(0.0, 1.0, low=2.0, high=4.0),
            f=Isotropic(0.1, math.pi / 3),
            g=Isotropic(0.0, math.pi / 2),
            h=Isotropic(0.4, math.pi),
        )
    ),
    "one uniform prior": lambda: ordered("c", "a", "b", a=flat(), b=flat(), c=flat()),
    "one normal prior": lambda: ordered("c", "a", "b", a=dist.Normal(1, 2), b=dist.Normal(1, 2), c=dist.Normal(1, 2)),
    "unequal ranges": lambda: ordered("c", "a", "b", a=flat(), b=dist.Uniform(-1, 3), c=dist.Uniform(-1.5, 2)),
    "normals": lambda: ordered("c", "a", "b", a=dist.Normal(0, 1), b=dist.Normal(-0.5, 0.3), c=dist.Normal(0.5, 2)),
    "isotropic and loguniform": lambda: ordered("b", "a", a=Isotropic(0.1, 1.0), b=dist.LogUniform(0.05, 3.0)),
    "truncated": lambda: ordered(
        "b", "a", a=dist.TruncatedNormal(0, 1, low=-1, high=2), b=dist.TruncatedNormal(1, 1, low=-2, high=1.5)
    ),
    "smaller fixed": lambda: ordered("c", "a", "b", a=flat(), b=flat(), c=flat()).replace("a", value=-0.5),
    "all smaller fixed": lambda: ordered("b", "a", a=flat(), b=flat()).replace("a", value=0.5),
    "larger fixed": lambda: ordered("c", "a", "b", a=flat(), b=dist.Normal(0, 1), c=flat()).replace("c", value=1),
    "two orders": lambda: Parameters(
        free(a=flat(), b=flat(), c=dist.Normal(0, 1), d=dist.Uniform(-1, 2)),
        (Order(("a",), "b"), Order(("c",), "d")),
    ),
}
TABULATED = {
    "unequal ranges",
    "normals",
    "isotropic and loguniform",
    "truncated",
    "smaller fixed",
    "all smaller fixed",
    "two orders",
}
named = pytest.mark.parametrize("name", JOINT)
precise = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INNER = 200


class Evaluated(NamedTuple):
    """What a prior says at `u`, whose first `INNER` rows are inside the cube and whose others are on its edges."""

    u: np.ndarray
    theta: np.ndarray
    slopes: np.ndarray
    back: np.ndarray
    log_density: np.ndarray


@functools.cache
def evaluated(name: str, dtype: type) -> Evaluated:
    with jax.enable_x64(dtype is np.float64):
        prior = Prior(JOINT[name]())
        rng = np.random.default_rng(1)
        # A normal distribution ends at infinity; its edge is the one that latent coordinates have.
        edges = [1e-7 if type(p) is dist.Normal else 0.0 for p in prior.parameters.priors]
        edges = [1e-7 if any(edges) else 0.0] * prior.ndim
        corners = np.stack([rng.choice([e, 1e-7, 0.5, 1 - 1e-7, 1 - e], 200) for e in edges], axis=1)
        u = np.concatenate([rng.uniform(0.02, 0.98, (INNER, prior.ndim)), corners]).astype(dtype)

        @jax.jit
        def everything(u):
            theta = prior.transform(u)
            slopes = jax.vmap(jax.jacfwd(prior.transform))(u)
            return u, theta, slopes, prior.cube(theta), prior.log_density(theta)

        return Evaluated(*map(np.asarray, everything(u)))


def one_p(draws, distribution_function) -> float:
    return float(ks_1samp(draws, distribution_function, method="asymp").pvalue)


def two_p(one, other) -> float:
    return float(ks_2samp(one, other, method="asymp").pvalue)


def draw(prior: Prior, n: int, seed: int) -> np.ndarray:
    return np.asarray(jax.jit(prior.sample, static_argnums=1)(jax.random.key(seed), n))


@functools.cache
def drawn(name: str) -> np.ndarray:
    return draw(Prior(JOINT[name]()), 10_000, 8)


def by_name(parameters: Parameters, draws: np.ndarray) -> dict[str, np.ndarray]:
    fixed = {p.name: np.full(len(draws), p.value) for p in parameters if p.value is not None}
    return {**fixed, **dict(zip(parameters.names, draws.T, strict=True))}


def in_order(parameters: Parameters, draws: np.ndarray) -> np.ndarray:
    values = by_name(parameters, draws)
    pairs = [(values[name], values[order.larger]) for order in parameters.orders for name in order.smaller]
    return np.all([smaller <= larger for smaller, larger in pairs], axis=0) & np.ones(len(draws), bool)


@named
def test_density_is_one_over_the_jacobian(name):
    found = evaluated(name, np.float64)
    expected = -np.linalg.slogdet(found.slopes[:INNER])[1]
    # With a closed form, rounding, of which a truncated tail magnifies some. A table of 4096 cells gives each the mean
    # density of its ends. With two smaller ones the density goes as q^2, q = u^(1/3) > 0.02^(1/3) or cell 1100: within
    # a cell it changes by 2/1100, half of which it may be off the mean. Twice that is allowed.
    tolerance = 2e-3 if name in TABULATED else 1e-10
    np.testing.assert_allclose(found.log_density[:INNER], expected, rtol=0, atol=tolerance)


@named
def test_cube_is_the_inverse(name):
    found = evaluated(name, np.float64)
    # The distribution function of a prior cut far from its mean loses digits: 1e-16 over its content of 2 %.
    np.testing.assert_allclose(found.back[:INNER], found.u[:INNER], rtol=0, atol=1e-10)


@named
@precise
def test_all_of_the_cube_is_inside_and_in_order(name, dtype):
    """Also where rounding could carry a draw over an edge."""
    found = evaluated(name, dtype)
    assert found.theta.dtype == dtype
    on_edge_of_zero_density = (found.u == 0).any(axis=1) | (found.u == 1).any(axis=1)
    assert np.all(np.isfinite(found.log_density[~on_edge_of_zero_density]))
    assert np.all(in_order(JOINT[name](), found.theta))


@named
@precise
def test_gradients_are_finite_in_the_whole_cube(name, dtype):
    found = evaluated(name, dtype)
    assert found.slopes.dtype == dtype
    assert np.all(np.isfinite(found.theta))
    assert np.all(np.isfinite(found.slopes))


@named
def test_samples_are_in_order_and_inside(name):
    prior = Prior(JOINT[name]())
    draws = drawn(name)
    assert np.all(np.isfinite(jax.jit(prior.log_density)(draws)))
    assert np.all(in_order(JOINT[name](), draws))


@pytest.mark.parametrize("name", [n for n in JOINT if n not in ("default", "every kind")])
def test_density_integrates_to_one(name):
    """Uniform points in a box that holds all of the prior but 1e-9; five of the integral's own errors are allowed."""
    prior = Prior(JOINT[name]())
    low, high = (np.array([float(p.icdf(jnp.asarray(q))) for p in prior.parameters.priors]) for q in (1e-10, 1 - 1e-10))
    n = 400_000
    theta = low + (high - low) * np.random.default_rng(6).random((n, prior.ndim))
    density = np.exp(np.asarray(jax.jit(prior.log_density)(theta))) * np.prod(high - low)
    assert abs(density.mean() - 1) < 5 * density.std() / np.sqrt(n)


@pytest.mark.parametrize("name", JOINT)
def test_draws_are_those_of_rejection(name):
    """The definition of an order: independent draws, kept if they are in order."""
    parameters = JOINT[name]()
    prior = Prior(parameters)
    ours = drawn(name)
    u = np.random.default_rng(9).random((60_000, prior.ndim))
    theirs = np.stack([np.asarray(p.icdf(u[:, i])) for i, p in enumerate(parameters.priors)], axis=1)
    theirs = theirs[in_order(parameters, theirs)]
    assert len(theirs) > 5_000
    pairs = [*zip(ours.T, theirs.T, strict=True), (ours.sum(axis=1), theirs.sum(axis=1))]
    assert min(two_p(a, b) for a, b in pairs) > LEAST_P


@pytest.mark.parametrize("smaller", [1, 2, 3])
def test_larger_radius_follows_its_marginal(smaller):
    """Uniform priors on [lo, hi]: the largest of n+1, F(x) = ((x-lo)/(hi-lo))^(n+1)."""
    names = ["a", "b", "c"][:smaller]
    prior = Prior(ordered("z", *names, **{n: dist.Uniform(-2.0, 1.5) for n in (*names, "z")}))
    draws = draw(prior, 20_000, 7)
    assert one_p(draws[:, -1], lambda x: ((x + 2) / 3.5) ** (smaller + 1)) > LEAST_P
    # Given it, each smaller one is uniform below it.
    share = (draws[:, :-1] + 2) / (draws[:, -1:] + 2)
    assert min(one_p(column, uniform.cdf) for column in share.T) > LEAST_P


def test_tails_of_an_ordered_normal_prior_are_not_cut():
    """Beyond the last cell of the table, 1/4096, there is still a prior."""
    prior = Prior(JOINT["normals"]())
    draws = prior.transform(jnp.asarray([[0.5, 0.5, 1 - 1e-6], [0.5, 0.5, 1 - 1e-8]]))[:, 2]
    # F_a = F_b = 1 out there, so that 1 - u = (1 - q) / volume.
    volume = math.exp(prior._orders[0].log_volume)
    expected = dist.Normal(0.5, 2).icdf(1 - jnp.asarray([1e-6, 1e-8]) * volume)
    np.testing.assert_allclose(draws, expected, rtol=1e-6)


def test_log_density_is_minus_infinity_outside():
    prior = Prior(default_parameters())
    middle = np.asarray(prior.transform(jnp.full(prior.ndim, 0.5)))
    assert np.isfinite(prior.log_density(jnp.asarray(middle)))
    for i, p in enumerate(prior.parameters.priors):
        for value in (float(p.low) - 1e-9, float(p.high) + 1e-9):
            outside = middle.copy()
            outside[i] = value
            assert prior.log_density(jnp.asarray(outside)) == -np.inf
    disordered = middle.copy()
    disordered[prior.names.index("log10_disc1_radius")] = middle[prior.names.index("log10_disc2_radius")] + 1e-9
    assert prior.log_density(jnp.asarray(disordered)) == -np.inf


def test_larger_one_is_never_below_a_fixed_smaller_one():
    prior = Prior(JOINT["all smaller fixed"]())
    np.testing.assert_array_equal(
        np.isfinite(prior.log_density(jnp.asarray([[0.499], [0.501], [1.499], [1.501]]))), [False, True, True, False]
    )
    # Uniform on [0.5, 1.5].
    np.testing.assert_allclose(prior.log_density(jnp.asarray([1.0])), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (lambda p: p.replace("log10_bulge_radius", tied="log10_disc1_radius"), "log10_bulge_radius is tied"),
        (lambda p: p.replace("log10_disc2_radius", tied="log10_disc1_radius"), "log10_disc2_radius is tied"),
        (lambda p: p.replace("log10_disc2_radius", value=-2.5), "log10_disc2_radius is fixed at -2.5, not above -2.0"),
        (
            lambda p: p.replace("log10_bulge_radius", value=1.7),
            "prior of log10_disc2_radius ends at 1.5, not above 1.7",
        ),
        (lambda p: p.replace("log10_disc2_radius", prior=dist.Uniform(-4, -3)), "ends at -3.0, not above -2.0"),
        (lambda p: p.replace("x0", prior=dist.Uniform(2, -2, validate_args=False)), r"x0 has bounds \[2.0, -2.0\]"),
        (lambda p: p.replace("x0", prior=dist.Uniform(1, 1, validate_args=False)), r"x0 has bounds \[1.0, 1.0\]"),
        (
            lambda p: p.replace("x0", prior=dist.TruncatedNormal(0, 1, low=3, high=-3, validate_args=False)),
            r"x0 has bounds \[3.0, -3.0\]",
        ),
        (
            lambda p: p.replace("log10_bulge_radius", prior=dist.Normal(0, 0.01)).replace(
                "log10_disc2_radius", value=-1.5
            ),
            "no room for the order below log10_disc2_radius",
        ),
        (
            lambda p: Parameters(p.items, (*p.orders, Order(("ml_disc1",), "log10_disc1_radius"))),
            "orders name log10_disc1_radius 2 times",
        ),
        (lambda p: Parameters(p.items, (Order(("ml_bulg",), "ml_disc1"),)), "did you mean 'ml_bulge'"),
    ],
)
def test_contradictions_are_refused(changed, sentence):
    with pytest.raises(InputError, match=sentence):
        Prior(changed(default_parameters()))


def test_both_members_fixed_in_order_leave_the_rest_alone():
    parameters = default_parameters(("disc1", "disc2"))
    fixed = parameters.replace("log10_disc1_radius", value=0.0).replace("log10_disc2_radius", value=0.5)
    without = Parameters(fixed.items)
    u = np.random.default_rng(10).random((50, fixed.ndim))
    np.testing.assert_array_equal(Prior(fixed).transform(u), Prior(without).transform(u))
    theta = Prior(fixed).transform(u)
    np.testing.assert_array_equal(Prior(fixed).log_density(theta), Prior(without).log_density(theta))


def test_isotropic_inclination_has_a_uniform_cosine():
    low, high = 0.1, math.pi / 3
    i = draw(Prior(Parameters(free(i=Isotropic(low, high)))), 20_000, 11)[:, 0]
    cosine = np.cos(i)
    assert one_p((cosine - math.cos(high)) / (math.cos(low) - math.cos(high)), uniform.cdf) > LEAST_P
    drawn = Isotropic(low, high).sample(jax.random.key(12), (20_000,))
    assert two_p(np.asarray(drawn), i) > LEAST_P


def test_isotropic_keeps_its_digits_face_on():
    """A cosine in float32 has steps of 6e-8, angles of 3e-4; sin^2(i/2) has none that show."""
    i = Isotropic(0.0, math.pi / 2).icdf(jnp.asarray([1e-7, 2e-7, 5e-7], jnp.float32))
    np.testing.assert_allclose(i, np.arccos(1 - np.array([1e-7, 2e-7, 5e-7])), rtol=1e-6)


class Remote(dist.Uniform):
    """A distribution of the user's: uniform, with its draws shifted where the base class would not put them."""

    def icdf(self, q):
        return super().icdf(q**2)

    def cdf(self, value):
        return jnp.sqrt(super().cdf(value))

    def log_prob(self, value):
        return super().log_prob(value) - jnp.log(2 * self.cdf(value))


class Edges(dist.Distribution):
    """Another: uniform, with numbers that JAX does not see in it, as NumPyro does not ask for more."""

    def __init__(self, low, high):
        self.edges = (low, high)
        super().__init__(validate_args=False)

    @property
    def support(self):
        return dist.constraints.interval(*self.edges)

    def icdf(self, q):
        return self.edges[0] + q * (self.edges[1] - self.edges[0])

    def cdf(self, value):
        return jnp.clip((value - self.edges[0]) / (self.edges[1] - self.edges[0]), 0, 1)

    def log_prob(self, value):
        return jnp.full_like(value, -math.log(self.edges[1] - self.edges[0]))


def test_two_of_a_kind_of_the_user_s_keep_their_own_numbers():
    edges = {"x0": (-1.0, 2.0), "ml_bulge": (0.5, 0.75), "k_disc1": (0.25, 0.75)}
    parameters = default_parameters()
    for name, ends in edges.items():
        parameters = parameters.replace(name, prior=Edges(*ends))
    prior = Prior(parameters)
    u = np.random.default_rng(14).uniform(size=(20, prior.ndim))
    theta = prior.transform(u)
    for name, (low, high) in edges.items():
        column = prior.names.index(name)
        np.testing.assert_allclose(theta[:, column], low + u[:, column] * (high - low), rtol=1e-12)
    np.testing.assert_allclose(prior.cube(theta), u, atol=1e-9)


@pytest.mark.parametrize("name", default_parameters().names)
def test_every_parameter_draws_from_its_own_distribution(name):
    """The distribution of a parameter is the only source of its prior: another one changes its column, alone."""
    before = default_parameters()
    old = before[name].prior
    after = before.replace(name, prior=Remote(old.low, old.high, validate_args=False))
    u = np.random.default_rng(13).uniform(0.1, 0.9, (20, before.ndim))
    theta, changed = Prior(before).transform(u), Prior(after).transform(u)
    column = before.names.index(name)
    ordered_names = {"log10_bulge_radius", "log10_disc1_radius", "log10_disc2_radius"}
    if name not in ordered_names:
        np.testing.assert_allclose(changed[:, column], Remote(old.low, old.high).icdf(u[:, column]), rtol=1e-12)
    differs = ~np.all(np.asarray(theta) == np.asarray(changed), axis=0)
    assert differs[column]
    moved = {n for n, d in zip(before.names, differs, strict=True) if d}
    assert moved == {name} or (name in ordered_names and moved <= ordered_names)
    difference = Prior(after).log_density(changed) - Prior(before).log_density(theta)
    assert np.all(np.abs(difference) > 1e-6)


def test_a_traced_evaluation_leaves_nothing_behind():
    """NumPyro keeps constants of truncated distributions; what a trace computed must not be among them."""
    prior = Prior(Parameters(free(x=dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=2.0))))
    u = jnp.asarray([[0.3], [0.6]])
    traced = jax.jit(prior.transform)(u)
    np.testing.assert_allclose(prior.transform(u), traced, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(prior.log_density)(traced), prior.log_density(traced), rtol=1e-12)


def test_equal_content_is_equal_and_another_prior_is_not():
    one, same = Prior(default_parameters()), Prior(default_parameters())
    assert one == same
    assert hash(one) == hash(same)
    other = Prior(default_parameters().replace("x0", prior=dist.Uniform(-2, 2.1)))
    assert one != other
    assert hash(one) != hash(other)
    assert one != Prior(Parameters(default_parameters().items))


SHOWN = (
    "import numpyro.distributions as d; from galfit_sr.parameters import Parameter, Parameters;"
    "from galfit_sr.priors import Isotropic, Prior;"
    "kinds = (d.Uniform(-2, 1.5), d.LogUniform(0.1, 20), d.TruncatedNormal(0, 1, low=-1), Isotropic(0.1, 1.0));"
    "print(repr(Prior(Parameters(tuple(Parameter(f'p{i}', '', '', prior=k) for i, k in enumerate(kinds))))))"
)


def test_another_process_shows_the_same_content():
    """A checkpoint is known by it; sets, whose order changes from one process to the next, must not enter."""
    shown = {
        subprocess.run(
            [sys.executable, "-c", SHOWN],
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(shown) == 1
    assert "TruncatedDistribution" in shown.pop()


def test_periodic_marks_the_angle_alone():
    prior = Prior(default_parameters())
    assert [n for n, p in zip(prior.names, prior.periodic, strict=True) if p] == ["position_angle"]
