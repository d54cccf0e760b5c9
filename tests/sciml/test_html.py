"""The page: complete, self-contained, well-formed, and saying the same numbers as the report."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pdes.panels import Colours, colours_for, picture
from sciml.charts import Level, Scale, Series, chart, tick_text
from sciml.history import History
from sciml.html import page, write_report
from sciml.report import Report, Score
from sciml.tasks import Signature
from solvers.grid import Grid

VOID = {"meta", "img", "input", "br"}


def make_report(dimension=2, *, n=12, samples=8, names=("MgNO", "solver 12", "solver 6"), rollout=False):
    rng = np.random.default_rng(77)
    grid = Grid.box("cell", n, dimension=dimension, boundary="dirichlet")
    inputs, truth = rng.standard_normal((2, 3, 1, *grid.shape)).astype(np.float32)
    scores = []
    for i, name in enumerate(names):
        errors = {m: 0.02 * (i + 1) * rng.uniform(0.5, 1.5, samples) for m in ("relative_l2", "relative_h1", "max_error")}
        learned = {"parameters": 1234, "training_seconds": 9.0} if i == 0 else {"parameters": 0}
        made = Score(
            name, errors, seconds_single=0.002 * (i + 1), seconds_batch=0.001 / (i + 1), preview=truth * 1.01, **learned
        )
        times = np.linspace(0.1, 0.5, 5)
        scores.append(made.with_rollout(times, np.outer(np.ones(samples), times)) if rollout else made)
    notes = {
        "classical": list(names[1:]),
        "label_seconds": 0.01,
        "train_samples": 100,
        "command": "sciml <x>",
        "environment": {"cores": "2"},
    }
    provenance = {"family": "darcy", "equation": "-div(a*grad(u)) = 1", "solver": {"name": "multigrid"}}
    return Report(scores, Signature("steady", ("a",), ("u",), grid), provenance, samples, 1e-3, (inputs, truth), notes)


class Balance(HTMLParser):
    """Every tag that opens also closes, in order."""

    def __init__(self):
        super().__init__()
        self.stack, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(source):
    parser = Balance()
    parser.feed(source)
    assert parser.stack == []
    return " ".join(parser.text)


HISTORY = {
    "MgNO": History([{"epoch": i, "seconds": i + 1.0, "loss": 0.5 / (i + 1), "validation": 0.6 / (i + 1)} for i in range(4)])
}


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_page_is_whole_and_self_contained(tmp_path, dimension):
    path = write_report(make_report(dimension), tmp_path / "deep" / "report.html", histories=HISTORY, title="A title")
    source = path.read_text()
    text = text_of(source)
    for needed in (
        "A title",
        "MgNO",
        "solver 12",
        "solver 6",
        "relative L2",
        "Learning curves",
        "Error against time",
        "How this was made",
    ):
        assert needed in text, needed
    assert not re.search(r"""(src|href)=['"](?!data:)""", source), "the page asks for another file"
    assert "http" not in source
    assert "<script" not in source


def test_table_shows_the_numbers_of_the_report():
    report = make_report()
    text = text_of(page(report, HISTORY, "t"))
    for score in report.scores:
        assert f"{100 * score.errors['relative_l2'].mean():.2f} %" in text
        assert f"{1e3 * score.seconds_single:.1f} ms" in text
    assert "1,234" in text
    assert "labels themselves are 0.10 % off" in text


def test_names_are_escaped():
    source = page(make_report(names=("<b>&'x'", "solver 12", "solver 6")), {}, "<i>t</i>")
    text_of(source)
    assert "<b>&'x'" not in source
    assert "&lt;b&gt;&amp;" in source
    assert "<i>t</i>" not in source


def test_missing_parts_are_left_out():
    report = replace(make_report(), preview=None, label_error=None, notes={})
    report = replace(report, scores=[replace(s, seconds_single=None, seconds_batch=None, preview=None) for s in report.scores])
    text = text_of(page(report, {}, "t"))
    for absent in ("Learning curves", "Error against time", "speed at", "predictions"):
        assert absent not in text, absent


def test_not_finite_predictions_do_not_break_the_page():
    report = make_report()
    blown = np.full_like(report.scores[0].preview, np.nan)
    text_of(page(replace(report, scores=[replace(report.scores[0], preview=blown), *report.scores[1:]]), {}, "t"))


def test_rollouts_are_drawn():
    assert "Roll-out" in text_of(page(make_report(1, rollout=True), {}, "t"))
    assert "Roll-out" not in text_of(page(make_report(1), {}, "t"))


def pixels(address):
    from PIL import Image

    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)


def test_pictures_have_x_to_the_right_and_y_upwards():
    field = np.zeros((4, 4))
    field[3, 0] = 1.0  # x large, y small: lower right
    image = pixels(picture(field, Colours("gray", 0.0, 1.0)))
    assert image[-1, -1].min() > 250
    assert image[0, -1].max() < 5
    assert image[-1, 0].max() < 5
    assert image.shape[0] % 4 == 0


def test_colours_are_those_of_the_map():
    image = pixels(picture(np.array([[1e-3, 1e-1], [np.nan, 1e-5]]), Colours("gray", 1e-3, 1e-1, log=True)))
    assert image[-1, 0].max() == 0
    assert image[0, 0].min() == 255
    assert set(image[-1, -1].tolist()) <= {127, 128}  # not finite: grey
    assert image[0, -1].max() == 0  # clipped
    assert colours_for(np.array([-2.0, 1.0])).low == -2.0
    assert colours_for(np.array([-2.0, 1.0])).high == 2.0
    assert colours_for(np.array([1.0, 3.0])).name == "viridis"


def test_scale_is_affine_and_its_ticks_are_inside():
    log = Scale(1e-3, 1.0, 0.0, 300.0, log=True)
    assert log(1e-2) - log(1e-3) == pytest.approx(log(1.0) - log(1e-1))
    assert log.ticks() == [1e-3, 1e-2, 1e-1, 1.0]
    line = Scale(0.0, 10.0, 0.0, 100.0, log=False)
    assert line(10.0) - line(0.0) == pytest.approx(100.0 / 1.12)
    assert line.ticks() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert Scale(0.018, 0.021, 0, 1, log=True).ticks() == [0.018, 0.019, 0.02, 0.021]
    assert Scale(5.0, 5.0, 0, 1, log=False)(5.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.02, "0.02"), (3e-5, "3·10⁻⁵"), (1e6, "10⁶"), (250.0, "250")])
def test_tick_text(value, text):
    assert tick_text(value) == text


def test_chart_places_points_and_skips_what_a_logarithm_cannot_show():
    svg = chart(
        [Series("s", [1, 2, 3, 4], [0.0, 0.1, np.nan, 1.0], kind="dots")],
        x_label="x",
        y_label="y",
        levels=[Level("floor", 0.5)],
    )
    assert svg.count("<circle") == 2
    assert "floor" in svg
    heights = [float(h) for h in re.findall(r"<circle cx='[\d.]+' cy='([\d.]+)'", svg)]
    assert heights[0] > heights[1]  # larger values are drawn higher
    assert "Nothing to draw" in chart([Series("s", [1], [-1.0])], x_label="x", y_label="y")
