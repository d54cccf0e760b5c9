"""The gallery: one page with every problem that it was asked for, made once, and gone on with where it stopped."""

import json

from typer.testing import CliRunner

import pdes
from sciml.cli import app
from sciml.gallery import facts_of, gallery, page


def test_a_gallery_of_every_kind(tmp_path):
    chosen = ["heat", "poisson_dirichlet", "pendulum"]
    entries = gallery(tmp_path, chosen, resolution=16, progress=False)
    text = (tmp_path / "index.html").read_text()
    assert [e.problem.name for e in entries] == chosen
    for entry in entries:
        assert entry.cost is not None
        assert f"images/{entry.problem.name}.png" in text
        assert entry.problem.equation.mathml() in text
    assert text.count("<h2>") == 3
    assert "script" not in text
    assert (tmp_path / "overview.png").exists()
    drawn = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}
    assert len(drawn) == 9
    gallery(tmp_path, chosen, resolution=16, progress=False)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()} == drawn
    record = tmp_path / "images" / "heat.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"digest": "another"}))
    gallery(tmp_path, chosen, resolution=16, progress=False)
    changed = {path.name for path, when in drawn.items() if path.stat().st_mtime_ns != when}
    assert changed == {"heat.json", "heat.png", "heat.thumb.png"}


def test_a_problem_that_fails_is_on_the_page(tmp_path):
    (entry,) = gallery(tmp_path, ["darcy"], resolution=-3, progress=False)
    assert entry.cost is None
    assert "No picture" in page([entry])
    ran = CliRunner().invoke(app, ["gallery", "darcy", "--resolution", "-3", "--out", str(tmp_path)])
    assert ran.exit_code == 1
    assert "darcy" in ran.output


def test_facts_name_ranges_of_both_splits():
    facts = dict(facts_of(pdes.get("burgers")))
    assert facts["nu"] != facts["nu, held out"]
    assert "periodic" in facts["on"]
    assert dict(facts_of(pdes.get("lorenz63")))["on"] == "ordinary"


def test_describe_and_plot(tmp_path):
    run = CliRunner()
    told = run.invoke(app, ["describe", "heat", "--resolution", "32"], env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    for word in ("u_t = nu*u_xx", "held out", "Semilinear", "label error", "4", "one sample"):
        assert word in told.output
    assert "label error" not in run.invoke(app, ["describe", "heat", "--no-cost"]).output
    pdes.generate("heat", 2, 16, path=tmp_path / "heat.h5", progress=False)
    for words, name in ((["--out", tmp_path / "h.gif"], "h.gif"), ([], "heat.png")):
        ran = run.invoke(app, ["plot", str(tmp_path / "heat.h5"), *map(str, words)])
        assert ran.exit_code == 0, ran.output
        assert (tmp_path / name).stat().st_size > 1000
