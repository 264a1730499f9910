"""Observation files: exact round trips, files made by others, bad files."""

import dataclasses
import errno
import os
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from synthetic_maps import synthetic_maps, write
from test_manga import outcome

from galfit_sr.errors import InputError
from galfit_sr.maps import MAP_NAMES, Maps, Observation
from galfit_sr.observations import mock_galaxy_path, read, read_observation, write_observation
from galfit_sr.psf import DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF

N = 12
IMAGES = ("BRIGHTNESS", "VELOCITY", "DISPERSION", "ML")
LONG_NOTE = "A note that is longer than a card of a FITS header, which holds 72 characters " + "x" * 150 + " and ends."


def an_observation(**changes):
    random = np.random.default_rng(5)
    good = random.random((4, N, N)) < 0.8
    bins = np.arange(N * N).reshape(N, N) // 2
    values, errors = random.normal(size=(4, N, N)), random.uniform(0.1, 1, size=(4, N, N))
    for array in (values, errors, good):
        array[1:3] = array[1:3, :, ::2].repeat(2, axis=2)
    values[:, 0, 0] = np.nan
    values[:, 0, 1] = np.nan
    good[:, 0, :2] = False
    return dataclasses.replace(
        Observation(
            name="NGC 1",
            redshift=0.1 + 0.2,
            pixel_scale=1 / 3,
            psf_photometry=GaussianPSF(1.3),
            psf_kinematics=GaussianPSF(2.5),
            values=Maps(*values),
            errors=Maps(*errors),
            good=Maps(*good),
            bins=bins,
            origin=(5.123456789012345, 1e-17 / 3),
            sky=(359.98765432101234, -1.2345678901234567e-05),
            notes=(LONG_NOTE, "Two."),
            truth={"x0": 1 / 3, "log10_halo_fraction": 1.7},
            photometry={"pa_deg": 12.5},
        ),
        **changes,
    )


def by_somebody_else(maps=IMAGES, n=N, dtype=np.float32, **cards):
    """A file made from the written description alone."""
    random = np.random.default_rng(1)
    header = {"OBJECT": "UGC 1", "REDSHIFT": 0.02, "PIXSCALE": 0.5, "PSFPHOT": 1.3, "PSFKIN": 2.5, **cards}
    primary = fits.PrimaryHDU()
    primary.header.update({k: v for k, v in header.items() if v is not None})
    hdus = [primary]
    for name in maps:
        hdus.append(fits.ImageHDU(random.normal(8, 1, (n, n)).astype(dtype), name=name))
        hdus.append(fits.ImageHDU(np.full((n, n), 0.1, dtype), name=f"{name}_ERR"))
        hdus.append(fits.ImageHDU(np.zeros((n, n), np.int16), name=f"{name}_MASK"))
    return fits.HDUList(hdus)


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
def test_round_trip_is_exact(tmp_path, name):
    before = an_observation()
    write_observation(tmp_path / name, before)
    after = read_observation(tmp_path / name)
    for kind in ("values", "errors", "good"):
        for one, other in zip(getattr(before, kind), getattr(after, kind), strict=True):
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    assert np.array_equal(before.bins, after.bins)
    for field in ("name", "redshift", "pixel_scale", "origin", "sky", "notes", "truth", "photometry"):
        assert getattr(before, field) == getattr(after, field), field
    assert before.fingerprint() == after.fingerprint()


@pytest.mark.parametrize(
    "psf",
    [
        GaussianPSF(1 / 3),
        DoubleGaussianPSF(1.1, 4.2, 0.1),
        MoffatPSF(1.5, 2.7),
        ImagePSF(((0.0, 0.1, 0.0), (0.1, 1 / 3, 0.1), (0.0, 0.1, 0.0))),
    ],
)
def test_every_psf_survives(tmp_path, psf):
    for field, other in (("psf_photometry", "psf_kinematics"), ("psf_kinematics", "psf_photometry")):
        write_observation(tmp_path / "a.fits", an_observation(**{field: psf}))
        after = read_observation(tmp_path / "a.fits")
        assert getattr(after, field) == psf
        assert getattr(after, other) == getattr(an_observation(), other)


def test_correlation_of_the_noise_survives(tmp_path):
    for correlation in (0.0, 1.6):
        write_observation(tmp_path / "a.fits", an_observation(correlation=correlation))
        assert read_observation(tmp_path / "a.fits").correlation == correlation
    assert an_observation().fingerprint() != an_observation(correlation=1.6).fingerprint()


def test_impossible_correlation_is_refused():
    with pytest.raises(InputError, match=r"correlation is -1\.0; the FWHM in arcsec"):
        an_observation(correlation=-1.0)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.fits.gz", "b.fits.gz"):
        write_observation(tmp_path / name, an_observation())
    assert (tmp_path / "a.fits.gz").read_bytes() == (tmp_path / "b.fits.gz").read_bytes()


