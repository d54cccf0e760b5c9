"""Riemann problems: published star states, jump conditions, fans, vacuum and dry beds."""

import numpy as np
import pytest

from solvers.errors import DataError, SettingError
from solvers.riemann import burgers_fan, gas_fan, gas_star, water_fan, water_star

TABLE = {  # left, right, and as printed p*, u*, rho*_left, rho*_right
    "sod": ((1, 0, 1), (0.125, 0, 0.1), "0.30313018", "0.92745262", "0.42631943", "0.26557371"),
    "123": ((1, -2, 0.4), (1, 2, 0.4), "0.0018938734", "0", "0.021852118", "0.021852118"),
    "left blast": ((1, 0, 1000), (1, 0, 0.01), "460.89379", "19.597451", "0.5750623", "5.9992407"),
    "two shocks": (
        (5.99924, 19.5975, 460.894), (5.99242, -6.19633, 46.0950), "1691.647", "8.6897744", "14.28235", "31.042602",
    ),
    "lax": ((0.445, 0.698, 3.528), (0.5, 0, 0.571), "2.4660979", "1.528723", "0.34456847", "1.3040845"),
}  # fmt: skip


def half_a_unit(printed):
    """Of the last printed digit, 0 being exact."""
    return 0.51 * 10.0 ** -len(printed.partition(".")[2]) if "." in printed else 1e-12


@pytest.mark.parametrize("name", TABLE)
def test_star_states_of_gases_to_the_printed_digits(name):
    left, right, *expected = TABLE[name]
    star = gas_star(left, right)
    for found, printed in zip((star.pressure, star.velocity, star.density_left, star.density_right), expected, strict=True):
        assert abs(float(found) - float(printed)) < half_a_unit(printed)
    mirrored = gas_star((right[0], -right[1], right[2]), (left[0], -left[1], left[2]))
    assert float(mirrored.pressure) == pytest.approx(float(star.pressure), rel=1e-14)
    assert float(mirrored.velocity) == pytest.approx(-float(star.velocity), rel=1e-13, abs=1e-14)


