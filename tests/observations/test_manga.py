"""The MAPS reader: every rule of the format, bad files, and the real files where they are at hand."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from synthetic_maps import CENTRE, HEADER, PA, SIDE, STAR, content, synthetic_maps, write

from galfit_sr.correlation import along_a_side
from galfit_sr.errors import InputError
from galfit_sr.maps import Observation
from galfit_sr.observations import read, read_manga, write_observation
from galfit_sr.observations.light import log10_surface_brightness
from galfit_sr.observations.rotation import axis_difference, kinematic_position_angle
from galfit_sr.psf import GaussianPSF

SHIFT = (80 - SIDE) // 2
INNER = (slice(SHIFT, SHIFT + SIDE),) * 2
REAL = Path(__file__).parents[2].parent / "shared" / "manga"
NAMES = [hdu.name for hdu in synthetic_maps()[1:]]


@pytest.fixture
def hdus():
    return synthetic_maps()


@pytest.fixture
def observe(tmp_path):
    def observe(hdus, **options):
        return read_manga(write(tmp_path / "maps.fits.gz", hdus), **options)

    return observe


def a_bin(hdus, spaxels):
    """(row, column) of the first spaxel of the lowest bin that has this many spaxels, and its (SIDE, SIDE) mask."""
    bins = hdus["BINID"].data[1]
    label = next(b for b in np.unique(bins[bins >= 0]) if np.sum(bins == b) == spaxels)
    return tuple(np.argwhere(bins == label)[0]), bins == label


def test_kinematics_lie_where_the_file_has_them(hdus, observe):
    observation = observe(hdus)
    good = observation.good.velocity
    assert np.array_equal(good[INNER], hdus["STELLAR_VEL_MASK"].data == 0)
    assert good.sum() == good[INNER].sum()
    inner = good[INNER]
    assert np.array_equal(observation.values.velocity[INNER][inner], hdus["STELLAR_VEL"].data[inner].astype(float))
    expected = 1 / np.sqrt(hdus["STELLAR_VEL_IVAR"].data[inner].astype(float))
    assert np.array_equal(observation.errors.velocity[INNER][inner], expected)
    assert observation.available == ("brightness", "velocity", "dispersion")


def test_noise_of_a_cube_is_correlated(hdus, observe):
    """Neighbouring spaxels of MaNGA's cubes have a correlation of exp(-1 / (2 1.92^2)) = 0.87."""
    observation = observe(hdus)
    side = along_a_side(observation.size, observation.correlation / observation.pixel_scale)
    assert side[0, 1] == pytest.approx(np.exp(-1 / (2 * 1.92**2)), abs=0.005)


def test_bins_are_those_of_the_stellar_continuum(hdus, observe):
    observation = observe(hdus)
    assert np.array_equal(observation.bins[INNER], hdus["BINID"].data[1])
    outside = np.ones((80, 80), dtype=bool)
    outside[INNER] = False
    assert np.all(observation.bins[outside] == -1)


def test_older_files_have_plain_bins_and_a_plain_correction(hdus, observe):
    new = observe(hdus)
    hdus["BINID"].data = hdus["BINID"].data[1].copy()
    hdus["STELLAR_SIGMACORR"].data = hdus["STELLAR_SIGMACORR"].data[0].copy()
    assert observe(hdus).fingerprint() == new.fingerprint()


@pytest.mark.parametrize(("masked", "other"), [("VEL", "SIGMA"), ("SIGMA", "VEL")])
def test_velocity_and_dispersion_have_their_own_masks(hdus, observe, masked, other):
    maps = {"VEL": "velocity", "SIGMA": "dispersion"}
    pixel, _ = a_bin(hdus, 1)
    hdus[f"STELLAR_{masked}_MASK"].data[pixel] = 1 << 5
    good = observe(hdus).good
    assert not getattr(good, maps[masked])[INNER][pixel]
    assert getattr(good, maps[other])[INNER][pixel]


def test_a_masked_spaxel_takes_its_bin_along(hdus, observe):
    pixel, members = a_bin(hdus, 2)
    hdus["STELLAR_VEL_MASK"].data[pixel] = 1 << 7
    good = observe(hdus).good
    assert not np.any(good.velocity[INNER][members])
    assert np.all(good.dispersion[INNER][members])


