"""What the benchmarks of regularised neural differential equations measure with: reference data, errors, order of rows."""

import numpy as np
import pytest

from benchmarks import nde_common, nde_tasks
from pdes.dataset import Dataset
from solvers.grid import Grid


def series():
    """Two series of two channels, straight lines in time; of the second the last frames are padding."""
    t = np.arange(6.0)
    x = np.stack([np.stack([t, 2 - t], -1), np.stack([3 * t, 0 * t], -1)])
    valid = np.array([[1.0] * 6, [1.0] * 4 + [0.0] * 2])
    seen = np.array([[1.0, 0, 1, 0, 0, 1], [1, 1, 0, 1, 0, 0]])
    inputs = {"series": x * seen[..., None], "seen": seen, "valid": valid}
    return Dataset(fields={"x": x * valid[..., None]}, inputs=inputs, grid=Grid(()), times=t, provenance={"family": "lines"})


def test_interpolation_finds_straight_lines_and_only_hidden_frames_count():
    data = series()
    answer = nde_tasks.interpolated(data)
    assert nde_tasks.unseen_error(answer, data, np.ones(2)) < 1e-25
    seen, padding, hidden = answer.copy(), answer.copy(), answer.copy()
    seen[0, 0, 2] += 1
    padding[1, 0, 5] += 1
    hidden[0, 0, 1] += 1
    errors = [nde_tasks.unseen_error(a, data, np.array([2.0, 1.0])) for a in (seen, padding, hidden)]
    np.testing.assert_allclose(errors, [0, 0, 0.25 / (4 * 2)], atol=1e-25)  # four hidden frames of two channels


def test_moments_of_the_noisy_spiral_are_those_of_itos_equation():
    """Against a scheme for the Ito form (Runge-Kutta for the drift, Euler for the noise) with other random numbers.

    Without the correction of the drift the mean square at the end would be 4 % larger.
    """
    n, steps = 8000, 600
    data = nde_tasks.noisy.__wrapped__(paths=n, steps=150)
    f, h = lambda y: y**3 @ nde_tasks.LAW.T, 1 / steps
    rng, y = np.random.default_rng(12), np.tile([2.0, 0.0], (n, 1))
    for _ in range(steps):
        noise = nde_tasks.NOISE * y * np.sqrt(h) * rng.standard_normal(y.shape)
        k1 = f(y)
        k2 = f(y + h / 2 * k1)
        k3 = f(y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(y + h * k3)) + noise
    mean, variance = (np.asarray(data.fields[name][:])[0, -1] for name in ("mean", "variance"))
    assert (np.abs(mean - y.mean(0)) < 5 * np.sqrt(2 * variance / n)).all()
    square, exact = (mean**2 + variance).sum(), (y**2).sum(1)
    assert abs(square - exact.mean()) < 4 * np.sqrt(2 * exact.var() / n)
    assert 4 * np.sqrt(2 * exact.var() / n) < 0.03 * square  # the bound would notice


def test_rows_come_in_passes_and_every_method_can_be_trained():
    order = list(nde_common.in_passes(["a", "b"], 5))
    assert order[:6] == [(0, "a"), (1, "a"), (2, "a"), (0, "b"), (1, "b"), (2, "b")]
    assert len(set(order)) == len(order) == 10
    for study in nde_tasks.STUDIES.values():
        assert {"vanilla", "weight decay 0.1"} <= set(study.methods)


@pytest.mark.parametrize("name", ["spiral"])
def test_a_row_holds_the_cheap_ways_beside_the_penalty(name):
    row = nde_tasks.row(name, "ER 0.001", 0, 2)
    assert {"at_tolerance", "first_step", "fixed_grid"} <= set(row)
    assert row["error"] < row["at_tolerance"]["0.01"]["error"]  # against a tight solve, so looser is worse
    assert row["fixed_grid"]["20"]["evaluations"] == 1 + 6 * 20
    assert "| ER 0.001 |" in nde_tasks.table(name, [row])
