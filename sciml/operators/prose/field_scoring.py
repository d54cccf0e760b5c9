"""How right the equation of a field is: F and F-hat at the derivatives of random smooth fields.

    u = (c0 + c1 t + c2 t^2) (c3 + c4 x + c5 x^2 + c6 x^3 + c7 x^4),  c ~ U(-5, 5),  on [0, 2] x [0, 2]
    error = mean over fields of ||F-hat - F|| / ||F||          (of another order in time, or not finite: 1)

PROSE-PDE inserts one such field, and into the terms with u_t as well, which makes errors smaller. Published: Sun et al., 2025.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pdes.field_words import FIELD, evaluated
from pdes.vocabulary import Words
from solvers.errors import DataError

FIELDS, PLACES = 32, (16, 33)


@lru_cache(maxsize=1)
def random_fields() -> np.ndarray:
    """Values of u_0 ... u_6 of the fixed random fields, (variable, field, t, x)."""
    rng = np.random.default_rng(90210)
    t, x = np.linspace(0, 2, PLACES[0]), np.linspace(0, 2, PLACES[1])
    found = np.empty((len(FIELD), FIELDS, *PLACES))
    for k in range(FIELDS):
        time, space = np.polynomial.Polynomial(rng.uniform(-5, 5, 3)), np.polynomial.Polynomial(rng.uniform(-5, 5, 5))
        for n in range(5):
            found[n, k] = np.outer(time(t), (space.deriv(n) if n else space)(x))
        found[5, k] = np.outer(time.deriv()(t), space(x))
        found[6, k] = np.broadcast_to(x, PLACES)
    return found


def field_error(found: Sequence[Words] | None, truth: Sequence[Words]) -> float:
    """Error of words of F (or u_5 | F) against the true ones; 1 where there is no answer or one of another order in time."""
    if found is None or len(found) != len(truth):
        return 1.0
    places = random_fields()
    with np.errstate(all="ignore"):
        try:
            one, other = evaluated(found, places), evaluated(truth, places)
        except DataError:  # infinite everywhere
            return 1.0
        size = np.sqrt((other**2).sum((1, 2)))
        errors = np.sqrt(((one - other) ** 2).sum((1, 2))) / size
    mean = float(errors.mean())
    return mean if np.isfinite(mean) else 1.0