def test_no_inverse_variance_means_no_value(hdus, observe):
    _, members = a_bin(hdus, 2)
    hdus["STELLAR_SIGMA_IVAR"].data[members] = 0
    observation = observe(hdus)
    assert not np.any(observation.good.dispersion[INNER][members])
    assert any("2 unmasked spaxels of STELLAR_SIGMA have no error" in note for note in observation.notes)


def test_spaxels_without_a_bin_do_not_count(hdus, observe):
    pixel, _ = a_bin(hdus, 1)
    hdus["BINID"].data[:, pixel[0], pixel[1]] = -1
    observation = observe(hdus)
    for name in ("brightness", "velocity", "dispersion"):
        assert not getattr(observation.good, name)[INNER][pixel]


def test_dispersion_is_corrected_in_squares(hdus, observe):
    observation = observe(hdus)
    inner = observation.good.dispersion[INNER]
    raw = hdus["STELLAR_SIGMA"].data[inner].astype(float)
    expected = np.sqrt(raw**2 - 30.0**2)
    # Only the order of operations differs: rounding.
    np.testing.assert_allclose(observation.values.dispersion[INNER][inner], expected, rtol=1e-14)
    step = 1e-4
    slope = (np.sqrt((raw + step) ** 2 - 900) - np.sqrt((raw - step) ** 2 - 900)) / (2 * step)
    error = slope / np.sqrt(hdus["STELLAR_SIGMA_IVAR"].data[inner].astype(float))
    # Central difference: truncation step^2/6 times the third derivative, below 1e-10, and rounding 1e-14 raw/step.
    np.testing.assert_allclose(observation.errors.dispersion[INNER][inner], error, rtol=1e-7)


def test_imaginary_dispersions_are_dropped_and_counted(hdus, observe):
    for spaxels in (1, 2):
        _, members = a_bin(hdus, spaxels)
        hdus["STELLAR_SIGMA"].data[members] = 29.0
    observation = observe(hdus)
    total = np.unique(hdus["BINID"].data[1]).size - 1
    assert any(note.startswith(f"2 of {total} bins have no dispersion") for note in observation.notes)
    assert not np.any(observation.good.dispersion[INNER][members])
    assert np.all(observation.good.velocity[INNER][members])


def test_a_correction_that_was_not_stored_is_reported(hdus, observe):
    assert not any("SIGMACORR" in note for note in observe(hdus).notes)
    hdus["STELLAR_SIGMACORR"].data[0] = 0
    observation = observe(hdus)
    assert any("SIGMACORR is zero everywhere" in note for note in observation.notes)
    inner = observation.good.dispersion[INNER]
    np.testing.assert_array_equal(observation.values.dispersion[INNER][inner], hdus["STELLAR_SIGMA"].data[inner])


def test_light_becomes_a_luminosity_surface_density():
    """Against the energy argument: 4 pi (1+z)^4 I_nu is the emitted L_nu per area; the Sun's is 4 pi (10 pc)^2 f_nu."""
    flux, area, redshift, reddening = 0.7, 0.25, 0.03, 0.1
    f_nu = flux * 1e-17 * 4702.0**2 / 2.99792458e18 * 10 ** (0.4 * 3.303 * reddening)
    intensity = f_nu / (area * (math.pi / 648000) ** 2)
    sun = 10 ** (-0.4 * (5.11 + 48.60))
    expected = math.log10((1 + redshift) ** 4 * intensity / (sun * 1e-4))  # (10 pc)^2 = 1e-4 kpc^2
    found = log10_surface_brightness(np.array(flux), area=area, redshift=redshift, reddening=reddening)
    assert found == pytest.approx(expected, abs=1e-12)


