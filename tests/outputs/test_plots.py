"""Figures show what they claim to: orientation, masks, colours, units, and text that can be read."""

import dataclasses
import io
import itertools
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from galfit_sr.analysis.display import key_columns, parameter_columns, prior_columns, pull
from galfit_sr.analysis.map_figure import COLOUR_MAPS, MASKED, RESIDUAL_MAP, maps_figure, residuals
from galfit_sr.analysis.plots import corner_figure, marginals_figure, trace_figure
from galfit_sr.maps import Maps
from galfit_sr.parameters import default_parameters
from galfit_sr.psf import GaussianPSF, ImagePSF


@pytest.fixture(scope="module")
def maps(observation, posterior):
    figure = maps_figure(observation, posterior)
    FigureCanvasAgg(figure).draw()
    return figure


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


def test_one_row_per_available_map(maps):
    titles = [panel.get_ylabel().splitlines()[0] for panel in panels(maps) if panel.get_ylabel()]
    assert titles == ["Surface brightness", "Velocity", "Velocity dispersion"]
    assert len(panels(maps)) == 9


def test_east_is_left_and_north_is_up(maps, observation):
    data = panels(maps)[0]
    left, right = data.get_xlim()
    bottom, top = data.get_ylim()
    assert left > 0 > right
    assert bottom < 0 < top
    image = data.images[0]
    shown = np.ma.filled(image.get_array(), np.nan)
    assert image.origin == "lower"
    # The pixel 3 columns right of the origin and 5 rows above it lies 3 arcsec west and 5 arcsec north.
    column, row = 14, 16
    x_left, x_right, y_bottom, y_top = image.get_extent()
    n = shown.shape[0]
    i = round((-(column - 11.5) - x_left) / (x_right - x_left) * n - 0.5)
    j = round(((row - 11.5) - y_bottom) / (y_top - y_bottom) * n - 0.5)
    assert shown[j, i] == observation.values.brightness[row, column]


def test_pixels_without_data_are_grey(maps, observation):
    stream = io.BytesIO()
    maps.savefig(stream, format="png", dpi=100)
    stream.seek(0)
    picture = imread(stream)[::-1]
    for panel in panels(maps):
        # Just inside the lower right corner of the panel, where the hexagon or disc of data never reaches.
        x, y = panel.transAxes.transform((0.97, 0.03)) * 100 / maps.dpi
        np.testing.assert_allclose(picture[int(y), int(x)], to_rgba(MASKED), atol=2 / 255)
        assert np.ma.count_masked(panel.images[0].get_array()) > 0


def test_colours_diverge_about_zero_where_zero_matters(maps):
    rows = np.array(panels(maps)).reshape(3, 3)
    for row, name in zip(rows, ("brightness", "velocity", "dispersion"), strict=True):
        assert [panel.images[0].cmap.name for panel in row] == [COLOUR_MAPS[name]] * 2 + [RESIDUAL_MAP]
        limits = [panel.images[0].get_clim() for panel in row]
        assert limits[0] == limits[1]
        assert limits[2] == (-4, 4)
    low, high = rows[1, 0].images[0].get_clim()
    assert low == -high


def test_compass_stands_beside_a_hexagon(observation):
    """As wide as the canvas, a side above and below: no letter or arrow on its pixels, none beyond the panel."""
    from_centre = np.abs(np.indices((24, 24)) - 11.5)
    inside = (from_centre[0] < 12 * np.sqrt(0.75)) & (from_centre[1] + from_centre[0] / np.sqrt(3) < 12)
    hexagon = dataclasses.replace(observation, good=Maps(inside, *[np.zeros_like(inside)] * 3), bins=None)
    figure = hexagon.plot()
    FigureCanvasAgg(figure).draw()
    panel = panels(figure)[0]
    image = panel.images[0]
    x_left, x_right, y_bottom, y_top = image.get_extent()
    good = ~np.ma.getmaskarray(image.get_array())
    marks = [text.arrow_patch or text for text in panel.texts]
    assert [text.get_text() for text in panel.texts if text.get_text()] == ["N", "E"]
    for mark in marks:
        box = mark.get_window_extent()
        frame = panel.get_window_extent()
        assert frame.x0 < box.x0 < box.x1 < frame.x1
        assert frame.y0 < box.y0 < box.y1 < frame.y1
        (left, bottom), (right, top) = panel.transData.inverted().transform(box.get_points())
        columns = [int((x - x_left) / (x_right - x_left) * good.shape[1]) for x in (left, right)]
        rows = [int((y - y_bottom) / (y_top - y_bottom) * good.shape[0]) for y in (bottom, top)]
        assert not good[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1].any()


