"""Pictures show the right numbers in the right places, for every kind of dataset, and say clearly what they cannot draw."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

import pdes
from pdes.cost import measure
from pdes.pictures import slice_of
from solvers.errors import SettingError, UnknownName
from solvers.grid import Grid


def dataset(dimension, times=None, **fields):
    grid = Grid.box("periodic", 12, dimension=dimension) if dimension else Grid(())
    return pdes.Dataset(fields=fields, grid=grid, times=times, parameters={"nu": np.arange(1.0, 4.0)})


def waves(*shape):
    return np.random.default_rng(0).standard_normal((3, *shape))


def images(figure):
    return [image.get_array() for axes in figure.axes for image in axes.images]


def test_two_dimensions_in_time_are_a_row_per_sample_with_one_scale():
    data = dataset(2, np.linspace(0, 1, 6), w=waves(6, 12, 12))
    figure = data.plot(samples=[2], frames=3)
    shown = images(figure)
    assert len(shown) == 3
    for values, frame in zip(shown, (0, 2, 5), strict=True):
        np.testing.assert_array_equal(values, data.fields["w"][2, frame].T)
    panels = [axes for axes in figure.axes if axes.images]
    assert len({image.get_clim() for axes in panels for image in axes.images}) == 1
    assert [axes.get_title() for axes in panels] == ["w, t = 0", "w, t = 0.4", "w, t = 1"]
    assert "nu = 3" in panels[0].get_ylabel()


def test_three_dimensions_show_the_middle():
    data = dataset(3, None, u=waves(12, 12, 12))
    (values,) = images(data.plot(samples=1))
    np.testing.assert_array_equal(values, data.fields["u"][0, :, :, 6].T)
    assert slice_of(np.zeros((4, 4, 5))).shape == (4, 4)


def test_vectors_are_drawn_part_by_part():
    data = dataset(2, None, u=waves(12, 12, 2))
    assert [axes.get_title() for axes in data.plot(samples=1).axes if axes.images] == ["u[0]", "u[1]"]


def test_one_dimension_is_space_against_time():
    data = dataset(1, np.linspace(0, 1, 4), u=waves(4, 12))
    (axes, _) = data.plot(samples=1).axes
    (mesh,) = axes.collections
    np.testing.assert_array_equal(np.asarray(mesh.get_array()), data.fields["u"][0])
    assert (axes.get_xlabel(), axes.get_ylim()) == ("x", (pytest.approx(-1 / 6), pytest.approx(7 / 6)))


def test_trajectories_have_a_portrait():
    data = dataset(0, np.linspace(0, 1, 9), x=waves(9), y=waves(9))
    time, portrait = data.plot(samples=1).axes
    assert [line.get_label() for line in time.lines] == ["x", "y"]
    np.testing.assert_array_equal(portrait.lines[0].get_ydata(), data.fields["y"][0])


@pytest.mark.parametrize("dimension", [0, 1, 2, 3])
def test_films_have_every_frame(dimension, tmp_path):
    space = (12,) * dimension
    data = dataset(dimension, np.linspace(0, 1, 5), u=np.cumsum(waves(5, *space), axis=1), v=waves(5, *space))
    with Image.open(data.animate(tmp_path / "film.gif", sample=1)) as film:
        assert len(list(ImageSequence.Iterator(film))) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]


def test_a_film_as_a_page(tmp_path):
    data = dataset(1, np.linspace(0, 1, 3), u=waves(3, 12))
    assert "<script" in data.animate(tmp_path / "film.html").read_text()


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_files(ending, tmp_path):
    path = tmp_path / f"fields.{ending}"
    dataset(2, None, u=waves(12, 12)).plot(path)
    assert path.stat().st_size > 1000


def test_what_cannot_be_drawn_is_said(tmp_path):
    data = dataset(2, None, u=waves(12, 12))
    for call, error, word in (
        (lambda: data.plot(fields=["w"]), UnknownName, "'w'"),
        (lambda: data.plot(samples=[7]), SettingError, "0 to 2"),
        (lambda: data.plot(samples=0), SettingError, "samples 0"),
        (lambda: data.plot(tmp_path / "a.bmp"), SettingError, ".png"),
        (lambda: data.animate(tmp_path / "a.gif"), SettingError, "steady"),
    ):
        with pytest.raises(error, match=word):
            call()
    assert not list(tmp_path.iterdir())


def test_costs_are_measured():
    data, cost = measure(pdes.get("heat"), 32, n=2)
    again = pdes.generate(pdes.get("heat"), 2, 32, progress=False)
    np.testing.assert_allclose(data.fields["u"][...], again.fields["u"][...], atol=1e-6)
    assert cost.bytes == 4 * 32 * 11
    assert 0 < cost.seconds < cost.first_seconds
    assert cost.label_error == pytest.approx(float(again.quality["label_error"][0]), rel=0.5, abs=1e-7)
