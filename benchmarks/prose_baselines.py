"""What PROSE has to beat: methods for the same windows that need no network.

    true equation, noisy start     the label, solved from the noisy first sample (what published comparisons do)
    every family fitted            each family's structure by Gauss-Newton from its reference numbers; the least misfit wins
    integral SINDy                 u(t) - u(0) = sum_k c_k int g_k(u): thresholded least squares, polynomials to degree three
    recovery from scratch          `sciml.recovery.Recovery`, which knows of no family; then as refined answers are

Brunton, Proctor, Kutz, PNAS 113, 2016 (SINDy); the integral form: Schaeffer, McCalla, Physical Review E 96, 2017.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import sympy

from pdes.canonical import STATES, canonical, system_words
from pdes.vocabulary import EOS, ID, Words, rounded, words_of
from pdes.windows import GIVEN, Windows, family
from sciml.operators.prose.refinement import Model, _smoothed, first_states, model, noise_level, refine
from sciml.operators.prose.scoring import structure
from sciml.recovery import Recovery
from solvers.errors import UserError
from solvers.runge_kutta import rk4

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
DEGREE, REACH, RIDGE = 3, 10.0, 1e-4  # REACH: of a forecast, in units of the largest value of the window


def true_equation(data: Windows, noisy: np.ndarray) -> np.ndarray:
    """Forecasts (item, time, component) of the label from the noisy first sample."""
    out = np.zeros_like(data.states[:, GIVEN:])
    for i, d in enumerate(data.components):
        kind = family(data.names[data.families[i]])
        c = data.constants[i][:, None]
        out[i, :, :d] = rk4(lambda u, c=c, kind=kind: kind.rates(u, c), noisy[i, :1, :d], data.times, kind.substeps)[0, GIVEN:]
    return out


def fitted_families(names: Sequence[str], data: Windows, noisy: np.ndarray) -> tuple[np.ndarray, list]:
    """Forecasts, and words of the family with the least misfit."""
    n, width = len(data), data.states.shape[2]
    best = np.full(n, np.inf)
    forecast = np.zeros_like(data.states[:, GIVEN:])
    words: list = [None] * n
    for name in names:
        kind = family(name)
        d = kind.components
        rows = np.flatnonzero(data.components == d)
        if not len(rows):
            continue
        reference = rounded(kind._drawn(np.random.default_rng(90210), 512).mean(0))
        label = tuple(words_of([*kind.ids(reference[None])[0], ID[EOS]], d))
        shape = model(structure(label))
        window = noisy[rows, :GIVEN, :d]
        fits = refine(shape, data.times[:GIVEN], window, np.tile(reference, (len(rows), 1)), noise_level(window), prior=0.1)
        solved = shape.solve(fits.initial, fits.constants, data.times, 4)[:, GIVEN:]
        for k, i in enumerate(rows):
            if fits.chi2[k] < best[i]:
                best[i] = fits.chi2[k]
                forecast[i] = np.pad(solved[k], ((0, 0), (0, width - d)))
                numbers = iter(fits.constants[k])
                words[i] = [tuple(w if isinstance(w, str) else float(next(numbers)) for w in each) for each in label]
    return forecast, words


def sindy(data: Windows, noisy: np.ndarray) -> tuple[np.ndarray, list]:
    """Forecasts, and words, of integral SINDy; the threshold with the least BIC."""
    forecast, words = np.zeros_like(data.states[:, GIVEN:]), []
    for i, d in enumerate(data.components):
        window = noisy[i, :GIVEN, :d]
        found = system_words(canonical(_sparse(window, data.times[:GIVEN])))
        start = first_states(data.times[:GIVEN], window[None])
        forecast[i, :, :d] = _solved(model(structure(found)), start, _numbers(found), data.times, window)
        words.append(found)
    return forecast, words


def recovered(data: Windows, noisy: np.ndarray) -> tuple[np.ndarray, list]:
    """Forecasts, and words, of `Recovery`, its numbers and a free first state fitted to the window once more.

    Where it finds no system, or one that words cannot say: no words, and the forecast that the last frame stays.
    """
    forecast, words = np.zeros_like(data.states[:, GIVEN:]), []
    times = data.times[:GIVEN]
    for i, d in enumerate(data.components):
        window = noisy[i, :GIVEN, :d]
        try:
            sides: Any = Recovery().fit(times, window).equations()
            names = {sympy.Symbol(f"x{k}", real=True): STATES[k] for k in range(int(d))}
            found = system_words(canonical([side.xreplace(names) for side in sides]))
        except UserError:
            forecast[i, :, :d], found = window[-1], None
        else:
            shape = model(structure(found))
            fits = refine(shape, times, window[None], _numbers(found), noise_level(window[None]), prior=0.1)
            forecast[i, :, :d] = _solved(shape, fits.initial, fits.constants, data.times, window)
            numbers = iter(fits.constants[0])
            found = [tuple(w if isinstance(w, str) else float(next(numbers)) for w in each) for each in found]
        words.append(found)
    return forecast, words


def _numbers(words: Sequence[Words]) -> np.ndarray:
    """Numbers of a system, (1, number)."""
    return np.array([[w for each in words for w in each if not isinstance(w, str)]], float)


def _solved(shape: Model, start: np.ndarray, numbers: np.ndarray, times: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Forecast (time, component) of one window, kept within `REACH`."""
    solved = shape.solve(start, numbers, times, 4)[0, GIVEN:]
    reach = REACH * np.abs(window).max()
    return np.clip(np.where(np.isfinite(solved), solved, reach), -reach, reach)


def _sparse(window: np.ndarray, times: np.ndarray) -> list:
    """Right-hand sides as sympy expressions."""
    d = window.shape[1]
    smooth = _smoothed(window[None])[0]
    powers = [c for n in range(DEGREE + 1) for c in combinations_with_replacement(range(d), n)]
    values = np.stack([np.prod([smooth[:, j] for j in c], axis=0) * np.ones(len(smooth)) for c in powers], axis=1)
    integral = np.zeros_like(values)
    integral[1:] = np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(times)[:, None], axis=0)
    scale = np.linalg.norm(integral, axis=0) + 1e-12
    columns = integral / scale - (integral / scale).mean(axis=0)  # the unknown u(0) is taken out with the means
    system = []
    for j in range(d):
        target = window[:, j] - window[:, j].mean()
        best, chosen = np.inf, np.zeros(len(powers))
        for threshold in THRESHOLDS:
            active, weights = np.ones(len(powers), bool), np.zeros(len(powers))
            for _ in range(len(powers)):
                part = columns[:, active]
                weights = np.zeros(len(powers))
                weights[active] = np.linalg.solve(part.T @ part + RIDGE * np.eye(active.sum()), part.T @ target)
                still = active & (np.abs(weights) > threshold * np.linalg.norm(target))
                if (still == active).all():
                    break
                active = still
            residual = target - columns @ weights
            bic = len(times) * np.log((residual**2).mean() + 1e-300) + active.sum() * np.log(len(times))
            if bic < best:
                best, chosen = bic, weights / scale
        terms = (w * np.prod([STATES[k] for k in c]) for w, c in zip(chosen, powers, strict=True) if w)
        system.append(sum(terms, start=STATES[0] * 0))
    return system
