"""Stellar masses from another file: the known mass-to-light ratio comes back, and bad files end in one sentence."""

import dataclasses
import math

import numpy as np
import pytest
from astropy.io import fits
from scipy.integrate import quad
from synthetic_maps import HEADER, SIDE, synthetic_maps, write
from test_manga import INNER

from galfit_sr.config import FitConfig, ObservationConfig
from galfit_sr.errors import InputError
from galfit_sr.observations import mock_galaxy_path, read, read_manga, read_observation, write_observation
from galfit_sr.running import observe

REDSHIFT = HEADER["SCINPVEL"] / 299792.458
ERROR = 0.1


def spaxel_area():
    """kpc^2 of a spaxel of 0.5 arcsec, from the comoving distance by quadrature (H0 = 70, Om = 0.3)."""
    distance = quad(lambda z: 299792.458 / (70 * math.sqrt(0.3 * (1 + z) ** 3 + 0.7)), 0, REDSHIFT, epsrel=1e-12)[0]
    return (0.5 * math.pi / 648000 * 1e3 * distance / (1 + REDSHIFT)) ** 2


KNOWN = 1 + 4 * np.random.default_rng(5).random((SIDE, SIDE))
"""M_sun/L_sun of every spaxel."""
UNITS = {
    "dex(solMass / kpc2)": 1.0,
    "dex(Msun kpc-2)": 1.0,
    "log10(Msun/kpc^2)": 1.0,
    "dex(M_sun / pc2)": 1e-6,
    "dex(1e9 Msun / kpc2)": 1e-9,
    "dex(solMass / pix)": spaxel_area(),
    "dex(Msun / spaxel)": spaxel_area(),
    "log10(Msun/spaxels^2)": spaxel_area(),
    " log10(m_Sun/spaxels^2)": spaxel_area(),
    "Log(Msun/pixel)": spaxel_area(),
}
"""BUNIT -> the number that 1 M_sun/kpc^2 is in it."""


@pytest.fixture
def maps(tmp_path):
    return write(tmp_path / "maps.fits", synthetic_maps())


@pytest.fixture
def masses(maps):
    """HDUs of a mass file whose masses are KNOWN times the light, NaN where there is none."""
    light = read_manga(maps).values.brightness[INNER]
    images = {"MASS": np.log10(KNOWN) + light, "MASS_ERR": np.full((SIDE, SIDE), ERROR)}
    hdus = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(array, name=name) for name, array in images.items())])
    hdus["MASS"].header["BUNIT"] = "dex(solMass / kpc2)"
    return hdus


@pytest.fixture
def with_masses(maps, tmp_path):
    return lambda hdus, **options: read_manga(maps, masses=write(tmp_path / "mass.fits", hdus), **options)


@pytest.mark.parametrize("unit", UNITS)
def test_a_known_ratio_comes_back_in_every_unit(maps, masses, with_masses, unit):
    masses["MASS"].data += math.log10(UNITS[unit])
    masses["MASS"].header["BUNIT"] = unit
    plain, observation = read_manga(maps), with_masses(masses)
    good = observation.good.ml
    assert observation.available == ("brightness", "velocity", "dispersion", "ml")
    assert np.array_equal(good, plain.good.brightness)
    # Rounding of a difference of logarithms near 10, 1e-15 ln(10), and of two ways to the same distance, 1e-12.
    np.testing.assert_allclose(observation.values.ml[INNER][good[INNER]], KNOWN[good[INNER]], rtol=1e-11)
    relative = math.log(10) * np.hypot(ERROR, plain.errors.brightness[good])
    np.testing.assert_allclose(observation.errors.ml[good], observation.values.ml[good] * relative, rtol=1e-14)
    assert np.all(np.isnan(observation.values.ml[~good]))


def test_nothing_else_changes(maps, masses, with_masses):
    plain, observation = read_manga(maps), with_masses(masses)
    for kind in ("values", "errors", "good"):
        for before, after in zip(getattr(plain, kind)[:3], getattr(observation, kind)[:3], strict=True):
            assert np.array_equal(before, after, equal_nan=True)
    count = observation.good.ml.sum()
    assert observation.notes == (
        f"The mass-to-light ratios of {count} spaxels are masses in mass.fits over the light.",
    )


