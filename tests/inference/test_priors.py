"""Transform, inverse and density of the joint prior say the same thing, orders included."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import kstest

from galfit_sr.errors import InputError
from galfit_sr.parameters import Order, Parameter, Parameters, default_parameters
from galfit_sr.priors import Isotropic, Prior

# The 0.01 % point of Kolmogorov's distribution: a right sampler fails once in 10,000 seeds, and these are fixed.
LEAST_P = 1e-4


def free(**priors) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "", name, prior=prior) for name, prior in priors.items())


def ordered(larger: str, *smaller: str, **priors) -> Parameters:
    return Parameters(free(**priors), (Order(smaller, larger),))


SINGLE = {
    "uniform": dist.Uniform(-2.0, 3.5),
    "loguniform": dist.LogUniform(0.1, 20.0),
    "normal": dist.Normal(1.0, 2.0),
    "truncated normal": dist.TruncatedNormal(2.5, 1.0, low=0.1, high=5.0),
    "truncated far from its mean": dist.TruncatedNormal(0.0, 1.0, low=2.0, high=4.0),
    "isotropic": Isotropic(0.1, math.pi / 3),
    "isotropic from face-on": Isotropic(0.0, math.pi / 2),
    "isotropic to edge-on and over": Isotropic(0.4, math.pi),
}
JOINT = {
    "default": default_parameters(),
    "bulge and disc": default_parameters(("bulge", "disc1")),
    "one uniform prior": ordered(
        "c", "a", "b", a=dist.Uniform(-2, 1.5), b=dist.Uniform(-2, 1.5), c=dist.Uniform(-2, 1.5)
    ),
    "one normal prior": ordered("c", "a", "b", a=dist.Normal(1, 2), b=dist.Normal(1, 2), c=dist.Normal(1, 2)),
    "unequal ranges": ordered("c", "a", "b", a=dist.Uniform(-2, 1.5), b=dist.Uniform(-1, 3), c=dist.Uniform(-1.5, 2)),
    "normal and uniform": ordered("b", "a", a=dist.Normal(0, 1), b=dist.Uniform(-1, 3)),
    "normals": ordered("c", "a", "b", a=dist.Normal(0, 1), b=dist.Normal(-0.5, 0.3), c=dist.Normal(0.5, 2)),
    "isotropic and loguniform": ordered("b", "a", a=Isotropic(0.1, 1.0), b=dist.LogUniform(0.05, 3.0)),
    "truncated": ordered(
        "b", "a", a=dist.TruncatedNormal(0, 1, low=-1, high=2), b=dist.TruncatedNormal(1, 1, low=-2, high=1.5)
    ),
    "smaller fixed": ordered(
        "c", "a", "b", a=dist.Uniform(-2, 1.5), b=dist.Uniform(-2, 1.5), c=dist.Uniform(-2, 1.5)
    ).replace("a", value=-0.5),
    "all smaller fixed": ordered("b", "a", a=dist.Uniform(-2, 1.5), b=dist.Uniform(-2, 1.5)).replace("a", value=0.5),
    "larger fixed": ordered(
        "c", "a", "b", a=dist.Uniform(-2, 1.5), b=dist.Normal(0, 1), c=dist.Uniform(-2, 1.5)
    ).replace("c", value=1),
    "two orders": Parameters(
        free(a=dist.Uniform(0, 1), b=dist.Uniform(0, 1), c=dist.Normal(0, 1), d=dist.Uniform(-1, 2)),
        (Order(("a",), "b"), Order(("c",), "d")),
    ),
    **{name: Parameters(free(x=prior)) for name, prior in SINGLE.items()},
}
TABULATED = {
    "unequal ranges",
    "normal and uniform",
    "normals",
    "isotropic and loguniform",
    "truncated",
    "smaller fixed",
    "all smaller fixed",
    "two orders",
}


@pytest.fixture(params=JOINT)
def named(request) -> tuple[str, Prior]:
    return request.param, Prior(JOINT[request.param])


def inner_cube(ndim: int, n: int, seed: int, margin: float) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(margin, 1 - margin, (n, ndim)))


def test_density_is_one_over_the_jacobian(named):
    name, prior = named
    u = inner_cube(prior.ndim, 200, 1, 0.02)
    jacobian = jax.vmap(jax.jacfwd(prior.transform))(u)
    expected = -jnp.linalg.slogdet(jacobian).logabsdet
    # With a closed form, rounding: numpyro's own distribution functions lose 1e-8 in a truncated tail. A table of 4096
    # cells gives each the mean density of its ends; the density of the lowest u, 0.02 with two smaller ones, goes as
    # the square of q = 0.02^(1/3), cell 1100, and so differs from the mean by at most 1/1100. Twice that is allowed.
    tolerance = 2e-3 if name in TABULATED else 1e-7
    np.testing.assert_allclose(prior.log_density(prior.transform(u)), expected, rtol=0, atol=tolerance)


def test_cube_is_the_inverse(named):
    _, prior = named
    u = inner_cube(prior.ndim, 1000, 2, 1e-3)
    # Cancellation in the distribution function of a prior truncated far from its mean: 1e-16 over its content of 2 %.
    np.testing.assert_allclose(prior.cube(prior.transform(u)), u, rtol=0, atol=1e-10)


def test_samples_are_in_order_and_inside(named):
    _, prior = named
    draws = prior.sample(jax.random.key(3), 4000)
    assert np.all(np.isfinite(prior.log_density(draws)))
    for order in prior.parameters.orders:
        value = {name: draws[:, i] for i, name in enumerate(prior.names)}
        for p in prior.parameters:
            value.setdefault(p.name, p.value)
        for name in order.smaller:
            assert np.all(value[name] <= value[order.larger])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_draws_are_inside_up_to_the_edge_of_the_cube(named, dtype):
    _, prior = named
    # As far out as latent coordinates reach.
    u = jnp.asarray(np.random.default_rng(4).choice([1e-7, 0.5, 1 - 1e-7], (300, prior.ndim)), dtype)
    theta = prior.transform(u)
    assert theta.dtype == dtype
    assert np.all(np.isfinite(prior.log_density(theta)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_gradients_are_finite_in_the_whole_cube(named, dtype):
    _, prior = named
    rng = np.random.default_rng(5)
    unbounded = any("Normal" in type(p).__name__ for p in prior.parameters.priors)
    # A normal distribution has its ends at infinity; there the edge is the one latent coordinates have.
    edge = 1e-7 if unbounded else 0.0
    corners = rng.choice([edge, 0.5, 1 - edge], (200, prior.ndim))
    u = jnp.asarray(np.concatenate([corners, rng.random((200, prior.ndim))]), dtype)
    value, slope = prior.transform(u), jax.vmap(jax.jacrev(prior.transform))(u)
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(slope))


def test_density_integrates_to_one(named):
    """Uniform points in a box that holds all but 1e-9 of the prior; the pass mark is five of the integral's own errors."""
    name, prior = named
    if prior.ndim > 4:
        # 18 dimensions, three of them coupled: their own block says it all.
        prior = Prior(JOINT["one uniform prior"])
    low, high = (np.array([float(p.icdf(jnp.asarray(q))) for p in prior.parameters.priors]) for q in (1e-10, 1 - 1e-10))
    n = 400_000
    theta = low + (high - low) * np.random.default_rng(6).random((n, prior.ndim))
    density = np.exp(np.asarray(prior.log_density(jnp.asarray(theta)))) * np.prod(high - low)
    # 1e-6: of a constant density, whose Monte Carlo error is 0, what the volume of the table may be off.
    assert abs(density.mean() - 1) < 5 * density.std() / np.sqrt(n) + 1e-6


