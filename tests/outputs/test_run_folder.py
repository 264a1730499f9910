"""The run folder: what is in it, who may write there, and what a full disk leaves behind."""

import builtins
import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from galfit_sr.analysis.maps_file import maps_bytes
from galfit_sr.analysis.run_folder import (
    RESULTS,
    claim_folder,
    read_run,
    run_fingerprint,
    summary,
    write_report,
    write_run,
)
from galfit_sr.errors import InputError
from galfit_sr.files import write_bytes
from galfit_sr.inference.derived import parameter_summary

CONFIG = "seed = 7\n"
COMMAND = "galfit-sr fit tiny.fits --seed 7"
FIGURES = {"maps", "profiles", "corner_key", "corner", "marginals", "trace"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, posterior, observation, model):
    folder = tmp_path_factory.mktemp("runs") / "tiny_fit"
    write_run(folder, posterior, observation, model, CONFIG, COMMAND)
    return folder


def test_tree_is_complete_and_nothing_else(folder):
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"run.json", *RESULTS, *(f"figures/{name}.png" for name in FIGURES)}
    assert (folder / "config.toml").read_text() == CONFIG


def test_summary_has_the_promised_keys(folder, posterior):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((folder / "summary.json").read_text(), parse_constant=refuse)
    assert {
        "parameters",
        "log_evidence",
        "log_evidence_error",
        "n_likelihood_calls",
        "wall_seconds",
        "sampler",
        "emulator",
        "reduced_chi2",
        "converged",
        "warnings",
    } <= set(content)
    assert content["parameters"] == parameter_summary(posterior)
    assert set(content["derived"]["position_angle_deg"]) == {
        *("mean", "std", "q05", "q16", "q50", "q84", "q95", "unit", "truth")
    }
    assert content["emulator"] is None
    assert content["converged"] is True
    assert content["warnings"] == list(posterior.warnings)
    assert content["reduced_chi2"] == posterior.reduced_chi2


def test_numbers_that_do_not_exist_are_null(tmp_path, posterior, observation):
    odd = dataclasses.replace(posterior, reduced_chi2={"velocity": float("nan")}, log_evidence=float("-inf"))
    text = json.dumps(summary(odd, observation), allow_nan=False)
    assert json.loads(text)["reduced_chi2"] == {"velocity": None}
    assert json.loads(text)["log_evidence"] is None


def test_maps_hold_data_model_residual_and_error(folder, observation, posterior):
    with fits.open(folder / "maps.fits", checksum=True) as hdus:
        assert hdus[0].header["REDSHIFT"] == 0.03
        assert hdus[0].header["SAMPLER"] == "nested"
        kinds = ("DATA", "MODEL", "RESIDUAL", "SIGMA", "ERR", "MODEL_FULL")
        names = {f"{name}_{kind}" for name in ("BRIGHTNESS", "VELOCITY", "DISPERSION") for kind in kinds}
        assert {hdu.name for hdu in hdus[1:]} == names | {"BINID"}
        good = observation.good.velocity
        data, model, residual, error, sigma = (
            hdus[f"VELOCITY_{k}"].data for k in ("DATA", "MODEL", "RESIDUAL", "ERR", "SIGMA")
        )
        assert np.all(np.isnan(data) == ~good)
        # Stored in single precision: relative 6e-8 of values up to 300 km/s.
        np.testing.assert_allclose(data[good], observation.values.velocity[good], atol=4e-5)
        np.testing.assert_allclose((data - model)[good], residual[good], atol=1e-4)
        np.testing.assert_allclose((residual / error)[good], sigma[good], atol=1e-4)
        np.testing.assert_allclose(hdus["VELOCITY_MODEL_FULL"].data, posterior.maps.velocity, atol=4e-5)
        assert hdus["VELOCITY_DATA"].header["BUNIT"] == "km/s"
        assert "BUNIT" not in hdus["VELOCITY_SIGMA"].header


def sky_header(observation, posterior):
    hdus = fits.HDUList.fromstring(maps_bytes(observation, posterior))
    return hdus["VELOCITY_DATA"].header


def test_known_position_on_the_sky_falls_on_its_pixel(observation, posterior):
    shifted = dataclasses.replace(observation, origin=(9.0, 14.0))
    wcs = WCS(sky_header(shifted, posterior))
    centre = SkyCoord(150.25, 2.5, unit="deg")
    np.testing.assert_allclose(wcs.world_to_pixel(centre), (9.0, 14.0), atol=1e-6)
    # 3 arcsec to the east and 5 to the north is 3 columns to the left and 5 rows up, at 1 arcsec per pixel.
    there = centre.spherical_offsets_by(3 * units.arcsec, 5 * units.arcsec)
    np.testing.assert_allclose(wcs.world_to_pixel(there), (6.0, 19.0), atol=1e-5)


