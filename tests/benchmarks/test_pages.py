"""Pages of measurements say what the stored results say: nobody writes a number by hand, and none is forgotten."""

import functools
import importlib
import json
from pathlib import Path

import pytest

from benchmarks import fno_trainer, mgno_page
from benchmarks.ffp_page import recovered
from benchmarks.record import RESULTS
from benchmarks.suite import storing, who_wins, words
from benchmarks.suite.scoring import FIELDS
from benchmarks.suite.tasks import load, names

kept = functools.cache(lambda name: storing.kept(load(name)))  # its intervals are drawn once for two tests
PAGES = ("ffp_page", "lssl_page", "mgno_page", "nde_page", "prose_page", "recovery.tables")


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_those_of_the_stored_results(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.DOCS.read_text() == module.page(), f"python -m benchmarks.{name} writes another page: run it."


def test_the_readme_has_the_stored_table():
    table = mgno_page.readme(mgno_page.stored("mgno_accuracy"))
    assert table in (Path(__file__).parents[2] / "README.md").read_text(), (
        "python -m benchmarks.mgno_page writes another table."
    )


def test_the_guide_has_the_stored_race():
    rows = {row["key"]: row for row in json.loads((RESULTS / "fno_trainer.json").read_text())["rows"]}
    assert fno_trainer.page(rows) in fno_trainer.DOCS.read_text(), "python -m benchmarks.fno_trainer writes another table."


@pytest.mark.parametrize("name", [name for name in names() if storing.place(load(name)).exists()])
def test_suites_are_documented_as_they_are_kept(name):
    suite = load(name)
    found, root = kept(name), Path(__file__).parents[2]
    message = f"python -m benchmarks document {name} writes another page: run it."
    assert words.markdown(suite, found) == (root / "docs" / f"suite_{name}.md").read_text(), message
    readme = (root / "README.md").read_text()
    assert f"<!-- suite {name} -->" not in readme or words.short(suite, found) in readme, message


def test_the_page_for_newcomers_is_made_from_what_is_kept():
    suites = [(load(name), kept(name)) for name in names()]
    page = (Path(__file__).parents[2] / "docs" / "who_wins.md").read_text()
    assert who_wins.page(suites) == page, "python -m benchmarks document s writes another page: run it."
    for _, found in suites:
        for t in found:
            assert (f"| {t.task.name}, {t.task.resolution} points |" in page) == (t.task.track in FIELDS and who_wins.timed(t))


def test_passes_to_recover():
    assert recovered([100, 300]) == "200"
    assert recovered([100, None]) == "100 (1 of 2)"
    assert recovered([None]) == "not reached (1)"
