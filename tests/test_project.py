"""What the project says of itself is true: versions, citation, links, and the code in documents."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {  # documented file -> the battery that discovery would run on it
    "sciml/operators/dilated.py": "from sciml.checks import check_operator\n"
    "check_operator(lambda: made.Dilated(**made.PRESETS['tiny']))",
    "pdes/families/fisher.py": "from pdes.checks import check_problem\ncheck_problem(made.fisher)",
    "solvers/heat.py": "",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text(name), flags=re.MULTILINE | re.DOTALL)


def documented_files():
    found = {}
    for block in blocks("CONTRIBUTING.md", "python"):
        first, _, body = block.partition("\n")
        found[first.removeprefix("# file: ")] = body
    return found


# -- one version, a valid citation ------------------------------------------------------------------------------------


def test_version_is_the_same_everywhere():
    import sciml

    version = PROJECT["project"]["version"]
    assert sciml.__version__ == version
    assert f"\nversion: {version}\n" in text("CITATION.cff")


def test_citation_is_valid():
    citation = pytest.importorskip("cffconvert.cli.create_citation")
    citation.create_citation(str(ROOT / "CITATION.cff"), None).validate()


def test_citation_lists_the_papers_of_the_methods():
    listed = text("CITATION.cff")
    for identifier in ("2310.19809", "2010.08895", "s42256-021-00302-5", "1505.04597", "2407.07218", "S1064827502410633"):
        assert identifier in listed, identifier


def test_licence_is_whole():
    licence = text("LICENSE")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_changelog_has_a_place_for_the_next_change():
    assert "\n## [Unreleased]\n" in text("CHANGELOG.md")


def test_pinned_versions_satisfy_the_requirements():
    from packaging.requirements import Requirement

    pins = dict(line.split("==") for line in text("constraints.txt").splitlines() if "==" in line)
    for line in PROJECT["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.name in pins:
            assert pins[requirement.name] in requirement.specifier, requirement
    assert {"torch", "jax", "numpy", "scipy"} <= pins.keys()


# -- commands ---------------------------------------------------------------------------------------------------------


def test_readme_and_ci_run_the_same_test_command():
    assert "scripts/test" in "".join(blocks("README.md", "sh"))
    assert re.search(r"^scripts/test ", text(".ci/run"), flags=re.MULTILINE)


@pytest.mark.parametrize("script", ["scripts/test", ".ci/run"])
def test_scripts_are_executable_and_parse(script):
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)


def test_console_command_exists():
    module, _, name = PROJECT["project"]["scripts"]["sciml"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


# -- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(name):
    for target in re.findall(r"\]\(([^)#]+?)\)", text(name)):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smaller = {
        "n=1200": "n=30",
        "resolution=64": "resolution=16",
        "split(1000, 200)": "split(24, 6)",
        "mgno:small": "mgno:tiny",
    }
    smaller |= {"progress=True": "progress=False", "seconds=120": "epochs=1"}
    code = "\n".join(blocks("README.md", "python"))
    for long, short in smaller.items():
        code = code.replace(long, short)
    assert "n=30" in code, "the example has changed: shorten it here too"
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("path", MODULES)
def test_contributing_examples_run(path, monkeypatch):
    files = documented_files()
    assert path in files
    made = load(path, files[path], monkeypatch)
    exec(MODULES[path], {"made": made})
    name = Path(path).stem
    (test_path,) = [p for p in files if p.startswith("tests/") and name in p]
    tests = {"__name__": test_path}
    exec(compile(files[test_path], test_path, "exec"), tests)
    functions = [value for key, value in tests.items() if key.startswith("test_")]
    assert functions
    for function in functions:
        function()


def load(path, source, monkeypatch):
    """The documented file as the module that it would be."""
    name = path.removesuffix(".py").replace("/", ".")
    assert importlib.util.find_spec(name) is None, f"{path} exists: document another one"
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, path, "exec"), module.__dict__)
    return module


# -- examples ---------------------------------------------------------------------------------------------------------

EXAMPLES = {
    "cheap_neural_ode": {"epochs": 1, "n": 8},
    "darcy_mgno": {"n": 24, "resolution": 16, "seconds": 1.0},
    "equations_from_noise": {"beams": 1},
    "own_equation": {"n": 2, "resolution": 64},
    "own_network": {"n": 24, "resolution": 16, "seconds": 1.0},
}


def test_every_example_is_listed():
    assert {p.stem for p in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_leaves_a_picture(name, tmp_path):
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    picture = module.main(folder=tmp_path, **EXAMPLES[name])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000