@pytest.mark.parametrize("smaller", [1, 2, 3])
def test_larger_radius_follows_its_marginal(smaller):
    """Uniform priors on [lo, hi]: the largest of n+1, F(x) = ((x-lo)/(hi-lo))^(n+1)."""
    names = ["a", "b", "c"][:smaller]
    prior = Prior(ordered("z", *names, **{n: dist.Uniform(-2.0, 1.5) for n in (*names, "z")}))
    draws = np.asarray(prior.sample(jax.random.key(7), 20_000))
    assert kstest(draws[:, -1], lambda x: ((x + 2) / 3.5) ** (smaller + 1)).pvalue > LEAST_P
    # Given it, each smaller one is uniform below it.
    share = (draws[:, :-1] + 2) / (draws[:, -1:] + 2)
    assert min(kstest(column, "uniform").pvalue for column in share.T) > LEAST_P


@pytest.mark.parametrize("name", sorted(JOINT))
def test_draws_are_those_of_rejection(name):
    """The definition of an order: independent draws, kept if they are in order."""
    parameters = JOINT[name]
    prior = Prior(parameters)
    ours = np.asarray(prior.sample(jax.random.key(8), 10_000))
    u = jax.random.uniform(jax.random.key(9), (400_000, prior.ndim))
    independent = np.stack([np.asarray(p.icdf(u[:, i])) for i, p in enumerate(parameters.priors)], axis=1)
    value = {n: independent[:, i] for i, n in enumerate(prior.names)}
    for p in parameters:
        value.setdefault(p.name, np.full(len(independent), np.nan if p.value is None else p.value))
    kept = np.ones(len(independent), bool)
    for order in parameters.orders:
        for n in order.smaller:
            kept &= value[n] < value[order.larger]
    theirs = independent[kept]
    assert len(theirs) > 5_000
    sums = [(ours.sum(axis=1), theirs.sum(axis=1))]
    pairs = [(ours[:, i], theirs[:, i]) for i in range(prior.ndim)] + sums
    assert min(kstest(a, b).pvalue for a, b in pairs) > LEAST_P


