"""From a task and its equation to what physics-constrained training needs: a stepper, the known coefficients, states to
start from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy
import torch
from sympy.core.function import AppliedUndef

from pdes.equation import Equation
from sciml.operators.neural_stagger.discretisation import Discretisation, FiniteDifference, Known, Spectral, _bare
from sciml.operators.neural_stagger.stepping import Stepper
from sciml.operators.neural_stagger.stream_function import StreamFunction, box_of_nodes
from sciml.tasks import Signature
from solvers.errors import DataError, SettingError
from solvers.grid import Grid

STREAM = "psi"
CLAMPED = (3.0, 3.0, 0.05)  # tau, alpha and rms of the random stream functions that flows between walls start from


class Physics:
    """One step of the equation on the channels of a task: (item, channel, *space) holds past frames, inputs, parameters.

    Parameters
    ----------
    signature : of an autoregressive task.   equation : as text.   constants : parameters that are the same for all samples.
    walls : velocities of walls, for flows on their stream function.   stencil : "spectral" or "finite-difference".
    """

    def __init__(
        self,
        signature: Signature,
        equation: str,
        constants: Mapping[str, float],
        walls: Mapping[str, Any],
        stencil: str,
        scheme: str,
        dt: float,
    ):
        self.fields, self.history = len(signature.outputs), signature.history
        self.names = signature.inputs[self.history * self.fields :]
        self.parameters, self.constants = signature.parameters, dict(constants)
        inputs = tuple(name for name in self.names if name not in signature.parameters)
        self.equation = Equation(equation, dimension=signature.grid.dimension, inputs=inputs)
        self._made = {"walls": walls, "stencil": stencil, "scheme": scheme, "dt": dt, "outputs": signature.outputs}
        self.grid = signature.grid
        missing = set(self.equation.parameters) - set(self.constants) - set(signature.parameters)
        if missing:
            raise DataError(
                given=f"equation {self.equation} without a value of {sorted(missing)}",
                needed="all its parameters",
                remedy="Store them in the dataset's `parameters`, or pass constants={...}.",
            )
        self.steppers: dict[tuple[int, ...], Stepper] = {}
        self.at(self.grid.shape)

    def at(self, shape: Sequence[int]) -> Stepper:
        """The stepper on the same domain with these point counts."""
        shape = tuple(shape)
        if shape not in self.steppers:
            space = discretise(self.equation, self.grid.with_shape(shape), self._made["outputs"], self._made)
            self.steppers[shape] = Stepper(space, self._made["scheme"], self._made["dt"])
        return self.steppers[shape]

    def known(self, inputs: torch.Tensor) -> Known:
        """Coefficients of a batch of inputs (item, channel, *space)."""
        found: dict[str, Any] = dict(self.constants)
        for i, name in enumerate(self.names, start=self.history * self.fields):
            channel = inputs[:, i]
            is_number = name in self.parameters
            found[name] = channel.flatten(1)[:, :1].reshape(-1, *[1] * self.grid.dimension) if is_number else channel
        return found

    def past(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Frames given, newest first."""
        f = self.fields
        return [inputs[:, i * f : (i + 1) * f] for i in reversed(range(self.history))]


def discretise(equation: Equation, grid: Grid, outputs: Sequence[str], options: Mapping[str, Any]) -> Discretisation:
    """The discretisation that suits a grid and the unknowns that are predicted on it.

    Raises
    ------
    SettingError : the outputs are not the unknowns that the equation advances.
    """
    if tuple(outputs) == (STREAM,) and {"u", "v", "p"} <= set(equation.unknowns):
        return StreamFunction(equation, grid, wall_speeds(options["walls"]))
    if equation.order_in_time != 1 or tuple(outputs) != tuple(equation.evolving):
        raise SettingError(
            given=f"outputs {tuple(outputs)} for equation {equation}",
            needed=f"the unknowns that it advances in time, {equation.evolving}",
            remedy="Name them with `outputs=`, or train on labels with learn='data'.",
        )
    stencil = options["stencil"] or ("spectral" if grid.is_periodic else "finite-difference")
    return Spectral(equation, grid) if stencil == "spectral" else FiniteDifference(equation, grid)


def wall_speeds(walls: Mapping[str, Any]) -> Mapping[str, Any]:
    """Velocities of walls: {side: sliding speed}, or {"problem": name} for those of a problem of the package."""
    if "problem" in walls:
        import pdes

        solver: Any = pdes.get(walls["problem"]).solver
        return solver.walls
    across = {"left": (0.0, 1.0), "right": (0.0, 1.0), "bottom": (1.0, 0.0), "top": (1.0, 0.0)}
    return {side: tuple(v * a for a in across.get(side, (1.0, 0.0))) for side, v in walls.items()}


def known_equation(signature: Signature, text: str) -> Equation | None:
    """The equation of a time-dependent task, where it is one that is advanced in time; None where it tells nothing."""
    if not text or signature.kind != "autoregressive":
        return None
    names = signature.inputs[signature.history * len(signature.outputs) :]
    inputs = tuple(name for name in names if name not in signature.parameters)
    try:
        equation = Equation(text, dimension=signature.grid.dimension, inputs=inputs)
        equation.evolution  # noqa: B018 - refuses what cannot be sorted
    except SettingError:
        return None
    return equation