def test_world_coordinates_put_the_origin_on_the_sky(tmp_path):
    write_observation(tmp_path / "a.fits", an_observation(sky=(150.0, 20.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy notes that it derives one description of the frame from the other
        wcs = WCS(fits.getheader(tmp_path / "a.fits", "VELOCITY"))
    x, y = an_observation().origin
    ra, dec = wcs.all_pix2world([x, x + 3], [y, y + 6], 0)
    assert (ra[0], dec[0]) == pytest.approx((150.0, 20.0), abs=1e-9)
    # The tangent plane differs from a flat sky by (2 arcsec)^2 / radian, 2e-5 arcsec.
    assert (ra[1] - 150.0) * 3600 * np.cos(np.radians(20)) == pytest.approx(-1.0, abs=1e-4)
    assert (dec[1] - 20.0) * 3600 == pytest.approx(2.0, abs=1e-4)


def test_files_with_the_listed_keys_alone(tmp_path):
    hdus = by_somebody_else()
    observation = read(write(tmp_path / "a.fits", hdus))
    assert (observation.name, observation.redshift, observation.size) == ("UGC 1", 0.02, N)
    assert (observation.psf_photometry, observation.psf_kinematics) == (GaussianPSF(1.3), GaussianPSF(2.5))
    assert observation.available == MAP_NAMES
    assert observation.origin == ((N - 1) / 2, (N - 1) / 2)
    assert observation.bins is None
    assert np.array_equal(observation.values.ml, hdus["ML"].data.astype(float))


@pytest.mark.parametrize("missing", IMAGES)
def test_any_map_may_be_missing(tmp_path, missing):
    observation = read(write(tmp_path / "a.fits", by_somebody_else([n for n in IMAGES if n != missing], n=20)))
    assert observation.available == tuple(n.lower() for n in IMAGES if n != missing)


def test_a_map_without_mask_is_masked_where_it_has_no_number(tmp_path):
    hdus = by_somebody_else()
    del hdus["VELOCITY_MASK"]
    hdus["VELOCITY"].data[2, 3] = np.nan
    good = read(write(tmp_path / "a.fits", hdus)).good.velocity
    assert np.argwhere(~good).tolist() == [[2, 3]]


def test_a_mask_hides_what_is_not_zero(tmp_path):
    hdus = by_somebody_else()
    hdus["ML_MASK"].data[4, 5] = 64
    hdus["ML"].data[4, 5] = np.inf
    assert np.argwhere(~read(write(tmp_path / "a.fits", hdus)).good.ml).tolist() == [[4, 5]]


def test_bins_count_where_all_their_pixels_are_good(tmp_path):
    hdus = by_somebody_else()
    bins = np.arange(N * N, dtype=np.int32).reshape(N, N)
    bins[3, 3:6] = bins[3, 3]
    bins[0, 0] = -1
    for name in ("VELOCITY", "DISPERSION"):
        hdus[name].data[3, 3:6] = 50
    hdus["VELOCITY_MASK"].data[3, 4] = 1
    hdus.append(fits.ImageHDU(bins, name="BINID"))
    observation = read(write(tmp_path / "a.fits", hdus))
    assert np.array_equal(observation.bins, bins)
    assert np.argwhere(~observation.good.velocity).tolist() == [[0, 0], [3, 3], [3, 4], [3, 5]]
    assert np.argwhere(~observation.good.dispersion).tolist() == [[0, 0]]
    assert np.all(observation.good.brightness)


def test_truth_is_a_table_of_names_and_values(tmp_path):
    columns = [
        fits.Column("name", "20A", array=np.array(["x0", "inclination"])),
        fits.Column("value", "E", array=np.array([0.5, 0.25])),
    ]
    hdus = by_somebody_else()
    hdus.append(fits.BinTableHDU.from_columns(columns, name="TRUTH"))
    assert read(write(tmp_path / "a.fits", hdus)).truth == {"x0": 0.5, "inclination": 0.25}


def _data(name, value, where=(5, 5)):
    def damage(hdus):
        hdus[name].data[where] = value

    return damage


def _delete(*names):
    def damage(hdus):
        for name in names:
            del hdus[name]

    return damage


def _header(key, value):
    def damage(hdus):
        if value is None:
            del hdus[0].header[key]
        else:
            hdus[0].header[key] = value

    return damage


def _shape(name):
    def damage(hdus):
        hdus[name].data = hdus[name].data[:-1].copy()

    return damage


def _masked(hdus):
    for name in IMAGES:
        hdus[f"{name}_MASK"].data[:] = 1


def _unequal_bin(hdus):
    hdus.append(fits.ImageHDU(np.zeros((N, N), np.int32), name="BINID"))


def _no_table(hdus):
    hdus.append(fits.ImageHDU(np.zeros((N, N)), name="TRUTH"))


BAD = {
    "no maps": (_delete(*IMAGES), "neither a MaNGA MAPS file"),
    "no error": (_delete("ML_ERR"), "missing ML_ERR"),
    "all masked": (_masked, "every pixel of every map is masked"),
    "nan": (_data("VELOCITY", np.nan), "velocity has 1 unmasked pixels"),
    "error nan": (_data("DISPERSION_ERR", np.nan), "dispersion has 1 unmasked pixels"),
    "error 0": (_data("BRIGHTNESS_ERR", 0), "brightness has 1 unmasked pixels"),
    "error negative": (_data("ML_ERR", -0.1), "ml has 1 unmasked pixels"),
    "huge": (_data("VELOCITY", 1e20), "velocity of 1e[+]20"),
    "error huge": (_data("VELOCITY_ERR", 1e20), "velocity error of 1e[+]20"),
    "shape": (_shape("VELOCITY"), "VELOCITY has shape"),
    "shape of error": (_shape("ML_ERR"), "ML_ERR has shape"),
    "shape of mask": (_shape("ML_MASK"), "ML_MASK has shape"),
    "not square": (_shape("BRIGHTNESS"), "a square image is needed"),
    "no redshift": (_header("REDSHIFT", None), "no REDSHIFT"),
    "redshift -1": (_header("REDSHIFT", -1.0), "REDSHIFT is -1.0"),
    "redshift text": (_header("REDSHIFT", "far"), "REDSHIFT is 'far'"),
    "no PSF": (_header("PSFPHOT", None), "no PSFPHOT"),
    "no kinematic PSF": (_header("PSFKIN", None), "no PSFKIN"),
    "PSF 0": (_header("PSFKIN", 0.0), "PSFKIN is 0.0"),
    "no pixel scale": (_header("PIXSCALE", None), "no PIXSCALE"),
    "kind of PSF": (_header("PSFPTYPE", "box"), "PSFPTYPE is 'box'"),
    "bins": (_unequal_bin, "differs between pixels of bin 0"),
    "truth": (_no_table, "TRUTH cannot be read as a table"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_end_in_one_sentence(tmp_path, case):
    damage, sentence = BAD[case]
    hdus = by_somebody_else()
    damage(hdus)
    path = write(tmp_path / "a.fits", hdus)
    with pytest.raises(InputError, match=sentence) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_the_two_readers_know_their_files(tmp_path):
    maps = write(tmp_path / "maps.fits", synthetic_maps())
    assert read(maps).name == "manga-1234-1901"
    with pytest.raises(InputError, match="is no observation file"):
        read_observation(maps)


def test_damaged_files_never_end_in_anything_but_a_sentence(tmp_path):
    write_observation(tmp_path / "a.fits", an_observation())
    raw = (tmp_path / "a.fits").read_bytes()
    headers = [i for i in range(0, len(raw), 2880) if raw[i : i + 8] in (b"SIMPLE  ", b"XTENSION")]
    for seed in range(60):
        random = np.random.default_rng(seed)
        damaged = bytearray(raw)
        for _ in range(4):
            damaged[random.choice(headers) + random.integers(0, 1200)] ^= 1 << random.integers(8)
        path = tmp_path / "damaged.fits"
        path.write_bytes(damaged if seed % 3 else damaged[: random.integers(1, len(raw))])
        result = outcome(path)
        assert isinstance(result, Observation) or "\n" not in result, seed


def test_what_is_no_path_or_no_observation(tmp_path):
    observation = read(mock_galaxy_path())
    with pytest.raises(InputError, match="the file is 3; the path of a FITS file is needed"):
        read(3)
    with pytest.raises(InputError, match="in this order; given are Observation and str"):
        write_observation(observation, "galaxy.fits")


def test_a_file_that_was_cut_short_is_refused(tmp_path):
    """Wherever it is cut, but between two extensions, where nothing in a FITS file tells that another one followed."""
    path, cut = tmp_path / "whole.fits", tmp_path / "cut.fits"
    by_somebody_else().writeto(path)
    content = path.read_bytes()
    with fits.open(path) as hdus:
        infos = [(hdu.fileinfo()["datLoc"], hdu.size, hdu.fileinfo()["datSpan"]) for hdu in hdus]
    lengths = [
        length
        for length in range(3000, len(content), 701)
        # Some writers leave out the zeros that fill the last block.
        if not any(start + size <= length <= start + span for start, size, span in infos)
    ]
    assert len(lengths) > 50
    for length in lengths:
        cut.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"truncated|damaged|not a complete|is needed"):
            read_observation(cut)


def test_nothing_is_left_behind_when_the_disk_is_full(tmp_path, monkeypatch):
    write_observation(tmp_path / "a.fits", an_observation())
    before = (tmp_path / "a.fits").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="full"):
        write_observation(tmp_path / "a.fits", an_observation(name="other"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]
    assert (tmp_path / "a.fits").read_bytes() == before
