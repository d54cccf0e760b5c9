"""The battery: every problem that comes with the package passes it, and every kind of wrong problem fails it."""

import dataclasses

import numpy as np
import pytest

import pdes
from pdes import check_problem
from pdes.checks import CheckFailure
from pdes.families.darcy import DiffusionSolver
from pdes.problem import Solution


@pytest.mark.parametrize("name", pdes.names("pde"))
def test_every_problem_passes(name):
    report = check_problem(pdes.get(name))
    assert 0 <= report.label_error < 0.02
    assert report.sharpest > 3


@pytest.mark.parametrize("name", ["darcy", "burgers"])
def test_two_workers_give_the_same_samples(name):
    problem = pdes.get(name, chunk=2, measure_every=100)
    one, two = (pdes.generate(problem, 4, 32, seed=90210, workers=workers, progress=False) for workers in (1, 2))
    assert one.fingerprint() == two.fingerprint()


@dataclasses.dataclass(frozen=True)
class Wrong(DiffusionSolver):
    """The Darcy solver with one of the faults that published generators had."""

    fault: str = ""

    def __call__(self, problem, grid, inputs, parameters, times):
        a = inputs["a"]
        if self.fault == "non-conservative":  # -a lap(u) = 1: the term grad(a).grad(u) is lost
            scaled = super().__call__(problem, grid, {"a": np.ones_like(a)}, parameters, times)
            return Solution({"u": scaled.fields["u"] / a}, scaled.outcome)
        if self.fault == "batch":  # the coefficient depends on the others in its batch
            a = a * a.mean() / 7.5
        right = super().__call__(problem, grid, {"a": a}, parameters, times)
        u = right.fields["u"]
        if self.fault == "sign":
            u = -u
        if self.fault == "factor":
            u = u / (2 * grid.spacing[0] * 32)
        if self.fault == "constant":
            u = np.broadcast_to(u[:1], u.shape)
        if self.fault == "refined":
            u = u * (1 + 20 * grid.spacing[0])
        return Solution({"u": u}, right.outcome)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("non-conservative", "does not satisfy"),
        ("sign", "does not satisfy"),
        ("factor", "wrong by 50%"),
        ("batch", "depends on its batch"),
        ("constant", r"depends on its batch|are the same"),
        ("refined", r"order 1\.0\d, not 2"),
    ],
)
def test_faulty_solvers_fail(fault, message):
    check_problem(pdes.get("darcy", solver=Wrong()))
    with pytest.raises(CheckFailure, match=message):
        check_problem(pdes.get("darcy", solver=Wrong(fault=fault)))


@dataclasses.dataclass(frozen=True)
class Stuck(pdes.random_fields.GaussianField):
    """A law that ignores its generator."""

    def sample(self, rng):
        return super().sample(np.random.default_rng(5))


def test_a_law_without_randomness_fails():
    with pytest.raises(CheckFailure, match=r"'inputs\.f' does not depend on the sample"):
        check_problem(pdes.get("poisson_dirichlet", inputs={"f": Stuck(3, 2, modes=8)}))
