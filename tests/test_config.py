"""TOML to typed objects and back; every refusal names the section, the value and what is allowed."""

import dataclasses
import tomllib

import numpyro.distributions as dist
import pytest

from galfit_sr.choices import Choice, PriorChoice
from galfit_sr.config import FitConfig, dumps, load_config, loads
from galfit_sr.errors import InputError
from galfit_sr.inference.likelihood import LikelihoodSettings
from galfit_sr.inference.nested import Nested
from galfit_sr.inference.nuts import Nuts
from galfit_sr.maps import Maps
from galfit_sr.parameters import COMPONENT_NAMES, JITTER, Order, default_parameters
from galfit_sr.prior_kinds import PRIORS
from galfit_sr.psf import DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF

EVERYTHING = """
seed = 3
x64 = true
orders = [{ smaller = ["log10_disc1_radius"], larger = "log10_disc2_radius" }]

[observation]
file = "galaxy.fits"
region = ["circle(1, 2, 3)", "circle(0, -4, 1.5)"]
masses = "mass.fits"
psf_photometry = { kind = "double-gaussian", fwhm = 1.2, fwhm_wide = 3, wide_fraction = 0.1 }
psf_kinematics = { kind = "moffat", fwhm = 2.5, beta = 3.5 }

[model]
components = ["bulge", "disc1", "disc2", "halo"]
fidelity = "point"

[parameters]
inclination = { prior = { isotropic = [0.1, 1.5] } }
halo_concentration = { value = 10 }
k_disc2 = { tied = "k_disc1" }
x0 = { prior = { truncated_normal = [0, 1, -2, 2] } }
ml_bulge = { prior = { loguniform = [0.1, 20] } }
ml_disc1 = { prior = { normal = [5, 1] } }
log10_brightness_jitter = { prior = { uniform = [-4, -1] } }

[likelihood]
kind = "student-t"
degrees_of_freedom = 3
weights = { ml = 0, velocity = 0.25 }
correlation = 1.6

[sampler]
kind = "nested"
nlive = 123
"""


def test_every_section_is_read():
    config = loads(EVERYTHING)
    assert (config.seed, config.x64) == (3, True)
    assert config.orders == (Order(("log10_disc1_radius",), "log10_disc2_radius"),)
    assert config.observation.file == "galaxy.fits"
    assert config.observation.region == ("circle(1, 2, 3)", "circle(0, -4, 1.5)")
    assert config.observation.masses == "mass.fits"
    assert config.observation.psf_photometry == DoubleGaussianPSF(1.2, 3.0, 0.1)
    assert config.observation.psf_kinematics == MoffatPSF(2.5, 3.5)
    assert config.model.fidelity == "point"
    assert config.parameters["halo_concentration"] == Choice(value=10.0)
    assert config.parameters["k_disc2"] == Choice(tied="k_disc1")
    assert config.parameters["x0"] == Choice(PriorChoice("truncated_normal", (0.0, 1.0, -2.0, 2.0)))
    assert config.likelihood == LikelihoodSettings("student-t", 3.0, Maps(1.0, 0.25, 1.0, 0.0), 1.6)
    assert config.sampler == Nested(nlive=123)


def test_choices_reach_the_parameters():
    parameters = loads(EVERYTHING).apply(default_parameters())
    assert parameters["halo_concentration"].value == 10.0
    assert parameters["k_disc2"].tied == "k_disc1"
    assert parameters[JITTER.name].is_free
    assert parameters.ndim == 18 - 2 + 1
    assert parameters.orders == (Order(("log10_disc1_radius",), "log10_disc2_radius"),)


def test_an_empty_file_is_the_default_configuration():
    assert loads("") == FitConfig()
    assert FitConfig().apply(default_parameters()) == default_parameters()


@pytest.mark.parametrize("text", ["", EVERYTHING], ids=["empty", "everything"])
def test_dumped_text_gives_the_same_configuration(text):
    config = loads(text)
    assert loads(dumps(config)) == config


def test_complete_configuration_needs_no_defaults():
    config = loads(EVERYTHING)
    parameters = config.apply(default_parameters())
    written = loads(dumps(config.complete(parameters)))
    assert set(written.parameters) == {p.name for p in parameters}
    # Onto other defaults: nothing of them may show through.
    other = default_parameters().replace("bulge_slope", value=1.0).replace("systemic_velocity", value=30.0)
    assert written.apply(other) == parameters


def test_limits_belong_to_a_session():
    config = loads("[sampler]\nnlive = 99\nmax_seconds = 60\nmax_calls = 1000")
    assert (config.sampler.max_seconds, config.sampler.max_calls) == (60.0, 1000)
    assert config.complete(default_parameters()).sampler == Nested(nlive=99)