def test_brightness_uses_extinction_redshift_and_a_floor(hdus, observe):
    observation = observe(hdus, brightness_floor=0.03)
    pixel = (12, 12)
    flux = float(hdus["SPX_MFLUX"].data[pixel])
    ratio = flux * math.sqrt(float(hdus["SPX_MFLUX_IVAR"].data[pixel]))
    expected = log10_surface_brightness(np.array(flux), area=0.25, redshift=9000 / 299792.458, reddening=0.05)
    assert observation.values.brightness[INNER][pixel] == pytest.approx(float(expected), abs=1e-12)
    error = math.hypot(0.4342944819 / ratio, 0.03)
    assert observation.errors.brightness[INNER][pixel] == pytest.approx(error, rel=1e-9)


def test_light_without_signal_is_left_out(hdus, observe):
    sky, faint, kept = (12, 11), (12, 12), (12, 13)
    ivar = hdus["SPX_MFLUX_IVAR"].data
    hdus["SPX_MFLUX"].data[sky] = -0.01
    hdus["SPX_MFLUX"].data[faint] = 2.9 / np.sqrt(ivar[faint])
    hdus["SPX_MFLUX"].data[kept] = 3.1 / np.sqrt(ivar[kept])
    observation = observe(hdus)
    assert [bool(observation.good.brightness[INNER][p]) for p in (sky, faint, kept)] == [False, False, True]
    assert observation.good.velocity[INNER][sky]
    assert observe(hdus, brightness_snr=2.0).good.brightness[INNER][faint]


def test_a_foreground_star_is_masked_in_the_light_too(hdus, observe):
    star = hdus["STELLAR_VEL_MASK"].data[STAR] == 0
    for name in ("STELLAR_VEL_MASK", "STELLAR_SIGMA_MASK"):
        hdus[name].data[STAR] |= (1 << 30) + (1 << 3)
    hdus[0].header["DAPQUAL"] = 1
    observation = observe(hdus)
    assert star.any()
    assert not np.any(observation.good.brightness[INNER][STAR])
    assert any(note.startswith("DAPQUAL bit 0: a foreground star") for note in observation.notes)
    assert any(note.startswith("9 spaxels are masked because of a foreground star") for note in observation.notes)


def test_quality_bits_become_sentences(hdus, observe):
    assert observe(hdus).notes == ()
    hdus[0].header["DAPQUAL"] = (1 << 30) + (1 << 5)
    hdus[0].header["DRP3QUAL"] = 1 << 8
    notes = observe(hdus).notes
    assert [note.split(":")[0] for note in notes] == ["DRP3QUAL bit 8", "DAPQUAL bit 5", "DAPQUAL bit 30"]
    assert "do not use for science" in notes[-1]
    del hdus[0].header["DAPQUAL"]
    assert any("no DAPQUAL" in note for note in observe(hdus).notes)


def test_masked_bins_are_reported_by_reason(hdus, observe):
    _, members = a_bin(hdus, 2)
    hdus["STELLAR_VEL_MASK"].data[members] = (1 << 30) + (1 << 8)
    notes = observe(hdus).notes
    assert "2 binned spaxels have no velocity because of a fit at the edge of its range." in notes


def test_header_gives_scales_and_place(hdus, observe):
    observation = observe(hdus)
    assert observation.name == "manga-1234-1901"
    assert observation.redshift == 9000 / 299792.458
    assert observation.pixel_scale == 0.5
    assert (observation.psf_photometry, observation.psf_kinematics) == (GaussianPSF(2.6), GaussianPSF(2.5))
    assert observation.sky == (HEADER["OBJRA"], HEADER["OBJDEC"])
    assert observation.photometry == {"reff_arcsec": 4.0, "pa_deg": 58.0, "ellipticity": 0.4}
    # SPX_SKYCOO is stored in single precision: 6 arcsec / 2^24 per spaxel of 0.5 arcsec, averaged.
    assert observation.origin == pytest.approx((CENTRE[0] + SHIFT, CENTRE[1] + SHIFT), abs=1e-6)


def test_extinction_that_is_not_known_is_reported(hdus, observe):
    with_extinction = observe(hdus)
    del hdus[0].header["EBVGAL"]
    without = observe(hdus)
    assert any("EBVGAL" in note for note in without.notes)
    good = without.good.brightness
    difference = (with_extinction.values.brightness - without.values.brightness)[good]
    np.testing.assert_allclose(difference, 0.4 * 3.303 * 0.05, rtol=1e-9)


