"""Free, fixed and tied parameters: names, completion, equality, and what is refused."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from galfit_sr.errors import InputError
from galfit_sr.parameters import (
    JITTER,
    Order,
    Parameter,
    Parameters,
    check_values,
    components_of,
    default_parameters,
)
from galfit_sr.priors import Isotropic, Prior

EIGHTEEN = (
    "x0",
    "y0",
    "position_angle",
    "inclination",
    "log10_bulge_mass",
    "log10_bulge_radius",
    "bulge_slope",
    "log10_disc1_mass",
    "log10_disc1_radius",
    "log10_disc2_mass",
    "log10_disc2_radius",
    "log10_halo_fraction",
    "halo_concentration",
    "ml_bulge",
    "ml_disc1",
    "ml_disc2",
    "k_disc1",
    "k_disc2",
)
RANGES = {
    "x0": (-2, 2),
    "y0": (-2, 2),
    "position_angle": (-math.pi, math.pi),
    "inclination": (0.1, math.pi / 3),
    "bulge_slope": (0, 2.4),
    "log10_halo_fraction": (1, 2.7),
    "halo_concentration": (5, 15),
}
FAMILIES = {"mass": (8.5, 12), "radius": (-2, 1.5), "ml": (0.1, 20), "k": (0.01, 1)}


def test_the_default_set_is_the_eighteen_with_their_ranges():
    parameters = default_parameters()
    assert parameters.names == EIGHTEEN
    assert parameters.ndim == 18
    assert parameters["systemic_velocity"].value == 0.0
    for p in parameters.free:
        family = next((f for f in FAMILIES if f in p.name.split("_")), None)
        assert isinstance(p.prior, dist.Uniform)
        assert (p.prior.low, p.prior.high) == (FAMILIES[family] if family else RANGES[p.name])
    assert parameters.orders == (Order(("log10_bulge_radius", "log10_disc1_radius"), "log10_disc2_radius"),)


@pytest.mark.parametrize(
    "components",
    [c for n in range(1, 5) for c in itertools.combinations(("bulge", "disc1", "disc2", "halo"), n) if c != ("halo",)],
)
def test_subsets_have_their_own_parameters_and_orders(components):
    parameters = default_parameters(components)
    absent = {"bulge", "disc1", "disc2", "halo"} - set(components)
    expected = [n for n in EIGHTEEN if not any(a in n for a in absent)]
    assert list(parameters.names) == expected
    radii = [f"log10_{c}_radius" for c in components if c != "halo"]
    ordered = len(radii) > 1
    assert parameters.orders == ((Order(tuple(radii[:-1]), radii[-1]),) if ordered else ())
    # Whatever the subset, prior and completion work.
    prior = Prior(parameters)
    values = parameters.complete(prior.transform(jnp.full(prior.ndim, 0.5)))
    assert set(values) == {p.name for p in parameters}


@pytest.mark.parametrize(
    ("components", "sentence"),
    [(("halo",), "no light"), ((), "no light"), (("bulge", "disk1"), "did you mean 'disc1'")],
)
def test_impossible_components(components, sentence):
    with pytest.raises(InputError, match=sentence):
        default_parameters(components)


def test_fixed_and_tied_values_are_completed():
    parameters = default_parameters().replace("ml_disc2", tied="ml_disc1").replace("x0", value=0.25)
    assert parameters.ndim == 16
    assert not {"ml_disc2", "x0"} & set(parameters.names)
    vector = jnp.arange(16, dtype=jnp.float32)
    values = parameters.complete(vector)
    assert {p.name for p in parameters} == set(values)
    assert float(values["x0"]) == 0.25
    assert values["ml_disc2"] == values["ml_disc1"] == vector[parameters.names.index("ml_disc1")]
    assert all(v.dtype == jnp.float32 and v.shape == () for v in values.values())


def test_completion_works_under_jit_vmap_and_grad():
    parameters = default_parameters().replace("ml_disc2", tied="ml_disc1")
    vectors = jnp.asarray(np.random.default_rng(1).random((3, 17)))

    def both(vector):
        values = parameters.complete(vector)
        return values["ml_disc1"] + 2 * values["ml_disc2"] + values["systemic_velocity"]

    column = parameters.names.index("ml_disc1")
    np.testing.assert_allclose(jax.jit(jax.vmap(both))(vectors), 3 * vectors[:, column], rtol=1e-15)
    np.testing.assert_array_equal(jax.grad(both)(vectors[0]), 3 * np.eye(17)[column])


def test_flatten_is_the_inverse_of_complete():
    parameters = default_parameters().replace("ml_disc2", tied="ml_disc1").replace("y0", value=-0.5)
    vector = np.random.default_rng(2).random(16)
    values = {name: float(v) for name, v in parameters.complete(jnp.asarray(vector)).items()}
    flat = parameters.flatten(values)
    assert flat.dtype == np.float64
    np.testing.assert_array_equal(flat, vector)


def test_flatten_refuses_what_is_missing_or_not_finite():
    parameters = default_parameters()
    values = dict.fromkeys(EIGHTEEN, 1.0)
    del values["x0"]
    with pytest.raises(InputError, match=r"no value for x0;"):
        parameters.flatten(values)
    with pytest.raises(InputError, match=r"x0 = nan"):
        parameters.flatten({**values, "x0": math.nan})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("ml_buldge", "ml_bulge"), ("log10_disk1_mass", "log10_disc1_mass"), ("inclinaton", "inclination")],
)
def test_unknown_names_name_the_nearest(name, nearest):
    parameters = default_parameters()
    with pytest.raises(InputError, match=f"unknown parameter '{name}'; did you mean '{nearest}'"):
        parameters[name]
    with pytest.raises(InputError, match=f"did you mean '{nearest}'"):
        parameters.replace(name, value=1.0)


@pytest.mark.parametrize("place", [0, -1, None])
def test_a_place_is_no_name(place):
    with pytest.raises(InputError, match=rf"unknown parameter {place}; known are x0, y0"):
        default_parameters()[place]


def test_parameters_are_gone_through_in_order():
    parameters = default_parameters()
    assert [p.name for p in parameters][:2] == ["x0", "y0"]
    assert all(parameters[p.name] is p and p.name in parameters for p in parameters)


def test_a_name_like_no_other_lists_the_known():
    with pytest.raises(InputError, match="known are x0, y0"):
        default_parameters()["qqqq"]


@pytest.mark.parametrize("given", [{}, {"value": 1.0, "tied": "x0"}, {"prior": dist.Uniform(0, 1), "value": 1.0}])
def test_exactly_one_of_prior_value_and_tied(given):
    with pytest.raises(InputError, match="exactly one of prior, value and tied"):
        Parameter("a", "", "a", **given)
    with pytest.raises(InputError, match="exactly one of prior, value and tied"):
        default_parameters().replace("y0", **given)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_fixed_values_are_finite(value):
    with pytest.raises(InputError, match=f"fixed at {value}"):
        default_parameters().replace("x0", value=value)


def test_ties_lead_to_free_or_fixed_parameters_of_the_model():
    parameters = default_parameters()
    with pytest.raises(InputError, match="tied to 'ml_disc3'"):
        parameters.replace("ml_disc2", tied="ml_disc3")
    with pytest.raises(InputError, match="tied to 'ml_disc2'"):
        parameters.replace("ml_disc2", tied="ml_disc1").replace("ml_bulge", tied="ml_disc2")
    with pytest.raises(InputError, match="tied to 'ml_disc2'"):
        parameters.replace("ml_disc2", tied="ml_disc2")
    assert parameters.replace("ml_disc2", tied="systemic_velocity")["ml_disc2"].tied == "systemic_velocity"


def test_names_differ():
    with pytest.raises(InputError, match="'x0'"):
        Parameters((*default_parameters().items, default_parameters()["x0"]))


def test_equal_content_is_equal():
    assert default_parameters() == default_parameters()
    assert hash(default_parameters()) == hash(default_parameters())
    assert default_parameters().replace("inclination", prior=Isotropic(0.1, 1.0)) == default_parameters().replace(
        "inclination", prior=Isotropic(0.1, 1.0)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.replace("x0", prior=dist.Uniform(-2, 2.000001)),
        lambda p: p.replace("x0", prior=dist.TruncatedNormal(0.0, 1.0, low=-2.0, high=2.0)),
        lambda p: p.replace("x0", value=0.0),
        lambda p: p.replace("ml_disc2", tied="ml_disc1"),
        lambda p: p.replace("inclination", prior=Isotropic(0.1, math.pi / 3)),
        lambda p: p.replace("systemic_velocity", value=1.0),
        lambda p: dataclasses.replace(p, orders=()),
        lambda p: dataclasses.replace(p, items=(*p.items, JITTER)),
        lambda p: dataclasses.replace(p, items=p.items[::-1]),
        lambda p: default_parameters(("bulge", "disc1", "halo")),
    ],
)
def test_other_content_is_not(change):
    parameters = default_parameters()
    assert change(parameters) != parameters
    assert hash(change(parameters)) != hash(parameters)
    assert change(parameters) == change(default_parameters())


def test_priors_of_one_kind_differ_by_their_numbers():
    numbers = [(0.0, 1.0, -2.0, 2.0), (0.5, 1.0, -2.0, 2.0), (0.0, 1.5, -2.0, 2.0), (0.0, 1.0, -2.0, 1.0)]
    priors = [dist.TruncatedNormal(m, s, low=a, high=b) for m, s, a, b in numbers]
    sets = {default_parameters().replace("x0", prior=p) for p in priors}
    assert len(sets) == len(numbers)


@pytest.mark.parametrize(
    ("prior", "wraps"),
    [
        (dist.Uniform(-math.pi, math.pi), True),
        (dist.Uniform(0.0, 2 * math.pi), True),
        (dist.TruncatedNormal(0.0, 1.0, low=-math.pi, high=math.pi), True),
        (dist.Uniform(0.0, 1.5), False),
        (dist.Normal(0.5, 0.1), False),
    ],
)
def test_an_angle_wraps_where_its_prior_is_a_whole_turn(prior, wraps):
    parameters = default_parameters().replace("position_angle", prior=prior)
    assert (parameters["position_angle"].circle is not None) == wraps
    assert Prior(parameters).periodic.sum() == wraps
    if wraps:
        assert parameters["position_angle"].circle == pytest.approx((float(prior.support.lower_bound), 2 * math.pi))


def test_a_fixed_or_straight_parameter_does_not_wrap():
    parameters = default_parameters()
    assert parameters.replace("position_angle", value=0.5)["position_angle"].circle is None
    assert parameters.replace("x0", prior=dist.Uniform(-math.pi, math.pi))["x0"].circle is None


class TestThickDiscs:
    """Components `thick_disc1` and `thick_disc2` add a thickness each, and lift the limit of the inclination."""

    def test_both(self):
        parameters = default_parameters(("bulge", "thick_disc1", "thick_disc2", "halo"))
        assert parameters.ndim == 20
        assert set(parameters.names) - set(default_parameters().names) == {"thickness_disc1", "thickness_disc2"}
        assert parameters["inclination"].prior.high == pytest.approx(math.pi / 2)
        assert parameters["thickness_disc1"].prior.low == pytest.approx(0.05)
        assert parameters.orders == default_parameters().orders
        assert components_of(parameters) == ("bulge", "thick_disc1", "thick_disc2", "halo")
        check_values({**dict.fromkeys(parameters.names, 0.2), "ml_bulge": 1.0, "inclination": math.pi / 2})

    def test_one_keeps_the_limit_of_the_other(self):
        parameters = default_parameters(("disc1", "thick_disc2"))
        assert parameters["inclination"].prior.high == pytest.approx(math.pi / 3)
        assert "thickness_disc1" not in parameters

    @pytest.mark.parametrize("components", [("disc1", "thick_disc1"), ("thick_bulge",)])
    def test_refused(self, components):
        with pytest.raises(InputError, match=r"twice|thick_bulge"):
            default_parameters(components)
