"""Equation recovery: one call, text and code, proposals, controls, scores, fields, files, the command."""

import json

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

import sciml
from sciml.cli import app
from sciml.recovery.equations import System
from sciml.recovery.features import Features, polynomials
from sciml.recovery.fields import FieldRecovery
from sciml.recovery.files import load
from sciml.recovery.scores import corrupted, r2, term_f1, thinned, valid_time
from solvers.errors import DataError, SettingError


def decay(n=80, rate=0.7):
    t = np.linspace(0, 4, n)
    return t, np.exp(-rate * t)


def test_small_coefficients_survive_text_and_code():
    F = Features(polynomials(2, 2), 2)
    C = np.zeros((2, len(F)))
    C[0, 2], C[1, 1], C[1, 3] = 1.0, -1.2345678901234567, 1e-7
    system = System(F, C, np.empty(0), ("x0", "x1"))
    t = np.linspace(0, 5, 50)
    plain = system.simulate([1.0, 0.2], t)
    symbols = sympy.symbols("x0 x1", real=True)
    read = [sympy.sympify(str(e), {"x0": symbols[0], "x1": symbols[1]}) for e in system.equations()]
    call = sympy.lambdify(symbols, read)
    again = solve_ivp(lambda t, v: call(*v), (0, 5), [1.0, 0.2], "LSODA", t, rtol=1e-9, atol=1e-11).y.T
    np.testing.assert_allclose(again, plain, atol=1e-10)
    assert "e-8*x0**2" in str(system.equations()[1])
    space = {}
    exec(system.python(), space)
    np.testing.assert_allclose(space["rates"](0.0, np.array([0.3, -0.4])), system.rates(np.array([0.3, -0.4])), rtol=1e-14)
    assert "x_{0}" in system.latex()


def test_text_of_constants_inside_terms_is_whole_too():
    t = np.linspace(0, 10, 201)
    x = solve_ivp(lambda t, v: 1 / (1 + np.exp(0.5 - v / 0.96)) - 0.5, (0, 10), [0.8], "DOP853", t, rtol=1e-11, atol=1e-12).y.T
    model = sciml.recover(t, x)
    space = {}
    exec(model.python(), space)
    v = np.linspace(0.8, 3, 7)
    np.testing.assert_allclose(space["rates"](0.0, [v])[0], model.predict(v[:, None])[:, 0], rtol=1e-12)
    np.testing.assert_allclose(model.predict(v[:, None])[:, 0], 1 / (1 + np.exp(0.5 - v / 0.96)) - 0.5, atol=1e-4)


class Fake:
    """Proposes a saturating decay."""

    def __init__(self, *sides):
        self.sides, self.asked = sides, []

    def propose(self, t, x, n):
        self.asked.append((t.shape, x.shape, n))
        return [[sympy.sympify(side) for side in self.sides]]


def test_proposals_from_elsewhere_are_refined_and_chosen():
    t = np.linspace(0, 6, 150)
    x = solve_ivp(lambda t, v: -1.3 * v / (0.37 + v**3), (0, 6), [2.0], "DOP853", t, rtol=1e-11, atol=1e-12).y.T
    keep = x[:, 0] > 0.05
    fake = Fake("-1.0*x0/(0.45 + x0**3)")
    model = sciml.recover(t[keep], x[keep], proposals=("sparse", fake), library="poly:2")
    assert fake.asked
    v = np.linspace(0.2, 1.9, 30)
    np.testing.assert_allclose(model.predict(v[:, None])[:, 0], -1.3 * v / (0.37 + v**3), rtol=1e-4)
    alone = sciml.recover(t[keep], x[keep], proposals=(fake,), library="poly:2")
    np.testing.assert_allclose(alone.predict(v[:, None])[:, 0], -1.3 * v / (0.37 + v**3), rtol=1e-4)
    with pytest.raises(DataError, match="proposal with y"):
        sciml.recover(t, x, proposals=(Fake("y"),))
    with pytest.raises(DataError, match="2 right-hand sides"):
        sciml.recover(t, x, proposals=(Fake("x0", "x0"),))


