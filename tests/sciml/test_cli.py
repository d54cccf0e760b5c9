"""The command line: what it prints, which exit code it leaves, and that errors are one line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import pdes
from sciml.checks import smooth_data
from sciml.cli import app
from sciml.operator import operator_names
from solvers.errors import UserError

COMMANDS = (
    "problems",
    "describe",
    "operators",
    "generate",
    "verify",
    "convert",
    "plot",
    "gallery",
    "fit",
    "evaluate",
    "quickstart",
)


def run(*words):
    return CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training file, a test file, and a model."""
    folder = tmp_path_factory.mktemp("cli")
    smooth_data(24).save(folder / "train.h5")
    smooth_data(6, seed=99).save(folder / "test.h5")
    ran = run(
        "fit",
        "fno:tiny",
        folder / "train.h5",
        "--out",
        folder / "fno.safetensors",
        "--epochs",
        2,
        "--history",
        folder / "fno.csv",
    )
    assert ran.exit_code == 0, ran.output
    return folder


# -- help and start ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command):
    ran = run(command, "--help")
    assert ran.exit_code == 0
    assert "Examples:" in ran.output
    assert f"sciml {command}" in ran.output
    assert "--debug" in ran.output


def test_help_names_every_command_and_loads_no_framework():
    code = (
        "import sys\n"
        "sys.argv = ['sciml', '--help']\n"
        "from sciml.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "loaded = [m for m in ('torch', 'jax', 'sympy', 'scipy', 'matplotlib', 'h5py') if m in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for command in COMMANDS:
        assert command in ran.stdout


def test_listing_operators_does_not_run_them():
    code = (
        "import sys\n"
        "sys.argv = ['sciml', 'operators']\n"
        "from sciml.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for name in operator_names():
        assert name in ran.stdout


def test_version():
    import sciml

    assert run("--version").output.strip() == sciml.__version__


# -- listing ----------------------------------------------------------------------------------------------------------


def test_problems_are_listed_and_described():
    ran = run("problems")
    assert ran.exit_code == 0
    for name in pdes.names("pde"):
        assert name in ran.output
    assert f"{len(pdes.names('ode'))} systems of ordinary equations" in ran.output
    assert "lorenz63" in run("problems", "--kind", "ode").output
    assert "darcy" not in run("problems", "lorenz").output
    one = run("describe", "darcy", "--no-cost")
    assert one.exit_code == 0
    for word in ("sciml generate darcy", "held out", "DiffusionSolver"):
        assert word in one.output


def test_operator_details_show_sizes_with_their_settings():
    ran = run("operators", "classical")
    assert ran.exit_code == 0
    assert "classical:quarter" in ran.output
    assert "coarsen=4" in ran.output


# -- generate, fit, evaluate ------------------------------------------------------------------------------------------


def test_generate_writes_and_extends_the_same_samples(tmp_path):
    path = tmp_path / "p.h5"
    ran = run("generate", "poisson_dirichlet", "--n", 3, "--resolution", 16, "--seed", 7, "--out", path)
    assert ran.exit_code == 0, ran.output
    first = pdes.Dataset.open(path).fields["u"][:]
    assert run("generate", "poisson_dirichlet", "--n", 20, "--resolution", 16, "--seed", 7, "--out", path).exit_code == 0
    grown = pdes.Dataset.open(path)
    assert len(grown) == 20
    np.testing.assert_array_equal(grown.fields["u"][:3], first)
    direct = pdes.generate("poisson_dirichlet", n=3, resolution=16, seed=7, progress=False)
    np.testing.assert_array_equal(direct.fields["u"][:], first)


def test_generate_fixes_parameters(tmp_path):
    path = tmp_path / "b.h5"
    ran = run("generate", "burgers", "--n", 2, "--resolution", 32, "--param", "nu=0.05", "--out", path)
    assert ran.exit_code == 0, ran.output
    np.testing.assert_array_equal(pdes.Dataset.open(path).parameters["nu"][:], 0.05)


def test_fit_writes_model_and_history(folder):
    import sciml

    assert (folder / "fno.csv").read_text().startswith("epoch,seconds")
    model = sciml.load(folder / "fno.safetensors")
    assert model.predict(np.ones((1, 1, 17, 17), np.float32)).shape == (1, 1, 17, 17)


def test_evaluate_writes_json_and_page(folder, tmp_path):
    ran = run(
        "evaluate",
        folder / "fno.safetensors",
        folder / "test.h5",
        "--json",
        tmp_path / "r.json",
        "--html",
        tmp_path / "r.html",
        "--no-timing",
    )
    assert ran.exit_code == 0, ran.output
    stored = json.loads((tmp_path / "r.json").read_text())
    assert stored["samples"] == 6
    mean = stored["scores"][0]["relative_l2"]["mean"]
    assert f"{mean:.4f}" in ran.output
    assert "<svg" in (tmp_path / "r.html").read_text()


def test_evaluate_takes_several_models_and_the_solver(tmp_path):
    data = tmp_path / "d.h5"
    run("generate", "poisson_dirichlet", "--n", 8, "--resolution", 16, "--seed", 7, "--out", data)
    for name in ("fno", "mean"):
        size = f"{name}:tiny" if name == "fno" else name
        assert run("fit", size, data, "--epochs", 1, "--out", tmp_path / f"{name}.safetensors").exit_code == 0
    ran = run(
        "evaluate",
        tmp_path / "fno.safetensors",
        tmp_path / "mean.safetensors",
        data,
        "--no-timing",
        "--coarsen",
        1,
        "--coarsen",
        2,
    )
    assert ran.exit_code == 0, ran.output
    for name in ("fno", "mean", "solver 16×16", "solver 8×8"):
        assert name in ran.output


def test_fit_resumes_from_a_checkpoint(folder, tmp_path):
    words = (
        "fit",
        "fno:tiny",
        folder / "train.h5",
        "--epochs",
        2,
        "--checkpoint",
        tmp_path / "run",
        "--out",
        tmp_path / "m.safetensors",
    )
    assert run(*words).exit_code == 0
    refused = run(*words)
    assert refused.exit_code == 2
    assert "already holds a training" in refused.stderr
    assert run(*words, "--resume").exit_code == 0


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("describe", "dracy"), "Did you mean 'darcy'"),
        (("operators", "fmo"), "Did you mean 'fno'"),
        (("generate", "darcy", "--out", "x.h5", "--resolution", "sixty"), "one number per axis"),
        (("generate", "burgers", "--out", "x.h5", "--param", "nu"), "NAME=VALUE"),
        (("generate", "burgers", "--out", "x.h5", "--param", "mu=1"), "mu"),
        (("fit", "fno", "absent.h5", "--out", "x.safetensors"), "absent.h5"),
        (("fit", "fno", "absent.h5", "--out", "x.safetensors", "--resume"), "--checkpoint"),
        (("evaluate", "absent.safetensors", "absent.h5"), "absent.h5"),
        (("evaluate", "a.safetensors", "a.safetensors", "{test}"), "one model twice"),
        (("evaluate", "absent.safetensors", "{test}"), "not a file"),
        (("evaluate", "{garbage}", "{test}"), "truncated or corrupted"),
        (("fit", "fno", "{garbage}", "--out", "x.safetensors"), "garbage"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(words, message, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"not a model")
    words = [w.format(test=folder / "test.h5", garbage=garbage) for w in words]
    ran = run(*words)
    assert ran.exit_code == 2
    assert message in ran.stderr
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.strip().count("\n") == 0
    assert "Traceback" not in ran.output
    debugged = run(*words, "--debug")
    assert isinstance(debugged.exception, UserError)


def test_usage_errors_exit_2():
    assert run("fit", "fno").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_a_bug_says_so_and_exits_1(monkeypatch):
    def broken(*_):
        raise RuntimeError("inner\nworkings")

    monkeypatch.setattr(pdes, "names", broken)
    ran = run("problems")
    assert ran.exit_code == 1
    assert ran.stderr.startswith("bug: RuntimeError: inner workings")
    assert "--debug" in ran.stderr
    assert isinstance(run("problems", "--debug").exception, RuntimeError)


def test_ctrl_c_saves_what_was_trained_and_exits_130(folder, tmp_path):
    target = tmp_path / "stopped.safetensors"
    code = (  # Ctrl-C arrives while the second epoch is being judged
        "import signal, sys\n"
        "import sciml.fitting as fitting\n"
        "real, calls = fitting.judged, []\n"
        "def judged(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: signal.raise_signal(signal.SIGINT)\n"
        "    return real(*arguments)\n"
        "fitting.judged = judged\n"
        "sys.argv = ['sciml', 'fit', 'fno:tiny', sys.argv[1], '--epochs', '100000', '--out', sys.argv[2]]\n"
        "from sciml.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, folder / "train.h5", target], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 130, ran.stderr
    assert "interrupted after 2 epochs" in " ".join(ran.stdout.split())
    import sciml

    sciml.load(target)


def test_ctrl_c_elsewhere_exits_130(monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pdes, "names", stopped)
    ran = run("problems")
    assert ran.exit_code == 130
    assert "Stopped" in ran.stderr


def test_verify_names_what_was_edited(tmp_path):
    path = tmp_path / "p.h5"
    assert run("generate", "poisson_dirichlet", "--n", 4, "--resolution", 12, "--out", path).exit_code == 0
    fine = run("verify", path, "-k", 1)
    assert fine.exit_code == 0, fine.output
    assert "equal bit by bit" in fine.output
    twice = run("verify", path, "-k", 0, "--against", path)
    assert (twice.exit_code, "draws that are in both" in twice.stderr) == (2, True)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    edited = run("verify", path)
    assert edited.exit_code == 2
    assert "differs from its manifest" in edited.stderr


def test_convert_there_and_back(tmp_path):
    smooth_data(4).save(tmp_path / "ours.h5")
    there = run("convert", tmp_path / "ours.h5", tmp_path / "well.hdf5", "--layout", "the_well")
    assert there.exit_code == 0, there.output
    back = run("convert", tmp_path / "well.hdf5", tmp_path / "back.h5")
    assert back.exit_code == 0, back.output
    first, second = (pdes.Dataset.open(tmp_path / name) for name in ("ours.h5", "back.h5"))
    assert first.fingerprint() == second.fingerprint()
    wrong = run("convert", tmp_path / "ours.h5", tmp_path / "x", "--layout", "the_wel")
    assert (wrong.exit_code, "Did you mean 'the_well'" in wrong.stderr) == (2, True)


def test_shards_from_the_command_line(tmp_path):
    words = ("generate", "poisson_dirichlet", "--n", 20, "--resolution", 8, "--out", tmp_path / "many", "--shard-size", 16)
    ran = run(*words)
    assert ran.exit_code == 0, ran.output
    assert len(list((tmp_path / "many").glob("shard-*.h5"))) == 2
    assert run("verify", tmp_path / "many", "-k", 1).exit_code == 0