def test_tails_of_an_ordered_normal_prior_are_not_cut():
    """P(larger > 4 sd) of the table's construction is that of the normal distribution, for which 1/4096 is far too coarse."""
    prior = Prior(JOINT["normals"])
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
    prior = Prior(JOINT["all smaller fixed"])
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
    u = inner_cube(fixed.ndim, 50, 10, 0.0)
    np.testing.assert_array_equal(Prior(fixed).transform(u), Prior(without).transform(u))
    theta = Prior(fixed).transform(u)
    np.testing.assert_array_equal(Prior(fixed).log_density(theta), Prior(without).log_density(theta))


def test_isotropic_inclination_has_a_uniform_cosine():
    low, high = 0.1, math.pi / 3
    i = np.asarray(Prior(Parameters(free(i=Isotropic(low, high)))).sample(jax.random.key(11), 20_000))[:, 0]
    cosine = np.cos(i)
    assert kstest((cosine - math.cos(high)) / (math.cos(low) - math.cos(high)), "uniform").pvalue > LEAST_P
    drawn = Isotropic(low, high).sample(jax.random.key(12), (20_000,))
    assert kstest(np.asarray(drawn), i).pvalue > LEAST_P


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


@pytest.mark.parametrize("name", default_parameters().names)
def test_every_parameter_draws_from_its_own_distribution(name):
    """The distribution of a parameter is the only source of its prior: another one changes its column, alone."""
    before = default_parameters()
    old = before[name].prior
    after = before.replace(name, prior=Remote(old.low, old.high, validate_args=False))
    u = inner_cube(before.ndim, 20, 13, 0.1)
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


def test_periodic_marks_the_angle_alone():
    prior = Prior(default_parameters())
    assert [n for n, p in zip(prior.names, prior.periodic, strict=True) if p] == ["position_angle"]