@pytest.mark.parametrize("kind", PRIORS)
def test_prior_keeps_its_numbers(kind):
    numbers = {"uniform": (0.1, 0.7), "loguniform": (0.1, 0.7), "isotropic": (0.1, 0.7), "normal": (0.3, 0.1)}
    numbers["truncated_normal"] = (0.3, 0.1, 0.1, 0.7)
    choice = Choice(PriorChoice(kind, numbers[kind]))
    parameters = FitConfig(parameters={"inclination": choice}).apply(default_parameters())
    assert FitConfig().complete(parameters).parameters["inclination"] == choice
    # The median lies where its distribution function is one half, inside the bounds given.
    median = parameters["inclination"].prior.icdf(0.5)
    assert 0.1 < median < 0.7


@pytest.mark.parametrize("prior", [dist.Cauchy(0.0, 1.0), dist.TruncatedCauchy(0.0, 1.0, low=-1.0, high=1.0)])
def test_a_prior_that_toml_cannot_hold_is_refused(prior):
    parameters = default_parameters().replace("x0", prior=prior)
    with pytest.raises(InputError, match="the prior of 'x0' is a"):
        FitConfig().complete(parameters)


@pytest.mark.parametrize(
    "psf",
    [GaussianPSF(2.5), DoubleGaussianPSF(1.0, 2.0, 0.3), MoffatPSF(2.0, 3.0), ImagePSF(((0.0, 1.0, 0.0),) * 3)],
    ids=lambda psf: type(psf).__name__,
)
def test_every_psf_survives_a_round_trip(psf):
    base = FitConfig()
    config = dataclasses.replace(base, observation=dataclasses.replace(base.observation, psf_kinematics=psf))
    assert loads(dumps(config)) == config


def test_strings_are_escaped():
    base = FitConfig()
    name = 'a "quoted" \\ name\twith \x7f and é.fits'
    config = dataclasses.replace(base, observation=dataclasses.replace(base.observation, file=name))
    assert tomllib.loads(dumps(config))["observation"]["file"] == name


def test_overrides_come_before_the_file():
    config = loads("seed = 3\n[sampler]\nnlive = 123").override(
        seed=None, file="x.fits", masses="m.fits", nlive=77, max_calls=None
    )
    assert config.seed == 3
    assert config.observation.file == "x.fits"
    assert config.observation.masses == "m.fits"
    assert config.sampler == Nested(nlive=77)


def test_another_sampler_has_its_own_defaults_the_same_keeps_its_settings():
    nested = loads("[sampler]\nnlive = 123\nmax_seconds = 60")
    assert nested.override(kind="nuts", max_calls=5).sampler == Nuts(max_calls=5)
    assert nested.override(kind="nested").sampler == nested.sampler
    nuts = loads("[sampler]\nkind = 'nuts'\nchains = 6")
    assert nuts.override(kind="nuts", max_calls=5).sampler == Nuts(chains=6, max_calls=5)
    assert loads(dumps(nuts)).sampler == Nuts(chains=6)
    with pytest.raises(InputError, match="nlive is no setting of the sampler nuts"):
        nuts.override(nlive=100)