def test_rotation_about_another_axis_is_reported(hdus, observe):
    hdus[0].header["ECOOPA"] = PA - 45
    (note,) = observe(hdus).notes
    assert "kinematic position angle" in note
    hdus[0].header["ECOOELL"] = 0.05
    assert observe(hdus).notes == ()
    hdus[0].header.update(ECOOELL=0.4, ECOOPA=PA + 170)
    assert observe(hdus).notes == ()


def test_no_rotation_is_reported(hdus, observe):
    hdus["STELLAR_VEL"].data[:] = 0
    assert any("no clear rotation" in note for note in observe(hdus).notes)


@pytest.mark.parametrize("angle", [0.0, 77.0, 180.0, 295.0])
def test_kinematic_position_angle_is_that_of_the_receding_side(angle):
    random = np.random.default_rng(3)
    east, north = random.uniform(-8, 8, (2, 400))
    phi = math.radians(angle)
    along, across = east * math.sin(phi) + north * math.cos(phi), east * math.cos(phi) - north * math.sin(phi)
    radius = np.hypot(along, across / 0.6)
    velocity = -30 + 100 * np.tanh(radius / 2) * along / radius + random.normal(size=400) * 10
    velocity[::40] = 500.0  # failed fits
    found = kinematic_position_angle(east, north, velocity, np.full(400, 10.0))
    # 10 km/s noise on 400 points of a 100 km/s disc: about 0.5 deg; 3 deg allows for the outliers.
    assert abs((found - angle + 180) % 360 - 180) < 3


def test_axes_differ_by_at_most_a_right_angle():
    assert [axis_difference(*pair) for pair in ((43, 140), (350, 10), (90, 270))] == [83, 20, 0]


def test_dispersions_of_failed_fits_are_reported(hdus, observe):
    _, members = a_bin(hdus, 2)
    hdus["STELLAR_SIGMA"].data[members] = 520.0
    assert any(note.startswith("1 bins have dispersions above 400") for note in observe(hdus).notes)


def _set(name, value, where=(12, 12)):
    def damage(hdus):
        hdus[name].data[where] = value

    return damage


def _card(key, value):
    def damage(hdus):
        if value is None:
            del hdus[0].header[key]
        else:
            hdus[0].header[key] = value

    return damage


def _all(*names, value):
    def damage(hdus):
        for name in names:
            hdus[name].data[:] = value

    return damage


def _without(name):
    def damage(hdus):
        del hdus[name]

    return damage


def _cropped(name):
    def damage(hdus):
        hdus[name].data = hdus[name].data[..., :-1].copy()

    return damage


