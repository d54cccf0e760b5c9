"""Embedded Runge-Kutta pairs, as plain numbers: stages, weights, error weights, and what a step says about stiffness.

    g_i = y + h sum_l a_il k_l,   k_i = f(t + c_i h, g_i),   y1 = y + h sum_i b_i k_i,   e = h sum_i (b_i - b^_i) k_i

Tsit5: Tsitouras, Computers & Mathematics with Applications 62, 2011. Dopri5: Dormand, Prince 1980 with Shampine's companion,
as torchdiffeq and diffrax have it; the original companion, SciPy's, gives an error 1.5 times as large. Bosh3: Bogacki and
Shampine 1989. The solvers are the libraries'; the numbers here are for what is computed from their stages.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pair:
    """One embedded pair.

    order : of the solution that is carried on, and of the step-size control.
    a : rows of stages 2, 3, ... (stage l = 1 ... i - 1).   b, error : (stage,), weights and weights minus companion weights.
    interval : length of the stability interval on the negative axis that the stiffness estimate is compared with, or None.
    """

    name: str
    order: int
    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    error: tuple[float, ...]
    interval: float | None = None

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.b)

    @property
    def first_same_as_last(self) -> bool:
        """Whether the last stage of a step is the first of the next."""
        return len(self.a[-1]) == self.stages - 1 and np.array_equal([*self.a[-1], 0.0], self.b)

    @property
    def between_last_stages(self) -> tuple[float, ...] | None:
        """Weights of (g_last - g_before) / h where both stages lie at the end of the step; None for pairs without such stages.

        Stiffness is |f(t1, g_last) - f(t1, g_before)| / |g_last - g_before|.
        """
        if self.stages < 3 or self.c[-1] != self.c[-2]:
            return None
        last, before = np.array([*self.a[-1], 0.0]), np.zeros(self.stages)
        before[: len(self.a[-2])] = self.a[-2]
        return tuple((last - before).tolist())


TSIT5 = Pair(
    name="tsit5",
    order=5,
    c=(0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    a=(
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
        (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
    ),
    b=(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774, 0.0),
    error=(
        0.0017800110522257773, 0.0008164344596567463, -0.007880878010261994, 0.1447110071732629, -0.5823571654525552,
        0.45808210592918686, -1 / 66,
    ),
    interval=3.5068,
)  # fmt: skip
TSIT5_MIDDLE = (
    0.10741235230100377, 0.01135625, 0.39560903056045305, -0.34475214352593553, 1.3161853649581645, -1.0170608542936508,
    0.03125,
)  # fmt: skip
"""Weights of Tsit5's solution in the middle of a step, for interpolation."""

DOPRI5 = Pair(
    name="dopri5",
    order=5,
    c=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    a=(
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    b=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    error=(71 / 86400, 0.0, -142 / 50085, 71 / 2880, -5751 / 169600, 44 / 1575, -1 / 60),
    interval=3.3066,
)
BOSH3 = Pair(
    name="bosh3",
    order=3,
    c=(0.0, 1 / 2, 3 / 4, 1.0),
    a=((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0.0),
    error=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
)
HEUN = Pair(name="heun", order=2, c=(0.0, 1.0), a=((1.0,),), b=(0.5, 0.5), error=(0.5, -0.5))
PAIRS: dict[str, Pair] = {pair.name: pair for pair in (TSIT5, DOPRI5, BOSH3, HEUN)}