REFUSED = {
    "sead = 1": "unknown key or section 'sead'; did you mean 'seed'",
    "[samplr]": "'samplr'; did you mean 'sampler'",
    "[sampler]\nnliv = 3": r"\[sampler\]: 'nliv'; did you mean 'nlive'",
    "[observation]\nfiel = 'x'": r"\[observation\]: 'fiel'; did you mean 'file'",
    "[parameters]\ninclinaton = { value = 1 }": r"\[parameters\]: 'inclinaton'; did you mean 'inclination'",
    "[parameters]\nx0 = { prir = 1 }": r"\[parameters.x0\]: 'prir'; did you mean 'prior'",
    "[parameters]\nx0 = { prior = { unifrm = [0, 1] } }": "'unifrm'; did you mean 'uniform'",
    "seed = 1.5": "seed = 1.5; a whole number is needed",
    "seed = true": "seed = True; a whole number is needed",
    "sampler = 3": "sampler = 3; a table is needed",
    "[sampler]\nnlive = 'many'": r"\[sampler\] nlive = 'many'; a whole number is needed",
    "[sampler]\nnlive = 3": "nlive is 3; a whole number of at least 40",
    "[sampler]\nstart = 'posterior'": "start is 'posterior'; allowed are",
    "[sampler]\nkind = 'emcee'": "'emcee'; allowed are 'nested', 'nuts', 'nss'",
    "[sampler]\nkind = 'nuts'\nnlive = 100": "nlive",
    "[likelihood]\nkind = 'cauchy'": "likelihood kind is 'cauchy'",
    "[likelihood]\nweights = { velocty = 1 }": r"\[likelihood.weights\]: 'velocty'; did you mean 'velocity'",
    "[likelihood]\nweights = { velocity = 'a' }": "weights.velocity = 'a'; a number is needed",
    "[likelihood]\nweights = { velocity = -1 }": "weight of velocity is -1",
    "[likelihood]\ncorrelation = -1": "correlation is -1",
    "[likelihood]\ncorrelation = 'wide'": "correlation = 'wide'; a number is needed",
    "[observation]\nmasses = 3": r"\[observation\] masses = 3; a string is needed",
    "[model]\nfidelity = 'pixle'": r"\[model\] fidelity = 'pixle'; one of 'point', 'pixel' is needed",
    "[model]\ncomponents = 'bulge'": r"components = 'bulge'; an array, each element a string, is needed",
    "[model]\ncomponents = ['bulge', 'disk1']": "'disk1'; did you mean 'disc1'",
    "[parameters]\nx0 = 3": "parameters.x0 = 3; a table is needed",
    "[parameters]\nx0 = {}": "exactly one of prior, value, tied",
    "[parameters]\nx0 = { value = 1, tied = 'y0' }": "exactly one of prior, value, tied",
    "[parameters]\nx0 = { value = 'a' }": "value = 'a'; a number is needed",
    "[parameters]\nx0 = { value = inf }": "fixed at inf; a finite number is needed",
    "[parameters]\nx0 = { tied = 'z0' }": "'x0' is tied to 'z0'",
    "[parameters]\nx0 = { prior = { uniform = [0] } }": r"prior.uniform = \[0\]; an array of 2",
    "[parameters]\nx0 = { prior = { uniform = [0, nan] } }": "finite numbers",
    "[parameters]\nx0 = { prior = { uniform = [1, 0.2] } }": r"prior.uniform = \[1.0, 0.2\]; the lower bound must come",
    "[parameters]\nx0 = { prior = { uniform = [1, 1] } }": "the lower bound must come",
    "[parameters]\nx0 = { prior = { truncated_normal = [0, 1, 2, -2] } }": "the lower bound must come",
    "[parameters]\nx0 = { prior = { normal = [0, 0] } }": "standard deviation must be positive",
    "[parameters]\ninclination = { prior = { isotropic = [-0.5, 1] } }": "between 0 and pi",
    "[parameters]\nml_bulge = { prior = { loguniform = [0, 1] } }": "both bounds must be positive",
    "[parameters]\nx0 = { prior = { uniform = [0, 1], normal = [0, 1] } }": "exactly one of uniform",
    "[observation]\npsf_kinematics = { kind = 'gauss', fwhm = 2 }": "kind = 'gauss'; one of 'gaussian'",
    "[observation]\npsf_kinematics = { kind = 'moffat', fwhm = 2 }": "has no 'beta'",
    "[observation]\npsf_kinematics = { kind = 'moffat', fwhm = 2, beta = 0.5 }": "beta of the Moffat PSF is 0.5",
    "[observation]\npsf_kinematics = { kind = 'gaussian', fwhm = -2 }": "FWHM of the PSF is -2",
    "orders = [{ smaller = ['x0'], larger = 'yy' }]": "unknown parameter 'yy'",
    "orders = [{ smaller = ['x0'] }]": "has no 'larger'",
    "seed =": "not valid TOML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_bad_configuration_is_refused_in_one_sentence(text):
    with pytest.raises(InputError, match=REFUSED[text]) as refused:
        loads(text, "fit.toml")
    assert str(refused.value).startswith("fit.toml")
    assert "\n" not in str(refused.value)


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "fit.toml").write_text(
        '[observation]\nfile = "galaxy.fits"\nregion = "mask.fits"\nmasses = "mass.fits"\n'
    )
    config = load_config(tmp_path / "fit.toml")
    assert config.observation.file == str(tmp_path / "galaxy.fits")
    assert config.observation.region == str(tmp_path / "mask.fits")
    assert config.observation.masses == str(tmp_path / "mass.fits")


def test_circles_are_no_paths(tmp_path):
    (tmp_path / "fit.toml").write_text('[observation]\nregion = "circle(0, 0, 2)"\n')
    assert load_config(tmp_path / "fit.toml").observation.region == "circle(0, 0, 2)"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_unreadable_file_is_refused(tmp_path, content):
    path = tmp_path / "fit.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a configuration"):
        load_config(path)


def test_thick_discs_are_components():
    config = loads(
        """
        [model]
        components = ["bulge", "thick_disc1", "thick_disc2", "halo"]
        [parameters]
        thickness_disc1 = { value = 0.2 }
        thickness_disc2 = { prior = { uniform = [0.05, 0.3] } }
        """
    )
    parameters = config.apply(default_parameters(config.components))
    assert parameters.ndim == 19
    assert loads(dumps(config.complete(parameters))).apply(parameters) == parameters
    with pytest.raises(InputError, match="thickness_disc1"):
        loads("[parameters]\nthickness_disc1 = { value = 0.2 }")


def test_components_are_the_emulators_where_nothing_else_says():
    thick = ("bulge", "thick_disc1", "thick_disc2", "halo")
    plain = FitConfig()
    assert plain.components == COMPONENT_NAMES
    assert plain.override(emulator="conditioned-thick").components == thick
    assert plain.override(emulator="conditioned-thick", components=("disc1", "halo")).components == ("disc1", "halo")
    assert loads('[model]\ncomponents = ["disc1"]').override(emulator="conditioned-thick").components == ("disc1",)
    written = loads(dumps(plain.override(emulator="conditioned-thick").complete(default_parameters(thick))))
    assert written.model.components == thick
    with pytest.raises(InputError, match="conditionned"):
        _ = plain.override(emulator="conditionned").components