def test_receding_half_of_the_axis_lies_on_receding_pixels(maps, posterior):
    model = panels(maps)[4]
    solid = next(line for line in model.lines if line.get_linestyle() == "-")
    dx, dy = solid.get_xdata()[1], solid.get_ydata()[1]
    column, row = round(11.5 - 0.8 * dx), round(11.5 + 0.8 * dy)
    assert posterior.maps.velocity[row, column] > 50
    assert posterior.maps.velocity[23 - row, 23 - column] < -50


def test_beam_is_that_of_the_map(maps, observation, posterior):
    radii = [panel.patches[0].radius for panel in panels(maps)[::3]]
    assert radii == [0.75, 1.25, 1.25]
    disc = np.hypot(*(np.mgrid[:9, :9] - 4)) < 2.5
    psf = ImagePSF(tuple(map(tuple, disc.astype(float).tolist())))
    other = dataclasses.replace(observation, psf_photometry=psf, psf_kinematics=GaussianPSF(3.0))
    radii = [panel.patches[0].radius for panel in panels(maps_figure(other, posterior))[::3]]
    assert radii == [pytest.approx(np.sqrt(disc.sum() / np.pi)), 1.5, 1.5]


def test_residuals_are_in_standard_deviations(observation, posterior):
    sigma = residuals(observation, posterior)
    shifted = posterior.binned_maps._replace(velocity=posterior.binned_maps.velocity + 4.0)
    after = residuals(observation, dataclasses.replace(posterior, binned_maps=shifted))
    good = observation.good.velocity
    # The error is 4 km/s everywhere.
    np.testing.assert_allclose(sigma.velocity[good] - after.velocity[good], 1.0, atol=1e-12)
    assert np.all(np.isnan(sigma.velocity[~good]))
    assert np.std(sigma.brightness[observation.good.brightness]) == pytest.approx(1, abs=4 / np.sqrt(2 * 250))


def test_small_field_is_enlarged(observation, posterior):
    small = np.zeros((24, 24), dtype=bool)
    small[4:8, 10:16] = True
    none = np.zeros_like(small)
    cropped = dataclasses.replace(observation, good=Maps(small, none, none, none))
    (data, _, _) = panels(maps_figure(cropped, posterior))
    assert data.images[0].get_array().shape == (10, 10)
    assert np.ma.count(data.images[0].get_array()) == 24


def corner_texts_of_18_parameters():
    """A corner of the full default set with names and numbers as long as they get."""
    parameters = default_parameters()
    rng = np.random.default_rng(0)
    centre = np.array([p.prior.low + 0.6 * (p.prior.high - p.prior.low) for p in parameters.free])
    return parameters, centre + 0.01 * rng.normal(size=(2000, parameters.ndim))


def corner_panels(figure, size):
    """(size, size), None above the diagonal."""
    axes = np.full((size, size), None)
    axes[np.tril_indices(size)] = figure.axes
    return axes


def test_labels_of_a_corner_do_not_touch(posterior):
    parameters, samples = corner_texts_of_18_parameters()
    n = len(samples)
    full = dataclasses.replace(
        posterior,
        parameters=parameters,
        samples=samples,
        best=samples[0],
        log_weights=np.full(n, -np.log(n)),
        log_likelihood=np.zeros(n),
        log_volume=None,
        truth={},
    )
    columns = parameter_columns(full)
    assert len(columns) == 18
    figure = corner_figure(full, columns)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axes = corner_panels(figure, 18)
    bottom = [text for axis in axes[-1] for text in (*drawn_labels(axis.xaxis), axis.xaxis.label)]
    left = [text for axis in axes[1:, 0] for text in (*drawn_labels(axis.yaxis), axis.yaxis.label)]
    for texts in (bottom, left):
        shown = [text for text in texts if text.get_text() and text.get_visible()]
        assert len(shown) >= 2 * 17
        for a, b in itertools.combinations(shown, 2):
            assert not slanted_overlap(a, b, renderer), (a.get_text(), b.get_text())
    # Not by luck: ticks keep away from the ends of their panels.
    for axis in (*(a.xaxis for a in axes[-1]), *(a.yaxis for a in axes[1:, 0])):
        low, high = axis.get_view_interval()
        places = (axis.get_majorticklocs() - low) / (high - low)
        assert len(places) > 0
        assert places.min() > 0.1
        assert places.max() < 0.9
    inside = figure.bbox
    for text in (*bottom, *left):
        if text.get_text() and text.get_visible():
            box = text.get_window_extent(renderer)
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, text.get_text()
            assert inside.y0 <= box.y0 <= box.y1 <= inside.y1, text.get_text()


