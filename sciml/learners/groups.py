"""Which parameters are trained how: learning rates and weight decay by group, as the layers themselves ask for it.

Any module may have a method `parameter_options()` that gives, for parameters of its own by name, {"lr_max": bound of the
learning rate, "weight_decay": 0.0}; and a method `after_update()`, called now and then after an optimiser step, that moves
parameters back to where the module can use them. Parameters without such wishes decay when they have two or more axes.
"""

from typing import Any

from torch import nn

EVERY = 50  # updates between calls of `after_update`


def parameter_groups(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for a torch optimiser, {"params", "lr", "weight_decay"}, of all parameters that require gradients.

    Examples
    --------
    >>> [(len(g["params"]), g["weight_decay"]) for g in parameter_groups(nn.Linear(3, 2), lr=1e-2, weight_decay=0.1)]
    [(1, 0.1), (1, 0.0)]
    """
    wishes: dict[int, dict[str, float]] = {}
    for part in module.modules():
        ask: Any = getattr(part, "parameter_options", dict)
        options = ask()
        own = dict(part.named_parameters(recurse=False))
        wishes |= {id(own[name]): wish for name, wish in options.items() if name in own}
    groups: dict[tuple[float, float], list] = {(lr, weight_decay): [], (lr, 0.0): []}
    for parameter in module.parameters():
        if parameter.requires_grad:
            wish = wishes.get(id(parameter), {})
            decay = min(weight_decay, wish.get("weight_decay", weight_decay if parameter.ndim >= 2 else 0.0))
            groups.setdefault((min(lr, wish.get("lr_max", lr)), decay), []).append(parameter)
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items() if found]


def after_update(module: nn.Module) -> None:
    """Call the hook of every part that has one."""
    for part in module.modules():
        hook: Any = getattr(part, "after_update", None)
        if hook is not None:
            hook()
