"""Refinement of perturbed constants: the structures are the benchmark's, the objective never rises, constants come back."""

import numpy as np
import pytest

from benchmarks.recovery.refinement import CLOSE, run, structure
from pdes.ode_families.odebench import ROWS, SYSTEMS
from pdes.ordinary import Rates


@pytest.mark.parametrize("number", range(1, 64))
def test_structures_are_the_systems(number):
    features, C = structure(number)
    x = np.array(ROWS[number - 1][4], float)
    parameters = {f"c{i}": np.full(len(x), float(value)) for i, value in enumerate(ROWS[number - 1][3])}
    expected = np.asarray(Rates(SYSTEMS[f"odebench_{number:02d}"].equation)(0.0, x.T, parameters)).T
    np.testing.assert_allclose(features(x) @ C.T, expected, rtol=1e-5, atol=1e-6)  # the reference is in float32 here


@pytest.mark.parametrize("number", [7, 22, 37, 49, 56])
def test_constants_come_back_from_a_fifth_off_and_the_objective_never_rises(number):
    for row in run(number, 2):
        assert not row["rose"]
        assert row["error"] < CLOSE


def test_free_are_the_constants_inside_as_well():
    features, _ = structure(14)  # c0 x0 - c0/c1 x0^2 - c3 x0^2/(c2^2 + x0^2)
    assert len(features) == 3
    assert features.starts == pytest.approx([21.2])
