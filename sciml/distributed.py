"""The processes of one training, as `torchrun` starts them; a single process otherwise.

Nothing here starts processes: that is torchrun's work. Torch is imported only when it has been used.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """This process's rank among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """The process that writes files and shows progress."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.barrier()

    def agreed(self, number: float) -> float:
        """The first process's number, in all of them."""
        if self.size == 1:
            return number
        import torch.distributed

        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        shared = torch.tensor([number], dtype=torch.float64, device=device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared[0])


def world() -> World:
    """The world that torchrun's variables describe; joins its process group on first use (NCCL with CUDA, else gloo)."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    import torch
    import torch.distributed

    if not torch.distributed.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    return World(torch.distributed.get_rank(), size)