def steady_channels(equation: Equation | None, grid: Grid) -> np.ndarray:
    """What a sub-solver must be told of its place, (channel, *space): distance along axes with walls, steady sources of the
    equation (of unit size), and sines and cosines along axes on which its other coefficients depend."""
    rows = []
    for axis, mesh in zip(grid.axes, grid.mesh(), strict=True):
        if axis.kind != "periodic":
            rows.append(2 * (mesh - axis.start) / axis.length - 1)
    if equation is None or not grid.is_periodic or equation.order_in_time != 1:
        return np.array(rows).reshape(-1, *grid.shape)
    from pdes.semilinear import _no_derivative
    from pdes.terms import evaluate

    mesh, varying = dict(zip(grid.names, grid.mesh(), strict=True)), set()
    for terms in equation.evolution.nonlinear:
        for expression in terms.values():
            for term in sympy.Add.make_args(expression):
                symbols = {s.name for s in _bare(term).free_symbols} & set(grid.names)
                if symbols and not term.atoms(AppliedUndef) and {s.name for s in term.free_symbols} <= set(grid.names):
                    field = np.broadcast_to(evaluate(term, mesh, _no_derivative, np), grid.shape)
                    rows.append(field / max(float(np.sqrt(np.mean(np.square(field)))), 1e-30))
                else:
                    varying |= symbols
    for name in sorted(varying):
        axis = grid.axes[grid.names.index(name)]
        angle = 2 * np.pi * (mesh[name] - axis.start) / axis.length
        rows += [np.sin(angle), np.cos(angle)]
    return np.array(rows).reshape(-1, *grid.shape)


def draw_states(problem: Any, n: int, resolution: int | tuple[int, ...], history: int, options: Mapping[str, Any], seed: int):
    """A `Dataset` of initial states of a problem: nothing is solved, but for history > 1 the first frames, by classical steps.

    Flows between walls that the problem describes by u, v and p are given by their stream function on the nodes: random,
    clamped at the walls, as the problem's own start (rest) is one state only.
    """
    import pdes
    from pdes.dataset import Dataset
    from pdes.job import sampled

    problem = pdes.get(problem) if isinstance(problem, str) else problem
    if problem.time is None:
        raise SettingError(
            given=f"the steady problem {problem.name!r}",
            needed="an equation in time",
            remedy="Pass a dataset, pdes.generate(problem, ...).",
        )
    walls = not problem.is_periodic and {"u", "v", "p"} <= set(problem.equation.unknowns)
    grid = box_of_nodes(problem.domain, resolution) if walls else problem.domain.grid(resolution)
    draws = [problem.draw(seed, i) for i in range(n)]
    dt = options["dt"] or problem.interval
    parameters = {name: np.array([numbers[name] for numbers, _ in draws]) for name in problem.parameters}
    inputs = {
        name: sampled(law, np.stack([latents[f"inputs.{name}"] for _, latents in draws]), grid)
        for name, law in problem.inputs.items()
    }
    if walls:
        fields = {STREAM: clamped(grid, n, seed)}
    else:
        fields = {
            name: sampled(law, np.stack([latents[f"initial.{name}"] for _, latents in draws]), grid)
            for name, law in problem.initial.items()
        }
    outputs = (STREAM,) if walls else problem.equation.evolving
    frames = [np.stack([fields[name] for name in outputs], 1)]
    if history > 1:
        known: dict[str, Any] = {k: torch.as_tensor(v).reshape(-1, *[1] * grid.dimension) for k, v in parameters.items()}
        known |= {k: torch.as_tensor(v) for k, v in inputs.items()}
        stepper = Stepper(discretise(problem.equation, grid, outputs, options), "trapezoid", dt)
        while len(frames) < history:
            frames.append(stepper.step([torch.as_tensor(frames[-1])], known, 1e-8).numpy())
    whole = np.stack(frames, 1)  # (sample, time, field, *space)
    steps = max(1, round((problem.time[1] - problem.time[0]) / dt))
    return Dataset(
        fields={name: whole[:, :, i] for i, name in enumerate(outputs)},
        inputs=inputs,
        grid=grid,
        times=dt * np.arange(history),
        parameters=parameters,
        provenance={"family": problem.name, "equation": str(problem.equation), "step": dt, "steps": steps},
    )


def clamped(grid: Grid, n: int, seed: int) -> np.ndarray:
    """Random stream functions whose value and slope are zero on the walls, (sample, *space)."""
    from pdes.randomness import generator

    tau, alpha, size = CLAMPED
    k = np.arange(1, 9)
    modes = [np.sin(np.pi * np.outer(k, (c - a.start) / a.length)) for c, a in zip(grid.coordinates(), grid.axes, strict=True)]
    decay = (np.pi**2 * (k[:, None] ** 2 + k**2) + tau**2) ** (-alpha / 2)
    # each sample is a function of its own key, whatever n
    weights = np.stack([generator("clamped", seed, i).standard_normal(decay.shape) for i in range(n)]) * decay
    psi = np.einsum("nij,ix,jy->nxy", weights, modes[0], modes[1])
    psi = psi * np.prod(np.meshgrid(modes[0][0], modes[1][0], indexing="ij"), axis=0)
    return size * psi / np.sqrt(np.mean(psi**2, axis=(1, 2), keepdims=True))