MASKS = ("STELLAR_VEL_MASK", "STELLAR_SIGMA_MASK")
BAD = {
    **{f"no {name}": (_without(name), name) for name in NAMES},
    **{f"shape of {name}": (_cropped(name), "shape|SPX_SKYCOO") for name in NAMES},
    "all masked": (_all(*MASKS, value=1 << 30), "no spaxel has a good velocity"),
    "no bins": (_all("BINID", value=-1), "no spaxel has a good velocity"),
    "no errors": (_all("STELLAR_VEL_IVAR", value=0), "no spaxel has a good velocity"),
    "no dispersion": (_all("STELLAR_SIGMA", value=1), "no spaxel has a good dispersion"),
    "no light": (_all("SPX_MFLUX", value=-1), "no spaxel has light"),
    "velocity nan": (_set("STELLAR_VEL", np.nan), "STELLAR_VEL is nan"),
    "velocity inf": (_set("STELLAR_VEL", np.inf), "STELLAR_VEL is inf"),
    "velocity huge": (_set("STELLAR_VEL", 1e30), "velocity of 1e[+]30"),
    "error nan": (_set("STELLAR_VEL_IVAR", np.nan), "inverse variance nan"),
    "error negative": (_set("STELLAR_SIGMA_IVAR", -1.0), "inverse variance -1"),
    "error tiny": (_set("STELLAR_SIGMA_IVAR", 1e30), "dispersion error of"),
    "error huge": (_set("STELLAR_VEL_IVAR", 1e-30), "velocity error of 1e[+]15"),
    "light nan": (_set("SPX_MFLUX", np.nan), "SPX_MFLUX is nan"),
    "light error nan": (_set("SPX_MFLUX_IVAR", np.nan), "inverse variance nan"),
    "light error negative": (_set("SPX_MFLUX_IVAR", -2.0), "inverse variance -2"),
    "light huge": (_set("SPX_MFLUX", 1e30), "brightness of"),
    "correction nan": (_set("STELLAR_SIGMACORR", np.nan, (0, 12, 12)), "STELLAR_SIGMACORR"),
    "position nan": (_set("SPX_SKYCOO", np.nan, (0, 3, 3)), "SPX_SKYCOO"),
    "bin label": (_set("BINID", 10**6, (1, 12, 12)), "BINID"),
    "unequal bin": (_set("STELLAR_VEL", 77.0, (12, 4)), "differs between spaxels of bin"),
    "no redshift": (_card("SCINPVEL", None), "SCINPVEL"),
    "redshift 0": (_card("SCINPVEL", 0.0), "SCINPVEL"),
    "redshift -999": (_card("SCINPVEL", -999.0), "SCINPVEL"),
    "redshift absurd": (_card("SCINPVEL", 1e9), "SCINPVEL"),
    "redshift text": (_card("SCINPVEL", "fast"), "SCINPVEL"),
    "no light PSF": (_card("GFWHM", None), "GFWHM"),
    "no kinematic PSF": (_card("RFWHM", None), "RFWHM"),
    "PSF 0": (_card("GFWHM", 0.0), "GFWHM"),
    "PSF -1": (_card("RFWHM", -1.0), "RFWHM"),
    "PSF true": (_card("RFWHM", True), "RFWHM"),
    "extinction": (_card("EBVGAL", -9999.0), "EBVGAL"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_sentence(hdus, observe, case):
    damage, sentence = BAD[case]
    damage(hdus)
    with pytest.raises(InputError, match=sentence) as caught:
        observe(hdus)
    assert "\n" not in str(caught.value)


def test_every_missing_extension_is_named(hdus, observe):
    for name in ("BINID", "STELLAR_VEL"):
        del hdus[name]
    with pytest.raises(InputError, match=r"missing BINID, STELLAR_VEL$"):
        observe(hdus)


def test_an_image_larger_than_the_canvas_is_refused(hdus, observe):
    assert observe(hdus, canvas=SIDE).size == SIDE
    with pytest.raises(InputError, match="24x24 spaxels; at most 23x23"):
        observe(hdus, canvas=SIDE - 1)


def test_a_header_that_says_nan_is_refused(hdus, tmp_path):
    raw = content(hdus)
    card = next(raw[i : i + 80] for i in range(0, 2880 * 2, 80) if raw[i : i + 8] == b"SCINPVEL")
    path = tmp_path / "nan.fits"
    path.write_bytes(raw.replace(card, b"SCINPVEL=                  NaN".ljust(80)))
    with pytest.raises(InputError, match="SCINPVEL"):
        read(path)


def test_files_that_are_no_fits_files(hdus, tmp_path):
    raw = content(hdus)
    cases = {
        "nothing.fits": (None, "there is no file"),
        "empty.fits": (b"", "is not a FITS file"),
        "text.fits": (b"no galaxy here", "is not a FITS file"),
        "text.fits.gz": (gzip.compress(b"no galaxy here"), "is not a FITS file"),
        "short.fits.gz": (gzip.compress(raw)[:-100], "truncated"),
        "damaged.fits.gz": (gzip.compress(raw)[:200] + b"\0" * 50 + gzip.compress(raw)[250:], "damaged"),
        "short.fits": (raw[: -2 * 2880], "truncated"),
        "other.fits": (content(fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3)))])), "neither a MaNGA MAPS file"),
    }
    for name, (written, sentence) in cases.items():
        path = tmp_path / name
        if written is not None:
            path.write_bytes(written)
        with pytest.raises(InputError, match=sentence):
            read(path)
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)