def test_offsets_where_the_sky_is_not_known(observation, posterior):
    nowhere = dataclasses.replace(observation, sky=None, origin=(9.0, 14.0), pixel_scale=0.5)
    wcs = WCS(sky_header(nowhere, posterior))
    assert not wcs.has_celestial
    np.testing.assert_allclose(wcs.wcs_world2pix([[0.0, 0.0], [1.5, 2.5]], 0), [[9.0, 14.0], [6.0, 19.0]], atol=1e-9)


def test_run_is_read_back(folder, posterior, observation):
    run = read_run(folder)
    np.testing.assert_array_equal(run.posterior.samples, posterior.samples)
    assert run.observation.fingerprint() == observation.fingerprint() == run.posterior.data_fingerprint
    assert run.config_toml == CONFIG
    assert run.command == COMMAND


def test_report_is_rebuilt_from_the_saved_files_alone(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "report.html").unlink()
    shutil.rmtree(copy / "figures")
    assert write_report(copy, read_run(copy)) == copy / "report.html"
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_unfinished_and_foreign_folders_are_not_read(folder, tmp_path):
    with pytest.raises(InputError, match="not the folder of a run"):
        read_run(tmp_path)
    claim_folder(tmp_path / "new", "abc", resume=False)
    with pytest.raises(InputError, match=r"not finished: posterior\.nc"):
        read_run(tmp_path / "new")


def test_folder_belongs_to_one_run(tmp_path):
    folder = tmp_path / "deep" / "run"
    claim_folder(folder, "abc", resume=False, galaxy="NGC 1")
    for resume in (False, True):
        claim_folder(folder, "abc", resume=resume)
        with pytest.raises(InputError, match=r"another run \(of NGC 1\)"):
            claim_folder(folder, "xyz", resume=resume)
    assert json.loads((folder / "run.json").read_text())["fingerprint"] == "abc"


def test_foreign_files_are_not_written_over(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not a galfit_sr run"):
            claim_folder(tmp_path, "abc", resume=False, overwrite=overwrite)
    with pytest.raises(InputError, match="is a file"):
        claim_folder(tmp_path / "thesis.tex", "abc", resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_overwriting_removes_the_other_run_only(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "checkpoint.npz").write_bytes(b"old")
    (copy / "notes.txt").write_text("mine")
    claim_folder(copy, "xyz", resume=False, overwrite=True)
    assert {path.name for path in copy.rglob("*") if path.is_file()} == {"run.json", "notes.txt"}
    assert json.loads((copy / "run.json").read_text())["fingerprint"] == "xyz"


def test_write_run_refuses_the_folder_of_another(folder, posterior, observation, model):
    before = (folder / "posterior.nc").read_bytes()
    with pytest.raises(InputError, match="another run"):
        write_run(folder, posterior, observation, model, CONFIG + "# changed\n", COMMAND)
    assert (folder / "posterior.nc").read_bytes() == before


def test_fingerprint_sees_configuration_and_data():
    assert run_fingerprint("a", "b") == run_fingerprint("a", "b")
    assert len({run_fingerprint(c, d) for c in ("a", "b", None) for d in ("a", "b")}) == 6


@pytest.mark.parametrize("full_at", range(8))
def test_full_disk_is_one_sentence_and_leaves_no_half_file(
    full_at, tmp_path, monkeypatch, folder, posterior, observation, model
):
    """The disk fills up while the n-th file is written: whatever is there is whole, and nothing temporary is left."""
    written = []

    class Full:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, content):
            self._file.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = builtins.open

    def scarce(path, mode="r", *args, **kwargs):
        file = real(path, mode, *args, **kwargs)
        if "x" not in mode:
            return file
        written.append(path)
        return Full(file) if len(written) == full_at + 1 else file

    monkeypatch.setattr(builtins, "open", scarce)
    with pytest.raises(InputError, match=r"the disk .* is full") as caught:
        write_run(tmp_path / "run", posterior, observation, model, CONFIG, COMMAND)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert len(written) == full_at + 1
    left = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(left) == full_at
    for path in left:
        whole = (folder / path.relative_to(tmp_path / "run")).stat().st_size
        # run.json is written again with the command at the end.
        assert path.stat().st_size == whole or path.name == "run.json"


def test_failed_write_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_bytes(path, b"old")

    def full(_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="quota"):
        write_bytes(path, b"new and longer")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_unwritable_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*a writable folder is needed"):
        write_bytes(tmp_path / "file" / "a.txt", b"x")
