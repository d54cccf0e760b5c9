"""Augmented neural ODE: a neural ODE whose state has further components, zero at the start, so that flows need not cross.

    d[y, a]/dt = f([y, a], t),   [y, a](0) = [u, 0]

What a flow in the space of the inputs cannot do (turn an inner shell out, swap two points on a line) it can with room beside
it, and simpler flows take fewer evaluations of f. Dupont, Doucet, Teh, Augmented Neural ODEs, NeurIPS 2019.
"""

from sciml.operators import neural_ode
from sciml.operators.neural_ode import NeuralODE
from solvers.errors import SettingError

CHECKS = neural_ode.CHECKS
PRESETS = {name: {"augment": 8} | preset for name, preset in neural_ode.PRESETS.items() if name != "augmented"}


class AugmentedNODE(NeuralODE):
    """Augmented neural ODE; the settings are those of `sciml.operators.neural_ode.Config`, with `augment` >= 1 (default 8)."""

    def __init__(self, *, augment: int = 8, **config):
        if augment < 1:
            raise SettingError(given=f"augment={augment}", needed=">= 1", remedy="Without it, use the operator 'neural_ode'.")
        super().__init__(augment=augment, **config)
