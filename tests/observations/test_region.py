"""Region masks: which pixels they take, and what they do to bins."""

import numpy as np
import pytest
from astropy.io import fits
from synthetic_maps import SIDE, synthetic_maps, write
from test_manga import INNER

from galfit_sr.errors import InputError
from galfit_sr.maps import MAP_NAMES
from galfit_sr.observations import read, read_manga


@pytest.fixture
def maps(tmp_path):
    return write(tmp_path / "maps.fits", synthetic_maps())


def offsets(observation):
    row, column = np.indices((80, 80))
    x, y = observation.origin
    return -0.5 * (column - x), 0.5 * (row - y)


def test_no_region_changes_nothing(maps):
    assert read(maps, region=None).fingerprint() == read(maps).fingerprint()


def test_a_circle_counts_from_the_centre_with_east_to_the_left(maps):
    before, after = read(maps), read(maps, region="circle(1.5, -0.5, 0.8)")
    east, north = offsets(before)
    inside = (east - 1.5) ** 2 + (north + 0.5) ** 2 <= 0.8**2
    assert np.argwhere(inside)[:, 1].max() < before.origin[0]
    assert np.array_equal(after.good.brightness, before.good.brightness & ~inside)
    assert after.notes[-1].startswith("The region mask circle(1.5, -0.5, 0.8) leaves out")
    assert f"{(before.good.brightness & inside).sum()} brightness" in after.notes[-1]


def test_a_bin_that_is_touched_goes_whole(maps):
    before = read(maps)
    bins = before.bins
    pair = next(b for b in np.unique(bins[bins >= 0]) if np.sum(bins == b) == 2)
    (row, column), (_, other) = np.argwhere(bins == pair)
    east, north = offsets(before)
    after = read(maps, region=f"circle({east[row, column]}, {north[row, column]}, 0.1)")
    for name in MAP_NAMES[:3]:
        lost = np.argwhere(getattr(before.good, name) & ~getattr(after.good, name)).tolist()
        expected = [[row, column]] if name == "brightness" else [[row, column], [row, other]]
        assert lost == expected, name


def test_several_circles(maps):
    together = read(maps, region="circle(1, 0, 0.6); CIRCLE(-1,0,0.6)\n circle(0, 1.e0, .6)")
    listed = read(maps, region=["circle(1, 0, 0.6)", "circle(-1, 0, 0.6)", "circle(0, 1, 0.6)"])
    east, north = offsets(together)
    inside = np.zeros((80, 80), dtype=bool)
    for x, y in ((1, 0), (-1, 0), (0, 1)):
        inside |= (east - x) ** 2 + (north - y) ** 2 <= 0.36
    for observation in (together, listed):
        assert np.array_equal(observation.good.brightness, read(maps).good.brightness & ~inside)


@pytest.mark.parametrize("size", [SIDE, 80])
def test_an_image_on_the_surveys_grid_or_on_the_canvas(maps, tmp_path, size):
    shift = 0 if size == SIDE else (80 - SIDE) // 2
    mask = np.zeros((size, size), np.uint8)
    mask[shift + 10, shift + 14] = 1
    path = tmp_path / "mask.fits"
    fits.PrimaryHDU(mask).writeto(path)
    before, after = read(maps), read_manga(maps, region=path)
    lost = (before.good.brightness & ~after.good.brightness)[INNER]
    assert np.argwhere(lost).tolist() == [[10, 14]]
    assert "mask.fits" in after.notes[-1]


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        ("circle(1, 2)", "is not a circle"),
        ("circle(1, 2, -3)", "is not a circle"),
        ("circle(1, 2, nan)", "is not a circle"),
        ("circle(1, 2, 3) and more", "is not a circle"),
        (["box(1, 2, 3)"], "is not a circle"),
        ("circle(0, 0, 1e9)", "every pixel of every map is masked"),
        ("nowhere.fits", "there is no file nowhere.fits"),
        (3, "the region is 3; the path of"),
    ],
)
def test_regions_that_cannot_be_used(maps, region, sentence):
    with pytest.raises(InputError, match=sentence):
        read(maps, region=region)


def test_an_image_of_another_shape_is_refused(maps, tmp_path):
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(tmp_path / "mask.fits")
    with pytest.raises(InputError, match=r"shape \(5, 5\); \(80, 80\) on the canvas, or \(24, 24\)"):
        read(maps, region=tmp_path / "mask.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(InputError, match="holds no image"):
        read(maps, region=tmp_path / "empty.fits")
