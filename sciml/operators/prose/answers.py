"""From what the network decodes to an answer that one may use: compare by simulation, refine, say how sure, fall back.

    score = chi^2 / 2 + (k / 2) log n - weight log p        k numbers, n data, p the network's probability of the structure

Every structure that was decoded is fitted quickly; the best are fitted on the whole window. If the best one explains the window
and its solution stays in range, its solution is the forecast, averaged over draws from the Gaussian (Laplace) approximation of
its numbers and initial state, whose quantiles are the band; otherwise the operator decoder's answer is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy

from pdes.canonical import canonical, system_of, system_words
from pdes.equation import Equation
from pdes.field_words import field_equation
from pdes.vocabulary import HOLE, Words
from sciml.operators.prose.field_refinement import refine_field
from sciml.operators.prose.refinement import Fits, equal_numbers, integral_start, model, noise_level, refine
from solvers.errors import SettingError, UserError
from solvers.grid import Axis

_NEVER = -1e8
_CLOSE = 0.03  # of a field's size: what solvers may leave at shocks, and a solution is believed nevertheless


@dataclass(frozen=True)
class Search:
    """How systems are looked for.

    beams : structures that are decoded; 1 is greedy.   refined : how many of them are fitted on the whole window.
    margin : structures whose log-probability is further below the best one's are not fitted.
    prior : relative standard deviation of the decoded numbers; None trusts the data alone. (The stored operator's numbers have
    errors of 0.067, root mean square, on its validation split.)
    tolerance : decoded numbers this close in size are also fitted as one, and stay so if that explains the window as well (by
    the Bayesian information criterion); 0 never tries.
    weight : of the network's log-probability in the score.   accept : mean squared residual, in units of the noise, up to which
    a system is believed.   sigma : noise, if it is known.
    Of ordinary equations alone: tolerance, substeps; draws : of the Laplace approximation; level : share of the band.
    """

    beams: int = 8
    tolerance: float = 0.03
    refined: int = 2
    margin: float = 6.0
    prior: float | None = 0.06
    weight: float = 1.0
    accept: float = 2.0
    draws: int = 32
    level: float = 0.9
    sigma: float | None = None
    substeps: int = 4

    def __post_init__(self):
        if min(self.beams, self.refined, self.draws, self.substeps) < 1 or not 0 < self.level < 1 or self.accept <= 0:
            raise SettingError(given=f"{self}", needed="counts >= 1, level in (0, 1), accept > 0", remedy="Change them.")


@dataclass(frozen=True)
class Candidate:
    """A decoded system: words of its components, its numbers in their order, and its log-probability."""

    words: tuple[Words, ...]
    log_probability: float

    @property
    def structure(self) -> tuple[Words, ...]:
        """Words without numbers."""
        return tuple(tuple(w if isinstance(w, str) else HOLE for w in each) for each in self.words)

    @property
    def numbers(self) -> np.ndarray:
        """In the order of the words."""
        return np.array([w for each in self.words for w in each if not isinstance(w, str)], float)


@dataclass(frozen=True)
class Answer:
    """What is known of one trajectory, or of one field on a line.

    times, forecast : (time,) and (time, component), or (time, point).
    low, high : the band; None where the operator decoder answered, and of fields.
    system : right-hand sides in u_0, u_1, ... with refined numbers, [] if none was decoded.   decoded : with the decoded ones.
    of_field : variables are derivatives (`pdes.field_words`).   path : "refined" or "decoder": who made the forecast.
    misfit : mean squared residual in units of the noise.   errors : standard deviations of the numbers of the system, in its
    order.   initial : refined state at the first time.
    probabilities : of the structures that were compared, softmax of their scores, best first.
    """

    times: np.ndarray
    forecast: np.ndarray
    path: str
    system: list[Any] = field(default_factory=list)
    decoded: list[Any] = field(default_factory=list)
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    misfit: float = np.inf
    errors: np.ndarray | None = None
    initial: np.ndarray | None = None
    words: tuple[Words, ...] = ()
    probabilities: np.ndarray = field(default_factory=lambda: np.ones(0))
    of_field: bool = False

    @property
    def equation(self) -> Equation:
        """Of a field, the equation; see `pdes.field_words.field_equation` for errors."""
        return field_equation(self.system)

    @property
    def latex(self) -> str:
        """The system, numbers with four digits."""
        digits = lambda e: e.xreplace({n: sympy.Float(n, 4) for n in e.atoms(sympy.Float)})  # noqa: E731
        if self.of_field:
            return field_equation([digits(f) for f in self.system]).latex() if self.system else ""
        return r" \\ ".join(rf"\dot{{u}}_{{{i}}} = {sympy.latex(digits(f))}" for i, f in enumerate(self.system))


def candidates_of(rows: np.ndarray, scores: np.ndarray, read: Callable[[Sequence[int]], list[Words]]) -> list[Candidate]:
    """Valid systems among decoded ids (beam, word), canonical, one of each structure, best first; `read` gives their words."""
    found: dict[tuple, Candidate] = {}
    for row, score in sorted(zip(rows, scores, strict=True), key=lambda pair: -pair[1]):
        if score <= _NEVER:
            continue
        try:
            words = tuple(system_words(canonical(system_of(read(row)))))
        except (UserError, ZeroDivisionError):  # not valid, or infinite
            continue
        candidate = Candidate(words, float(score))
        found.setdefault(candidate.structure, candidate)
    return list(found.values())


def settled(
    given: np.ndarray,
    asked: np.ndarray,
    states: Sequence[np.ndarray],
    head: Sequence[np.ndarray],
    decoded: Sequence[list[Candidate]],
    search: Search,
) -> list[Answer]:
    """Answers for windows (time, component); fits of one structure run together.

    given, asked : times.   head : the operator decoder's answers (time, component).   decoded : candidates of each window.
    """
    sigma = [search.sigma or float(noise_level(x[None])[0]) for x in states]
    decoded = [_likely(each, search) for each in decoded]
    pairs = [(i, c) for i, each in enumerate(decoded) for c in each]
    half = max(4, len(given) // 2)
    several = [pair for pair in pairs if len(decoded[pair[0]]) > search.refined]
    quick = _fitted(given[:half], [x[:half] for x in states], sigma, several, search, quick=True)
    scored: dict[int, list] = {}
    for (i, candidate), (fits, row) in quick.items():
        scored.setdefault(i, []).append((_score(fits, row, candidate, half * states[i].shape[1], search), candidate))
    chosen = []
    for i, each in enumerate(decoded):
        best = sorted(scored[i], key=lambda pair: pair[0])[: search.refined] if i in scored else [(0, c) for c in each]
        chosen += [(i, candidate) for _, candidate in best]
    final = _fitted(given, states, sigma, chosen, search)
    ranked: dict[int, list] = {}
    for (i, candidate), (fits, row) in final.items():
        ranked.setdefault(i, []).append((_score(fits, row, candidate, states[i].size, search), candidate, fits, row))
    return [
        _answer(given, asked, states[i], head[i], sorted(ranked.get(i, []), key=lambda r: r[0]), search)
        for i in range(len(states))
    ]


def _likely(decoded: list[Candidate], search: Search) -> list[Candidate]:
    return [c for c in decoded if c.log_probability >= decoded[0].log_probability - search.margin]


def settled_fields(
    given: np.ndarray,
    asked: np.ndarray,
    frames: np.ndarray,
    head: np.ndarray,
    decoded: Sequence[list[Candidate]],
    search: Search,
    line: Axis,
) -> list[Answer]:
    """Answers for windows of a field on an axis, frames and head (item, time, point).

    The first `search.refined` candidates of each window are fitted; one without a solver, or that explains nothing, leaves the
    forecast to the operator decoder. Bands are not given.
    """
    groups: dict[tuple, list] = {}
    for i, each in enumerate(decoded):
        for candidate in _likely(each, search)[: search.refined]:
            groups.setdefault(candidate.structure, []).append((i, candidate))
    ranked: dict[int, list] = {}
    for structure, members in groups.items():
        rows = [i for i, _ in members]
        numbers = np.stack([candidate.numbers for _, candidate in members]).reshape(len(members), -1)
        fits = refine_field(
            structure, given, frames[rows], numbers, asked, line, prior=search.prior, sigma=search.sigma
        )  # fmt: skip
        for row, (i, candidate) in enumerate(members):
            misfit, count = float(fits.misfit[row]), frames[i].size
            score = misfit * count / 2 + numbers.shape[1] / 2 * np.log(count) - search.weight * candidate.log_probability
            ranked.setdefault(i, []).append((score, -candidate.log_probability, fits, row, candidate))
    found = []
    for i, forecast in enumerate(head):
        each = sorted(ranked.get(i, []), key=lambda entry: entry[:2])
        if not each:
            found.append(Answer(asked, forecast, "decoder", of_field=True))
            continue
        _, _, fits, row, candidate = each[0]
        scores = np.array([entry[0] for entry in each])
        chances = np.exp(scores.min() - scores) if np.isfinite(scores[0]) else np.ones(1)
        words = _numbered(candidate.structure, fits.numbers[row])
        believed = fits.misfit[row] <= search.accept or fits.left[row] <= _CLOSE
        found.append(
            Answer(
                asked, fits.fields[row, len(given) :] if believed else forecast, "refined" if believed else "decoder",
                system=system_of(words), decoded=system_of(candidate.words), misfit=float(fits.misfit[row]),
                errors=fits.errors[row], initial=fits.fields[row, 0], words=words, probabilities=chances / chances.sum(),
                of_field=True,
            )
        )  # fmt: skip
    return found


def _score(fits: Fits, row: int, candidate: Candidate, count: int, search: Search) -> float:
    return float(fits.chi2[row] / 2 + fits.unknowns / 2 * np.log(count) - search.weight * candidate.log_probability)


def _fitted(times, states, sigma, pairs, search, quick=False) -> dict:
    """(window, candidate) -> (fits, row). Two starts: the decoded numbers, and those that solve the integrated equations."""
    groups: dict[tuple, list] = {}
    for pair in pairs:
        groups.setdefault(pair[1].structure, []).append(pair)
    found = {}
    for structure, members in groups.items():
        shape = model(structure)
        data = np.stack([states[i] for i, _ in members])
        numbers = np.stack([candidate.numbers for _, candidate in members]).reshape(len(members), shape.count)
        noise = np.array([sigma[i] for i, _ in members])
        options = {"iterations": 4, "horizons": (0.5, 1.0)} if quick else {}
        fits = refine(shape, times, data, numbers, noise, prior=search.prior, substeps=search.substeps, **options)
        poor = np.flatnonzero(fits.misfit > search.accept)
        rows = {pair: (fits, row) for row, pair in enumerate(members)}
        if len(poor):
            other = integral_start(shape, times, data[poor], numbers[poor])
            again = refine(shape, times, data[poor], other, noise[poor], prior=None, substeps=search.substeps, **options)
            for row, at in enumerate(poor):
                if again.misfit[row] < fits.misfit[at]:
                    rows[members[at]] = (again, row)
        if not quick and search.tolerance and shape.count > 1:
            rows |= _tied(shape, times, data, members, noise, rows, search)
        found |= rows
    return found


def _tied(shape, times, data, members, noise, rows, search) -> dict:
    """Fits with equal numbers, where these explain their windows as well."""
    patterns: dict[bytes, list[int]] = {}
    for at, (_, candidate) in enumerate(members):
        tie = equal_numbers(candidate.numbers, search.tolerance)
        if tie.shape[1] < shape.count:
            patterns.setdefault(tie.tobytes(), []).append(at)
    found = {}
    for at in patterns.values():
        tie = equal_numbers(members[at[0]][1].numbers, search.tolerance)
        numbers = np.stack([members[k][1].numbers for k in at])
        options = {"prior": search.prior, "substeps": search.substeps, "tie": tie}
        fits = refine(shape, times, data[at], numbers, noise[at], **options)
        for row, k in enumerate(at):
            old, old_row = rows[members[k]]
            count = data[k].size
            if fits.chi2[row] + fits.unknowns * np.log(count) < old.chi2[old_row] + old.unknowns * np.log(count):
                found[members[k]] = (fits, row)
    return found


def _answer(given, asked, window, head, ranked, search: Search) -> Answer:
    if not ranked:
        return Answer(asked, head, "decoder")
    _, candidate, fits, row = ranked[0]
    scores = np.array([entry[0] for entry in ranked])
    chances = np.exp(scores.min() - scores)
    shape = model(candidate.structure)
    forecast, low, high, errors = _bands(shape, fits, row, given, asked, window, search)
    words = _numbered(candidate.structure, fits.constants[row])
    known = {
        "system": system_of(words), "decoded": system_of(candidate.words), "misfit": float(fits.misfit[row]), "errors": errors,
        "initial": fits.initial[row], "probabilities": chances / chances.sum(), "words": words,
    }  # fmt: skip
    if forecast is None or fits.misfit[row] > search.accept:
        return Answer(asked, head, "decoder", **known)
    return Answer(asked, forecast, "refined", low=low, high=high, **known)


def _bands(shape, fits: Fits, row: int, given, asked, window, search: Search):
    """Mean of the draws, quantiles, and standard deviations of the numbers; None if the solution itself leaves the range."""
    best = np.concatenate([fits.initial[row], fits.constants[row]])
    covariance = fits.covariance[row] * max(1.0, float(fits.misfit[row]))
    d = shape.components
    if not np.isfinite(covariance).all():
        return None, None, None, None
    values, vectors = np.linalg.eigh(covariance)
    rng = np.random.default_rng(90210)  # one answer for one window
    noise = rng.standard_normal((search.draws, len(best))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    z = np.concatenate([best[None], best + noise])
    solved = shape.solve(z[:, :d], z[:, d:], np.concatenate([given, asked]), search.substeps)[:, len(given) :]
    reach = 10 * np.abs(window).max()
    fine = np.isfinite(solved).all((1, 2)) & (np.abs(np.nan_to_num(solved)).max((1, 2)) < reach)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))[d:]
    if not fine[0]:
        return None, None, None, errors
    kept = solved[fine]
    tail = (1 - search.level) / 2
    low, high = np.quantile(kept, [tail, 1 - tail], axis=0)
    return kept.mean(axis=0), low, high, errors


def _numbered(structure: tuple[Words, ...], numbers: np.ndarray) -> tuple[Words, ...]:
    rest = iter(numbers)
    return tuple(tuple(float(next(rest)) if w == HOLE else w for w in each) for each in structure)
