"""Sub-solvers side by side in several processes, as torchrun starts them: each rolls out its own sub-grids, none waits for
another.

    torchrun --nproc-per-node=2 script.py        # in which: frames = side_by_side(solver, inputs, steps)

Frames are put together once, at the end. Between frames nothing is exchanged: sub-solvers never see each other's points.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from sciml.distributed import world
from solvers.errors import SettingError

if TYPE_CHECKING:
    from sciml.operators.neural_stagger import NeuralStagger


@torch.no_grad()
def side_by_side(solver: "NeuralStagger", initial: np.ndarray, steps: int) -> np.ndarray:
    """`solver.rolled_out(initial, steps)`, computed by all processes together; every one returns the whole.

    Raises
    ------
    SettingError : classical iterations, or walls, tie the sub-grids together at every step.
    """
    if solver.config.correct or solver.config.start == "sweep" or solver._has_walls():
        raise SettingError(
            given="a solver whose steps need the whole field",
            needed="independent sub-solvers",
            remedy="Use correct=0, start='state', on a periodic grid.",
        )
    here = world()
    x = solver._tensor(initial)
    split = solver.decomposition(x.shape[2:])
    shares = np.array_split(np.arange(split.count), here.size)
    numbers = shares[here.rank].tolist()
    solver.module.eval()
    own = solver.part_frames(x, steps, numbers) if numbers else []
    if here.size == 1:
        return torch.stack([split.join(frame) for frame in own], 1).cpu().numpy()
    import torch.distributed as processes

    shape = (len(x), steps, max(len(s) for s in shares), len(solver.bound_signature.outputs), *split.sub_shape)
    sent = x.new_zeros(shape)  # equal sizes, as gathering wants them
    for n, frame in enumerate(own):
        sent[:, n, : len(numbers)] = frame
    received = [torch.empty_like(sent) for _ in range(here.size)]
    processes.all_gather(received, sent)
    whole = torch.cat([r[:, :, : len(s)] for r, s in zip(received, shares, strict=True)], 2)
    return split.join(whole.flatten(0, 1)).unflatten(0, whole.shape[:2]).cpu().numpy()