def test_controls_are_terms_like_states():
    t = np.linspace(0, 12, 400)
    u = np.sin(1.3 * t) + 0.5 * np.cos(3.1 * t)
    rates = lambda s, v: [v[1], -2 * v[0] - 0.3 * v[1] + 0.8 * (np.sin(1.3 * s) + 0.5 * np.cos(3.1 * s))]  # noqa: E731
    x = solve_ivp(rates, (0, 12), [1.0, 0.0], "DOP853", t, rtol=1e-11, atol=1e-12).y.T
    x = x + 0.01 * x.std(axis=0) * np.random.default_rng(3).standard_normal(x.shape)
    model = sciml.recover(t, x, u, names=["q", "v"], inputs=["force"], library="poly:2")
    q, v, force = sympy.symbols("q v force", real=True)
    second = sympy.Poly(model.equations()[1], q, v, force)
    assert {m: round(float(c), 1) for m, c in second.terms()} == {(1, 0, 0): -2.0, (0, 1, 0): -0.3, (0, 0, 1): 0.8}
    assert model.score(t, x, u) > 0.99
    with pytest.raises(DataError, match="controls missing"):
        model.simulate([1.0, 0.0], t)


def test_several_irregular_trajectories_of_different_length_with_gaps():
    rng = np.random.default_rng(11)
    ts, xs = [], []
    for start, n in ((0.1, 90), (2.5, 40), (0.02, 60)):
        t = np.sort(rng.uniform(0, 6, n))
        x = 1 / (1 + (1 / start - 1) * np.exp(-t))
        x = x * (1 + 0.01 * rng.standard_normal(n))
        x[n // 2] = np.nan
        ts.append(t)
        xs.append(x)
    model = sciml.recover(ts, xs)
    assert [str(e) for e in model.equations(1)] == ["-1.0*x0**2 + 1.0*x0"]
    assert len(model.notes_) == 3
    assert len(model.bands()) == 3


def test_scores_are_the_usual_ones_and_corruption_repeats():
    rng = np.random.default_rng(12)
    truth, found = rng.standard_normal((50, 3)) * [1, 5, 0.1], rng.standard_normal((50, 3))
    each = 1 - ((truth - found) ** 2).mean(0) / truth.var(0)  # of every component; weighted by variance, as scikit-learn does
    assert r2(truth, found) == pytest.approx((each * truth.var(0)).sum() / truth.var(0).sum(), rel=1e-12)
    assert r2(truth, np.full_like(truth, np.nan)) == -np.inf
    assert r2(truth, np.broadcast_to(truth.mean(0), truth.shape)) == pytest.approx(0, abs=1e-12)
    a, b = (corrupted(truth, 0.05, np.random.default_rng(99)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    t, kept = thinned(np.arange(50.0), truth, 0.5, np.random.default_rng(4))
    assert len(t) == 25
    assert np.all(np.isin(kept, truth))
    assert valid_time(np.arange(50.0), truth, truth) == 49
    assert term_f1(np.array([[1.0, 0, 2]]), np.array([[1.0, 3, 0]])) == 0.5


def test_scikit_learn_conventions():
    model = sciml.Recovery(n_boot=5)
    assert model.get_params()["n_boot"] == 5
    assert model.set_params(seed=3) is model
    assert model.fit(*decay()) is model
    assert "x0' =" in repr(model)


# -- fields -----------------------------------------------------------------------------------------------------------------


def heat(n=96, nu=0.02):
    x, t = np.arange(n) / n, np.linspace(0, 1, 80)
    modes = [(1, 1.0, 0.3), (2, 0.8, 1.0), (4, 0.5, 2.0)]
    u = sum(a * np.exp(-nu * (2 * np.pi * k) ** 2 * t[:, None]) * np.sin(2 * np.pi * k * x + p) for k, a, p in modes)
    return t, u, x


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_heat_equation(noise):
    t, u, x = heat()
    found = sciml.recover(t, u + noise * u.std() * np.random.default_rng(5).standard_normal(u.shape), space=x)
    assert [term.text("u") for term in found.terms_] == ["u_xx"]
    assert found.coefficient("u_xx") == pytest.approx(0.02, rel=2e-4 if not noise else 0.03)
    assert abs(found.coefficient("u_xx") - 0.02) < 5 * found.errors_[0] + 4e-6
    assert found.coefficient("u_xxx") == 0


def test_wave_equation_has_two_derivatives_in_time():
    x, t = np.arange(80) / 80, np.linspace(0, 1.3, 90)
    modes = [(1, 1.0, 0.0), (2, 0.6, 0.5), (3, 0.5, 1.1)]
    u = sum(a * np.cos(2 * np.pi * k * 1.5 * t[:, None] + p) * np.sin(2 * np.pi * k * x) for k, a, p in modes)
    found = FieldRecovery().fit(t, u, x)
    assert found.time_order_ == 2
    assert found.text(3) == "u_tt = 2.25*u_xx"


def test_burgers_shock_by_its_conservative_term():
    from pdes import generate, get

    data = generate(get("burgers", nu=0.01).replace(frames=65), n=2, resolution=128, seed=7, progress=False)
    u = [np.asarray(one, np.float64) for one in data.fields["u"][:]]
    found = FieldRecovery().fit(data.times, u, data.grid.coordinates()[0])
    assert {term.text("u") for term in found.terms_} == {"u_xx", "dx(u^2)"}
    assert found.coefficient("u_xx") == pytest.approx(0.01, rel=0.02)
    assert found.coefficient("dx(u^2)") == pytest.approx(-0.5, rel=0.02)
    assert "u_{xx}" in found.latex()


def test_fields_that_cannot_be_used():
    t, u, x = heat()
    with pytest.raises(DataError, match="Transpose"):
        FieldRecovery().fit(t, u.T, x)
    with pytest.raises(DataError, match="at least 16"):
        FieldRecovery().fit(t[:5], u[:5], x)
    with pytest.raises(DataError, match="constant"):
        FieldRecovery().fit(t, 0 * u + 3, x)
    with pytest.raises(DataError, match="gaps"):
        FieldRecovery().fit(t, u * np.nan, x)
    with pytest.raises(SettingError, match="power=9"):
        FieldRecovery(power=9).fit(t, u, x)


# -- files and the command ------------------------------------------------------------------------------------------------


def write_csv(path, gap=False):
    t, x = decay()
    rows = ["time,charge (C)"] + [f"{a},{'' if gap and k == 7 else b}" for k, (a, b) in enumerate(zip(t, x, strict=True))]
    path.write_text("\n".join(rows) + "\n")
    return path


def run(*words):
    return CliRunner().invoke(app, ["recover", *map(str, words)])


def test_command_writes_equations_code_and_page(tmp_path):
    path = write_csv(tmp_path / "rc.csv", gap=True)
    page, code = tmp_path / "rc.html", tmp_path / "rc.py"
    found = run(path, "--digits", 4, "--boot", 4, "--html", page, "--python", code, "--latex")
    assert found.exit_code == 0, found.output
    assert "charge' = -0.7*charge" in found.output
    assert "1 of 80 rows with gaps" in found.output
    assert r"\dot{charge}" in found.output
    text = page.read_text()
    assert "<math" in text
    assert text.count("<svg") >= 2
    assert "http" not in text.replace("http://www.w3.org", "")
    space = {}
    exec(code.read_text(), space)
    assert space["rates"](0.0, [2.0])[0] == pytest.approx(-1.4, rel=1e-6)


def test_command_reads_arrays_datasets_and_fields(tmp_path):
    t, x = decay()
    np.savez(tmp_path / "two.npz", t_0=t, x_0=x, t_1=t[:50], x_1=2 * x[:50])
    assert "x0' = -0.7*x0" in run(tmp_path / "two.npz", "--digits", 3, "--boot", 0).output
    sciml.generate("linear_oscillator", n=1, seed=3, path=tmp_path / "osc.h5", progress=False)
    found = run(tmp_path / "osc.h5", "--digits", 3, "--boot", 0, "--library", "poly:2")
    assert "q' = 1.0*v" in found.output
    t, u, x = heat(n=64)
    np.savez(tmp_path / "heat.npz", t=t, field=u, x=x)
    assert "u_t = 0.02*u_xx" in run(tmp_path / "heat.npz", "--digits", 3).output


def test_command_reports_bad_files_in_one_line(tmp_path):
    for name, text, message in (
        ("empty.csv", "t,x\n", "1 rows"),
        ("ragged.csv", "t,x\n0,1\n1\n", "row 3"),
        ("words.csv", "t,x\n0,one\n", "column 'x'"),
        ("lonely.csv", "t\n0\n1\n", "a time and states"),
    ):
        (tmp_path / name).write_text(text)
        found = run(tmp_path / name)
        assert found.exit_code == 2
        assert message in found.output
    assert "does not exist" in run(tmp_path / "none.csv").output
    path = write_csv(tmp_path / "rc.csv")
    assert "input 'force'" in run(path, "--input", "force").output
    (tmp_path / "data.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match=r"one of \.csv"):
        load(tmp_path / "data.json")