def test_extinction_makes_more_light_of_the_same_mass(maps, masses, tmp_path):
    mass = write(tmp_path / "mass.fits", masses)
    hdus = synthetic_maps()
    hdus[0].header["EBVGAL"] += 0.1
    before = read_manga(maps, masses=mass)
    after = read_manga(write(tmp_path / "dusty.fits", hdus), masses=mass)
    ratio = after.values.ml[before.good.ml] / before.values.ml[before.good.ml]
    np.testing.assert_allclose(ratio, 10 ** (-0.4 * 3.303 * 0.1), rtol=1e-12)


def test_masks_of_both_files_count(masses, with_masses):
    mask = np.zeros((SIDE, SIDE), dtype=np.int32)
    mask[12, 12] = 4
    masses.append(fits.ImageHDU(mask, name="MASS_MASK"))
    everything = np.isfinite(masses["MASS"].data)
    masses["MASS"].data[12, 12] = np.nan
    masses["MASS"].data[0, 0] = 9.0  # no light there
    observation = with_masses(masses)
    expected = everything.copy()
    expected[12, 12] = False
    assert np.array_equal(observation.good.ml[INNER], expected)
    assert len(observation.notes) == 1


def test_masses_without_a_number_or_an_error_are_left_out_and_counted(masses, with_masses):
    masses["MASS"].data[12, 11] = -np.inf
    masses["MASS"].data[12, 12] = np.nan  # without MASS_MASK, this is how to mask
    masses["MASS_ERR"].data[11, 10:13] = (0.0, -1.0, np.nan)
    observation = with_masses(masses)
    left_out = observation.good.brightness & ~observation.good.ml
    assert np.argwhere(left_out[INNER]).tolist() == [[11, 10], [11, 11], [11, 12], [12, 11], [12, 12]]
    assert observation.notes[-1] == (
        "4 unmasked spaxels of mass.fits have no finite mass or no positive error and are left out."
    )


def test_a_region_takes_the_ratio_along(masses, with_masses):
    observation = with_masses(masses, region="circle(0, 0, 1)")
    assert np.array_equal(observation.good.ml, observation.good.brightness)
    assert "ml" in observation.notes[-1]


def test_an_observation_file_keeps_the_ratio(masses, with_masses, tmp_path):
    observation = with_masses(masses)
    write_observation(tmp_path / "observation.fits", observation)
    assert read_observation(tmp_path / "observation.fits").fingerprint() == observation.fingerprint()


def test_read_and_a_configuration_take_masses_too(maps, masses, with_masses, tmp_path):
    expected = with_masses(masses).fingerprint()
    mass = tmp_path / "mass.fits"
    assert read(maps, masses=mass).fingerprint() == expected
    config = FitConfig(observation=ObservationConfig(file=str(maps), masses=str(mass)))
    assert observe(config).fingerprint() == expected
    without = dataclasses.replace(config, observation=ObservationConfig(file=str(maps)))
    assert observe(without).fingerprint() != expected


def test_an_observation_file_has_its_own_ratio(masses, tmp_path):
    mass = write(tmp_path / "mass.fits", masses)
    with pytest.raises(InputError, match=r"mass.fits' are for a MaNGA MAPS file only; .* is an observation file"):
        read(mock_galaxy_path(), masses=mass)


def _unit(text):
    def damage(hdus):
        if text is None:
            del hdus["MASS"].header["BUNIT"]
        else:
            hdus["MASS"].header["BUNIT"] = text

    return damage


def _fill(name, value):
    def damage(hdus):
        hdus[name].data[:] = value

    return damage


def _set(name, value):
    def damage(hdus):
        hdus[name].data[12, 12] = value

    return damage


def _rename(name):
    def damage(hdus):
        hdus[name].name = "OTHER"

    return damage


def _cropped(*names):
    def damage(hdus):
        for name in names:
            hdus[name].data = hdus[name].data[:, :-1].copy()

    return damage


def _masked(shape, value):
    def damage(hdus):
        hdus.append(fits.ImageHDU(np.full(shape, value, dtype=np.int32), name="MASS_MASK"))

    return damage