def _damaged(raw, random):
    """A random injury to a FITS file."""
    kind = random.integers(6)
    if kind == 0:
        return raw[: random.integers(1, len(raw))]
    if kind == 1:
        flipped = bytearray(raw)
        for position in random.integers(0, len(raw), 40):
            flipped[position] ^= 1 << random.integers(8)
        return bytes(flipped)
    if kind == 2:
        # In headers alone, where a flipped bit changes the file's structure.
        flipped = bytearray(raw)
        starts = [i for i in range(0, len(raw), 2880) if raw[i : i + 8] in (b"SIMPLE  ", b"XTENSION")]
        for _ in range(3):
            flipped[random.choice(starts) + random.integers(0, 800)] ^= 1 << random.integers(8)
        return bytes(flipped)
    hdus = fits.HDUList.fromstring(raw)
    hdu = hdus[int(random.integers(1, len(hdus)))]
    if kind == 3:
        hdu.name = "OTHER"
    elif kind == 4:
        hdu.data = [hdu.data.T.copy(), hdu.data[..., None].copy(), hdu.data[0].copy()][random.integers(3)]
    elif hdu.data.dtype.kind == "f":
        values = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-38, 0.0)
        hdu.data = np.where(random.random(hdu.data.shape) < 0.05, values[random.integers(len(values))], hdu.data)
        hdu.data = hdu.data.astype(np.float32)
    return content(hdus)


def outcome(path):
    """The observation, or the sentence that says why there is none; anything else is the test's failure."""
    try:
        return read(path)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("block", range(6))
def test_damaged_files_never_end_in_anything_but_a_sentence(tmp_path, block):
    raw = content(synthetic_maps())
    for seed in range(20 * block, 20 * block + 20):
        path = tmp_path / f"{seed}.fits"
        path.write_bytes(_damaged(raw, np.random.default_rng(seed)))
        result = outcome(path)
        if isinstance(result, Observation):
            write_observation(tmp_path / "again.fits", result)
        else:
            assert "\n" not in result, seed


FILES = {
    # bins with a good velocity, bins with a good dispersion, kinematic position angle [deg] and its tolerance
    "manga-10215-3703-MAPS-HYB10-MILESHC-MASTARSSP.fits.gz": (384, 384, 216, 4),
    "manga-7815-3702-MAPS-HYB10-GAU-MILESHC.fits.gz": (497, 497, 166, 4),
    "manga-10001-3702-MAPS-HYB10-MILESHC-MASTARSSP.fits.gz": (281, 276, None, None),
    "manga-11025-1902-MAPS-HYB10-MILESHC-MASTARSSP.fits.gz": (316, 316, None, None),
}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real MaNGA files in {REAL}")
@pytest.mark.parametrize("file", FILES)
def test_real_files(file):
    velocity_bins, dispersion_bins, angle, tolerance = FILES[file]
    observation = read(REAL / file)
    bins, good = observation.bins, observation.good
    assert np.unique(bins[good.velocity]).size == velocity_bins
    assert np.unique(bins[good.dispersion]).size == dispersion_bins
    assert 0.025 < observation.redshift < 0.033
    # Galaxies of this survey lie between 10^7 and 10^9.5 L_sun/kpc^2 within two effective radii.
    light = observation.values.brightness[good.brightness]
    assert light.min() > 7
    assert light.max() < 9.5
    if angle is not None:
        row, column = np.argwhere(good.velocity).T
        x, y = observation.origin
        found = kinematic_position_angle(
            -0.5 * (column - x),
            0.5 * (row - y),
            observation.values.velocity[good.velocity],
            observation.errors.velocity[good.velocity],
        )
        assert abs((found - angle + 180) % 360 - 180) < tolerance


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real MaNGA files in {REAL}")
def test_what_real_files_must_report():
    notes = {file: " ".join(read(REAL / file).notes) for file in FILES}
    star, uncorrected, face_on = (next(n for f, n in notes.items() if key in f) for key in ("11025", "7815", "10001"))
    assert "DAPQUAL bit 0: a foreground star" in star
    assert "83 deg apart" in star  # 97 deg between the directions, 83 between the axes
    assert "SIGMACORR is zero everywhere" in uncorrected
    assert "5 of 281 bins have no dispersion" in face_on