def drawn_labels(axis):
    """Labels of the ticks within the view; matplotlib keeps others that it does not draw."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def slanted_overlap(a, b, renderer):
    """Whether two (rotated) texts overlap: separating axes of the two rectangles."""
    corners = []
    for text in (a, b):
        angle = np.deg2rad(text.get_rotation())
        box = text.get_window_extent(renderer)
        centre = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        text.set_rotation(0)
        flat = text.get_window_extent(renderer)
        text.set_rotation(np.rad2deg(angle))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        half = np.array([flat.width, flat.height]) / 2
        corners.append((centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ turn.T, turn))
    for _, turn in corners:
        for direction in turn.T:
            first, second = (points @ direction for points, _ in corners)
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def test_corner_draws_the_truth_and_angles_for_people(posterior):
    columns = {column.name: column for column in parameter_columns(posterior)}
    angle = columns["position_angle_deg"]
    assert angle.label.endswith("[deg]")
    assert angle.truth == pytest.approx(np.degrees(3.1) - 90)
    # In one piece although the samples in radian lie on both ends of the range.
    assert np.ptp(angle.values) < 60
    key = key_columns(posterior)
    assert [c.name for c in key][:3] == ["position_angle_deg", "inclination_deg", "log10_stellar_mass"]
    figure = corner_figure(posterior, key)
    axes = corner_panels(figure, len(key))
    for i, column in enumerate(key):
        assert any(np.allclose(line.get_xdata(), column.truth) for line in axes[i, i].lines)
    assert axes[-1, 0].get_xlabel() == angle.label


def test_marginals_show_prior_and_truth(posterior):
    columns = parameter_columns(posterior)
    rng = np.random.default_rng(0)
    draws = np.column_stack([rng.uniform(p.prior.low, p.prior.high, 5000) for p in posterior.parameters.free])
    prior = prior_columns(posterior, draws)
    angle, tilt = (posterior.parameters.names.index(n) for n in ("position_angle", "inclination"))
    assert np.ptp(prior[angle]) == pytest.approx(360, rel=0.01)
    assert prior[tilt].max() == pytest.approx(60, rel=0.01)
    figure = marginals_figure(posterior, columns, prior)
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_xlabel() for axis in visible] == [column.label for column in columns]
    for axis, column in zip(visible, columns, strict=True):
        low, high = axis.get_xlim()
        assert low < column.truth < high
        assert any(np.allclose(line.get_xdata(), column.truth) for line in axis.lines)


def test_trace_only_of_nested_runs(posterior):
    above, below = trace_figure(posterior).axes
    x, y = above.lines[0].get_data()
    assert np.all(np.diff(x) >= 0)
    assert y.max() == posterior.log_likelihood.max()
    assert "ln X" in below.get_xlabel()
    assert trace_figure(dataclasses.replace(posterior, log_volume=None)) is None


def test_pull_is_the_shortest_way_round():
    row = {"q16": 359.0, "q50": 1.0, "q84": 3.0, "truth": 357.0}
    assert pull(row, 360.0) == pytest.approx(-2)
    assert pull({"q16": 1.0, "q50": 2.0, "q84": 3.0, "truth": 4.5}) == pytest.approx(2.5)
    assert pull({"q16": 1.0, "q50": 2.0, "q84": 3.0}) is None


def test_no_global_figure_is_left(maps, observation, posterior):
    corner_figure(posterior, key_columns(posterior))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