def _elsewhere(hdus):
    hdus["MASS"].data[:] = np.where(np.isfinite(hdus["MASS"].data), np.nan, 8.0)


def _table(hdus):
    hdus["MASS"] = fits.BinTableHDU.from_columns([fits.Column("mass", "D", array=np.ones(3))], name="MASS")


NEEDED = r"; 'dex\(solMass / kpc2\)' or, per spaxel, 'dex\(solMass / pix\)' is needed"
LINEAR = ("solMass / kpc2", "m_Sun/spaxels^2")
NOT_PER_AREA = ("dex", "dex(solMass)", "dex(Lsun / kpc2)", "dex(solMass / arcsec2)", "mag(solMass / kpc2)")
NO_UNIT = ("per spaxel", "dex(solMass / kpc2", "dex(solMass / (0 kpc2))", "dex(0 solMass / kpc2)", "Nothing", "  ", 3)
BAD = {
    **{f"unit {text}": (_unit(text), rf"MASS has BUNIT '.*'{NEEDED}") for text in (*LINEAR, *NOT_PER_AREA, *NO_UNIT)},
    "no unit": (_unit(None), f"MASS has no BUNIT that can be read{NEEDED}"),
    "no MASS": (_rename("MASS"), "not a complete mass file: missing MASS$"),
    "no MASS_ERR": (_rename("MASS_ERR"), "not a complete mass file: missing MASS_ERR$"),
    "table": (_table, "MASS"),
    "another grid": (_cropped("MASS", "MASS_ERR"), r"MASS has shape \(24, 23\); \(24, 24\) is needed, as in the MAPS"),
    "error on another grid": (_cropped("MASS_ERR"), r"MASS_ERR has shape \(24, 23\); \(24, 24\) is needed"),
    "mask on another grid": (_masked((3, 3), 0), r"MASS_MASK has shape \(3, 3\); \(24, 24\) is needed"),
    "errors 0": (_fill("MASS_ERR", 0.0), "MASS_ERR is 0 in the first unmasked spaxel and positive in none"),
    "errors negative": (_fill("MASS_ERR", -0.1), "MASS_ERR is -0.1 in the first unmasked spaxel"),
    "errors nan": (_fill("MASS_ERR", np.nan), "MASS_ERR is nan in the first unmasked spaxel"),
    "error huge": (_set("MASS_ERR", 1e9), "ml error of"),
    "masses nan": (_fill("MASS", np.nan), "none of its 0 spaxels with a good mass has good light"),
    "all masked": (_masked((SIDE, SIDE), 1), "none of its 0 spaxels with a good mass has good light"),
    "masses elsewhere": (_elsewhere, r"none of its \d\d+ spaxels with a good mass has good light, as \d\d+ spaxels"),
    "not a logarithm": (
        _set("MASS", 1e8),
        r"MASS amounts to 1e\+08 at row 12, column 12, .* from -20 to 20 is allowed",
    ),
    "mass absurd": (_set("MASS", 15.0), "ml of .* from -10000 to 10000 is allowed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_sentence(masses, with_masses, case):
    damage, sentence = BAD[case]
    damage(masses)
    with pytest.raises(InputError, match=sentence) as caught:
        with_masses(masses)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_fits_files(maps, tmp_path):
    (tmp_path / "text.fits").write_text("no masses here")
    for name, sentence in {"none.fits": "there is no file .*none.fits", "text.fits": "text.fits is not a FITS"}.items():
        with pytest.raises(InputError, match=sentence):
            read_manga(maps, masses=tmp_path / name)
    with pytest.raises(InputError, match=r"missing MASS, MASS_ERR$"):
        read_manga(maps, masses=maps)


def test_a_damaged_unit_is_refused(maps, masses, tmp_path):
    path = write(tmp_path / "mass.fits", masses)
    raw = path.read_bytes()
    start = raw.index(b"BUNIT   = ")
    path.write_bytes(raw[:start] + b"BUNIT   = 'dex(solMass / kpc2)".ljust(80) + raw[start + 80 :])
    with pytest.raises(InputError, match=f"MASS has .*{NEEDED}"):
        read_manga(maps, masses=path)
