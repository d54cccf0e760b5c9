"""Figures of stored equations: read back as they were, drawn for every system."""

import numpy as np
import pytest
import sympy

from benchmarks.recovery import figures
from sciml.recovery.equations import System
from sciml.recovery.features import Features, polynomials


def test_equations_come_back_from_their_text():
    features = Features(polynomials(2, 3), 2)
    C = np.zeros((2, len(features)))
    C[0, 2], C[1, 1], C[1, 7] = 1.0, -0.123456789012345, 1e-7
    system = System(features, C, np.empty(0), ("x0", "x1"))
    again = figures.parsed([str(e) for e in system.equations()])
    t = np.linspace(0, 5, 40)
    np.testing.assert_allclose(again.simulated([0.5, -0.2], t), system.simulated([0.5, -0.2], t), rtol=1e-10, atol=1e-12)
    other = figures.parsed(["-0.7*sin(v) - 2.0/(1.0 + exp(0.5 - 3.25*v))"], ["v"])
    x = np.array([[0.3], [1.1]])
    expected = -0.7 * np.sin(x) - 2 / (1 + np.exp(0.5 - 3.25 * x))
    np.testing.assert_allclose(other.rates(x), expected, rtol=1e-12)
    assert other.equations()[0].has(sympy.sin)


@pytest.mark.parametrize("count", [2, 30])
def test_a_page_of_each_system_and_one_sheet(tmp_path, count):
    t = np.linspace(0, 1, 50)
    wave = np.stack([np.sin(6 * t), np.cos(6 * t)], 1)
    gone = np.where(t[:, None] < 0.5, wave, np.nan)
    panels = [figures.Panel("data", t, wave, wave, t, wave + 0.1), figures.Panel("other", t, wave, gone)]
    made = [figures.Figure(f"{k} <a, b>", ["x0", "x1"], ["x0' = x1"], panels) for k in range(count)]
    made.append(figures.Figure("nothing found", ["x0"], [], [figures.Panel("data", t, None, None, t, wave[:, :1])]))
    figures.write("demo", made, tmp_path, tmp_path)
    assert len(list((tmp_path / "demo").glob("*.html"))) == count + 1
    text = (tmp_path / "demo" / "0_a_b_.html").read_text()
    assert text.count("<svg") == 4
    assert "&lt;a, b&gt;" in text
    assert (tmp_path / "recovery_demo.png").read_bytes()[:4] == b"\x89PNG"