def test_all_at_once_is_one_by_one():
    left, right = (np.array([row[i] for row in TABLE.values()], float) for i in (0, 1))
    star = gas_star(left, right)
    alone = [gas_star(a, b).pressure for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(star.pressure, alone, rtol=1e-14)
    speeds = np.linspace(-3, 3, 50) + np.zeros((5, 1))
    fans = gas_fan(left, right, speeds)
    np.testing.assert_allclose(fans[3], gas_fan(left[3], right[3], speeds[3]), rtol=1e-13)


def flux(state, gamma):
    r, u, p = np.moveaxis(state, -1, 0)
    energy = p / (gamma - 1) + r * u**2 / 2
    return np.stack([r, r * u, energy], -1), np.stack([r * u, r * u**2 + p, u * (energy + p)], -1)


@pytest.mark.parametrize("gamma", [1.4, 5 / 3, 1.1])
def test_gas_fans_satisfy_the_conservation_laws(gamma):
    """Integral of q over x / t in [-s, s] equals s (q_L + q_R) - (F_R - F_L): jumps, fans and contacts at once."""
    rng = np.random.default_rng(311)
    left, right = (
        np.stack([rng.uniform(0.1, 2, 40), rng.uniform(-1.5, 1.5, 40), rng.uniform(0.05, 3, 40)], -1) for _ in range(2)
    )
    s, n = 12.0, 60000
    xi = -s + 2 * s * (np.arange(n) + 0.5) / n
    q, _ = flux(gas_fan(left, right, xi, gamma), gamma)
    (ql, fl), (qr, fr) = flux(left, gamma), flux(right, gamma)
    np.testing.assert_allclose(q.sum(1) * 2 * s / n, s * (ql + qr) - (fr - fl), atol=2e-2)


def test_sods_shock_stands_where_it_should():
    state = gas_fan((1, 0, 1), (0.125, 0, 0.1), [1.7521556, 1.7521558, 0.927452, 0.927453])
    np.testing.assert_allclose(state[:, 0], [0.26557371, 0.125, 0.42631943, 0.26557371], rtol=1e-7)


def test_vacuum_arises_and_is_detected():
    left, right = (1.0, -6.0, 0.4), (1.0, 6.0, 0.4)
    star = gas_star(left, right)
    assert star.vacuum
    assert star.pressure == 0
    edge = 6 - 2 * np.sqrt(1.4 * 0.4) / 0.4
    state = gas_fan(left, right, [-edge - 1e-3, -edge + 1e-3, 0.0, edge + 1e-3])
    np.testing.assert_array_equal(state[:, 0] > 0, [True, False, False, True])
    assert not gas_star((1, -2, 0.4), (1, 2, 0.4)).vacuum


def test_gas_expands_into_a_given_vacuum():
    sound = np.sqrt(1.4)
    state = gas_fan((1.0, 0.0, 1.0), (0.0, 0.0, 0.0), [-1.19, 0.0, 5 * sound - 1e-6, 5 * sound + 1e-6])
    np.testing.assert_allclose(state[0], (1, 0, 1))
    np.testing.assert_allclose(state[1, :2], ((5 / 6) ** 5, sound * 5 / 6))
    assert state[2, 0] > 0
    assert state[3, 0] == 0
    mirrored = gas_fan((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), [0.0])
    np.testing.assert_allclose(mirrored[0], state[1] * (1, -1, 1))


@pytest.mark.parametrize(
    ("left", "right", "g", "expected"),
    [
        (2.0, 1.0, 1.0, ("1.45384089", "0.416920631", "1.33556996")),
        (1.0, 0.1, 9.81, ("0.39617482", "2.3213550", "3.1051337")),
    ],
)
def test_stokers_dam_breaks(left, right, g, expected):
    star = water_star((left, 0.0), (right, 0.0), g)
    shock = star.velocity * star.depth / (star.depth - right)
    for found, printed in zip((star.depth, star.velocity, shock), expected, strict=True):
        assert abs(float(found) - float(printed)) < half_a_unit(printed)
    state = water_fan((left, 0.0), (right, 0.0), np.array([shock - 1e-6, shock + 1e-6]), g)
    np.testing.assert_allclose(state[:, 0], [star.depth, right])


def test_ritters_dry_bed():
    xi = np.linspace(-3.1, 6.2, 30)
    expected = (2 * np.sqrt(9.81) - xi) ** 2 / (9 * 9.81)
    found = water_fan((1.0, 0.0), (0.0, 0.0), xi)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], 2 / 3 * (np.sqrt(9.81) + xi), rtol=1e-12)
    np.testing.assert_allclose(water_fan((0.0, 0.0), (1.0, 0.0), -xi)[:, 0], expected, rtol=1e-12)
    assert water_fan((1.0, 0.0), (0.0, 0.0), [6.3])[0, 0] == 0
    assert water_star((1.0, -4.0), (1.0, 4.0), 1.0).dry
    assert not water_star((1.0, -1.0), (1.0, 1.0), 1.0).dry


def test_water_fans_satisfy_the_conservation_laws():
    rng = np.random.default_rng(77)
    left, right = (np.stack([rng.uniform(0.1, 2, 40), rng.uniform(-1.5, 1.5, 40)], -1) for _ in range(2))
    s, n = 8.0, 40000
    fan = water_fan(left, right, -s + 2 * s * (np.arange(n) + 0.5) / n, 2.0)
    q = np.stack([fan[..., 0], fan[..., 0] * fan[..., 1]], -1).sum(1) * 2 * s / n
    parts = [
        (np.stack([h, h * u], -1), np.stack([h * u, h * u**2 + h**2], -1))
        for h, u in (np.moveaxis(v, -1, 0) for v in (left, right))
    ]
    (ql, fl), (qr, fr) = parts
    np.testing.assert_allclose(q, s * (ql + qr) - (fr - fl), atol=1e-2)


def test_burgers_shocks_and_fans():
    np.testing.assert_allclose(burgers_fan([2.0, -1.0], [0.0, 3.0], [[0.99, 1.01], [-0.5, 5.0]]), [[2, 0], [-0.5, 3]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gas_star((1, 0, -1), (1, 0, 1)), DataError, "both > 0"),
        (lambda: gas_star((1, 0, 0), (1, 0, 1)), DataError, "vacuum"),
        (lambda: gas_star((1, 0), (1, 0)), DataError, r"\(\.\.\., 3\)"),
        (lambda: gas_star((1, 0, 1), (1, 0, 1), 1.0), SettingError, "gamma > 1"),
        (lambda: water_star((-1, 0), (1, 0)), DataError, "depth"),
        (lambda: water_star((1, 0), (1, 0), -1), SettingError, "gravity"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
