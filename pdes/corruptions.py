"""What a person may get wrong about a system: a term too many or too few, numbers missing or inexact, another function.

A model that repairs equations is given corrupted ones. Mode "unknown" of PROSE: 70 % right, 15 % with a term added, 15 % with
a term deleted, all without numbers. Corruptions act on components (`pdes.canonical`), and their results are canonical again.

Liu, Zhang, Schaeffer, PROSE, Neural Networks 180, 2024; `flipped`, `noisy`, `permuted` and repeated edits are ours.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pdes.canonical import Component, System, Term
from pdes.vocabulary import BAR, HOLE, Words, ids_of

CLEAN, ADD, DELETE = 0.70, 0.15, 0.15
"""Shares of mode "unknown"."""
_SPREAD = 0.05
_OPPOSITE = {"sin": "cos", "cos": "sin"}


def candidates(variables: int) -> list[Term]:
    """Terms that may be added: c, c u_i, c u_i u_j with a number left open."""
    names = [f"u_{i}" for i in range(variables)]
    pairs = [("pow2", a) if a == b else ("mul", a, b) for i, a in enumerate(names) for b in names[i:]]
    return [Term(HOLE, body) for body in [(), *((name,) for name in names), *pairs]]


def skeleton(system: System) -> System:
    """Without numbers."""
    return tuple(component.skeleton for component in system)


def added(system: System, rng: np.random.Generator, variables: int | None = None) -> System:
    """One term more, of the first variables (by default one for each component), in a component that has no such term yet."""
    terms = candidates(variables or len(system))
    for _ in range(100):
        term, at = terms[rng.integers(len(terms))], int(rng.integers(len(system)))
        if all(t.body != term.body for t in system[at].terms):
            return _with(system, at, (*system[at].terms, term))
    return system  # every component has every candidate already


def deleted(system: System, rng: np.random.Generator) -> System:
    """One term less, of a component that has at least two; the same system if none has."""
    choices = [(i, k) for i, component in enumerate(system) if len(component.terms) > 1 for k in range(len(component.terms))]
    if not choices:
        return system
    at, k = choices[rng.integers(len(choices))]
    terms = system[at].terms
    return _with(system, at, terms[:k] + terms[k + 1 :])


def flipped(system: System, rng: np.random.Generator) -> System:
    """A sine for a cosine or the reverse, or the sign of a term without a number changed; the same system if there is none."""
    choices = []
    for i, component in enumerate(system):
        for k, term in enumerate(component.terms):
            choices += [(i, k, j) for j, word in enumerate(term.body) if word in _OPPOSITE]
            choices += [(i, k, -1)] if isinstance(term.coefficient, int) else []
    if not choices:
        return system
    at, k, j = choices[rng.integers(len(choices))]
    term = system[at].terms[k]
    if j < 0:
        term = replace(term, coefficient=-term.coefficient)
    else:
        term = replace(term, body=(*term.body[:j], _OPPOSITE[term.body[j]], *term.body[j + 1 :]))
    return _with(system, at, (*system[at].terms[:k], term, *system[at].terms[k + 1 :]))


def noisy(system: System, rng: np.random.Generator, spread: float = _SPREAD) -> System:
    """Every number multiplied by 1 + N(0, spread^2)."""

    def change(word):
        return word * (1 + spread * rng.standard_normal()) if isinstance(word, float) else word

    def changed(component: Component) -> Component:
        terms = tuple(Term(change(t.coefficient), tuple(map(change, t.body))) for t in component.terms)
        return Component(terms, tuple(map(change, component.denominator))).ordered()

    return tuple(changed(component) for component in system)


def permuted(system: System, rng: np.random.Generator) -> list[Words]:
    """Words of the same system with the terms of each sum in a random order: no longer canonical."""
    return [replace(c, terms=tuple(c.terms[i] for i in rng.permutation(len(c.terms)))).words for c in system]


def edited(system: System, rng: np.random.Generator, edits: int = 1, variables: int | None = None) -> System:
    """That many additions or deletions."""
    for _ in range(edits):
        system = added(system, rng, variables) if rng.random() < 0.5 else deleted(system, rng)
    return system


def unknown(system: System, rng: np.random.Generator, variables: int | None = None) -> System:
    """The skeleton: right, with a term added, or with a term deleted, in the shares of PROSE."""
    draw = rng.random()
    bare = skeleton(system)
    return bare if draw < CLEAN else added(bare, rng, variables) if draw < CLEAN + ADD else deleted(bare, rng)


MODES: dict[str, Callable[..., System | None]] = {
    "known": lambda system, rng, variables=None: system,
    "skeleton": lambda system, rng, variables=None: skeleton(system),
    "unknown": unknown,
    "blank": lambda system, rng, variables=None: None,
    "noisy": lambda system, rng, variables=None: noisy(system, rng),
    "two edits": lambda system, rng, variables=None: edited(skeleton(system), rng, 2, variables),
    "flipped": lambda system, rng, variables=None: flipped(skeleton(system), rng),
}
"""What a model is told about a system, by name: (system, rng, variables of terms to add) -> system; None for nothing."""


def ids(system: System | None) -> list[int]:
    """Ids of a system's words with bars between, without `BOS` and `EOS`; none for None."""
    if system is None:
        return []
    return ids_of([word for i, component in enumerate(system) for word in ((BAR,) if i else ()) + component.words])


def _with(system: System, at: int, terms: tuple[Term, ...]) -> System:
    return (*system[:at], replace(system[at], terms=terms).ordered(), *system[at + 1 :])
