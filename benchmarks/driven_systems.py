"""Driven systems with references as exact as one likes: input u(t) on [0, T] to output y(t), sampled at any step.

    chain1 to chain4   so many masses in a row, springs and dampers, a force on the first, displacement of the last: linear,
               finite order
    duffing    x'' + 0.3 x' + x + x^3 = u                                                    nonlinear, fading memory
    rod        heat flux into one end of a rod, temperature in its middle                    linear, no finite order
    bouc_wen   x'' + 0.2 x' + 0.3 x + 0.7 z = u, z' = x' - 0.8 |x'| z - 0.5 x' |z|           hysteresis
    delay      y(t) = u(t - 1)
    pendulum   x'' + 0.2 x' + 4 sin x = 2 u

All at rest before time 0. Inputs are smooth functions, known at all times: Gaussian processes of two length scales, sums of
sines, and ramps between levels. Linear systems are advanced exactly for inputs linear on each of `FINE` parts of a step, others
by Runge-Kutta of order four on them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from pdes.dataset import Dataset
from pdes.randomness import generator
from solvers.errors import unknown_name
from solvers.grid import Grid

EXTENT, SAMPLES = 40.0, 1025
STEP = EXTENT / (SAMPLES - 1)
FINE = 8
KINDS = ("smooth", "rough", "sines", "ramps")


@dataclass(frozen=True)
class Inputs:
    """n functions of time, (sample, time) when called; the kinds take turns."""

    n: int
    seed: int
    extent: float = EXTENT

    def __call__(self, times: np.ndarray) -> np.ndarray:
        return np.stack([_input(KINDS[i % 4], generator("driven", self.seed, i), self.extent)(times) for i in range(self.n)])


def _input(kind: str, rng: np.random.Generator, extent: float) -> Callable[[np.ndarray], np.ndarray]:
    if kind in ("smooth", "rough"):  # Gaussian process with a Gaussian kernel, by random Fourier features
        omega = rng.standard_normal(32) / {"smooth": 2.0, "rough": 0.7}[kind]
        phase = rng.uniform(0, 2 * np.pi, 32)
        return lambda t: np.sqrt(2 / 32) * np.cos(omega[:, None] * t + phase[:, None]).sum(0)
    if kind == "sines":
        omega, phase = rng.uniform(0.2, 3.0, 5), rng.uniform(0, 2 * np.pi, 5)
        size = rng.uniform(0.2, 0.8, 5)
        return lambda t: (size[:, None] * np.sin(omega[:, None] * t + phase[:, None])).sum(0)
    count = int(extent / 2.5)
    at, jump = np.sort(rng.uniform(0, extent, count)), rng.standard_normal(count)
    levels = np.diff(np.concatenate([[0.0], jump]))  # the sum stays between them
    smooth = lambda s: np.where(s < 0, 0.0, np.where(s > 1, 1.0, s * s * (3 - 2 * s)))  # noqa: E731
    return lambda t: (levels[:, None] * smooth((t - at[:, None]) / 0.5)).sum(0)


def make(system: str, n: int, seed: int, *, step: float = STEP, extent: float = EXTENT) -> Dataset:
    """n samples at that step: inputs["u"] and fields["y"], (sample, time). The same seed gives the same functions.

    step : any multiple of STEP / 8.
    """
    if system not in SYSTEMS:
        raise unknown_name("driven system", system, SYSTEMS)
    inputs = Inputs(n, seed, extent)
    every = round(step / STEP * FINE)
    fine = STEP / FINE * np.arange(round(extent / STEP * FINE) + 1)
    u, y = SYSTEMS[system](inputs, fine)
    return Dataset(
        fields={"y": np.ascontiguousarray(y[:, ::every])},
        inputs={"u": np.ascontiguousarray(u[:, ::every])},
        grid=Grid(()),
        times=fine[::every],
        provenance={"family": system},
    )


def _linear(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Callable:
    def run(inputs: Inputs, times: np.ndarray):
        u, n, h = inputs(times), len(a), times[1]
        block = np.zeros((n + 2, n + 2))
        block[:n, :n], block[:n, n], block[n, n + 1] = h * a, h * b, 1.0
        whole = expm(block)
        step, held, lead = whole[:n, :n], whole[:n, n], whole[:n, n + 1]
        x, y = np.zeros((len(u), n)), np.zeros_like(u)
        for k in range(1, u.shape[1]):
            x = x @ step.T + np.outer(u[:, k - 1], held - lead) + np.outer(u[:, k], lead)
            y[:, k] = x @ c
        return u, y

    return run


def _nonlinear(rate: Callable, states: int) -> Callable:
    def run(inputs: Inputs, times: np.ndarray):
        h = times[1]
        u = inputs(np.arange(2 * len(times) - 1) * h / 2)  # half steps too
        x, y = np.zeros((states, len(u))), np.zeros((len(u), len(times)))
        for k in range(1, len(times)):
            left, middle, right = u[:, 2 * k - 2], u[:, 2 * k - 1], u[:, 2 * k]
            k1 = rate(x, left)
            k2 = rate(x + h / 2 * k1, middle)
            k3 = rate(x + h / 2 * k2, middle)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(x + h * k3, right))
            y[:, k] = x[0]
        return u[:, ::2], y

    return run


def _chain(masses: int) -> Callable:
    """The first spring is fixed to a wall."""
    one, n = np.eye(masses), masses
    stiff = 2 * one - np.eye(n, k=1) - np.eye(n, k=-1)
    stiff[-1, -1] = 1.0
    a = np.block([[0 * one, one], [-2 * stiff, -0.3 * stiff - 0.2 * one]])
    return _linear(a, np.concatenate([0 * one[0], one[0]]), np.concatenate([one[-1], 0 * one[0]]))


def _rod(inputs: Inputs, times: np.ndarray, modes: int = 200, diffusivity: float = 0.1):
    """Unit length, flux u at one end, kappa (m + 2 sum over k of cos(k pi / 2) exp(-kappa k^2 pi^2 t) * u), * a convolution."""
    u, h = inputs(times), times[1]
    k = np.arange(2, 2 * modes, 2)  # odd modes vanish in the middle
    rate = -diffusivity * (k * np.pi) ** 2
    z = rate * h
    held, lead = np.expm1(z) / rate, (np.expm1(z) - z) / (z * rate)
    weight = 2 * np.cos(k * np.pi / 2) * diffusivity
    x, total, y = np.zeros((len(u), len(k))), np.zeros(len(u)), np.zeros_like(u)
    leak = 0.05  # the mean leaks to the surroundings, so that memory fades
    decay = np.exp(-leak * h)
    for j in range(1, u.shape[1]):
        x = x * np.exp(z) + np.outer(u[:, j - 1], held - lead) + np.outer(u[:, j], lead)
        total = total * decay + h * 0.5 * (u[:, j - 1] * decay + u[:, j])
        y[:, j] = x @ weight + diffusivity * total
    return u, y


def _delay(inputs: Inputs, times: np.ndarray):
    return inputs(times), inputs(times - 1.0) * (times >= 1.0)


def _duffing(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.stack([x[1], u - 0.3 * x[1] - x[0] - x[0] ** 3])


def _bouc_wen(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    v, z = x[1], x[2]
    return np.stack([v, u - 0.2 * v - 0.3 * x[0] - 0.7 * z, v - 0.8 * np.abs(v) * z - 0.5 * v * np.abs(z)])


def _pendulum(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.stack([x[1], 2 * u - 0.2 * x[1] - 4 * np.sin(x[0])])


SYSTEMS: dict[str, Callable] = {
    **{f"chain{masses}": _chain(masses) for masses in (1, 2, 3, 4)},
    "duffing": _nonlinear(_duffing, 2),
    "rod": _rod,
    "bouc_wen": _nonlinear(_bouc_wen, 3),
    "delay": _delay,
    "pendulum": _nonlinear(_pendulum, 2),
}
