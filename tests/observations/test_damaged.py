"""Damaged MAPS files: refused in a line, flagged, or harmless. The study in studies/damaged_maps.py has a thousand."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest
from astropy.io import fits
from synthetic_maps import content, synthetic_maps

from galfit_sr.errors import InputError
from galfit_sr.observations import read

STUDY = Path(__file__).parents[2] / "studies" / "damaged_maps.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("damaged_maps", STUDY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_damaged_files_are_refused_or_flagged(study, tmp_path):
    found = study.run(6 * len(study.DAMAGES), tmp_path)
    assert set(found) == {damage.__name__ for damage in study.DAMAGES}
    verdicts = {verdict for counts in found.values() for verdict in counts}
    assert verdicts == {"refused", "flagged", "harmless"}
    assert set(found["removed"]) == {"refused"}


@pytest.mark.parametrize("what", ["data", "header", "card"])
def test_a_checksum_that_does_not_match_is_told(study, tmp_path, what):
    hdus = fits.open(io.BytesIO(study.intact()))
    path = tmp_path / "maps.fits"
    hdu = hdus["STELLAR_VEL"]
    if what == "data":
        hdu.data[0, 0] = 3.0  # no bin there, so that nothing else is wrong
    elif what == "header":
        hdu.header["BUNIT"] = "km/h"
    else:
        del hdu.header["CHECKSUM"]
    hdus.writeto(path)
    (note,) = (note for note in read(path).notes if "checksum" in note)
    assert note.startswith("STELLAR_VEL does not match its checksum")


def test_files_without_checksums_are_not_blamed(tmp_path):
    path = tmp_path / "maps.fits"
    path.write_bytes(content(synthetic_maps()))
    assert not any("checksum" in note for note in read(path).notes)


def test_checksums_of_no_use_do_not_hide_what_is_wrong(study, tmp_path):
    path = tmp_path / "maps.fits"
    path.write_bytes(study.intact()[:50_000])
    with pytest.raises(InputError, match="truncated"):
        read(path)
