"""The twenty families of PROSE-PDE under their published names, with correct labels, and those that other families give.

See `pdes.families._prose` for what they share. Of the published labels those of porous medium, Fokker-Planck and the bistable
reaction do not fit their data; the equation called Cahn-Hilliard there is u_t = (3 u^2 - 1 - eps^2 u_xx)_xx, here it is Cahn
and Hilliard's.
"""

from pdes.families._prose import LINE, setting
from pdes.families.advection import advection
from pdes.families.conservation_laws import SINES
from pdes.families.fokker_planck import fokker_planck
from pdes.families.kdv import kdv
from pdes.families.linear import heat
from pdes.families.nonlinear_waves import klein_gordon, sine_gordon
from pdes.families.phase_separation import cahn_hilliard
from pdes.families.porous_medium import porous_medium
from pdes.families.reactions import REACTIONS
from pdes.families.waves import wave
from pdes.problem import Problem
from pdes.random_fields import constant, fourier_series
from pdes.random_profiles import sines
from pdes.random_shapes import mapped
from pdes.semilinear import Semilinear

_AWAY = "PROSE's setting; held out: numbers 10 to 20 % away."
_SMOOTH = {"initial": {"u": mapped(fourier_series(2, maximum=1), scale=0.4, offset=0.5)}}


def _variant(problem: Problem, end: float, description: str, references: dict[str, float], **changes) -> Problem:
    """An equation that is there already, with PROSE's ranges, times and states."""
    shared = setting(end, LINE, **references)
    return problem.replace(
        **shared | {"name": f"prose_{problem.name}", "check": {}, "description": f"{description} in {_AWAY}", **changes}
    )


prose_heat = _variant(
    heat, 2.0, "Heat equation", {"nu": 3e-3}, initial={"u": sines(4, edges=0.1)}, compute_at_least=256, check=_SMOOTH
)

prose_advection = _variant(
    advection, 2.0, "Waves that travel", {"beta": 0.5}, initial={"u": sines(2)}, check={"time": (0, 0.2), "frames": 3}
)

prose_kdv = _variant(
    kdv,
    1.0,
    "Korteweg-de Vries",
    {"delta": 0.022},
    equation="u_t = -u*u_x - delta^2*u_xxx",
    initial={"u": sines(2, high=0.5)},
    solver=Semilinear(dt=2e-3),
    check={"time": (0, 0.4), "frames": 5},
)

prose_wave = _variant(
    wave,
    1.0,
    "Waves from rest",
    {"c": 0.5},
    equation="u_t = v; v_t = c^2*u_xx",
    initial={"u": sines(2), "v": constant(0)},
    check={"initial": {"u": sines(2), "v": fourier_series(2, maximum=1)}},
)

prose_cahn_hilliard = _variant(
    cahn_hilliard,
    0.5,
    "Cahn-Hilliard",
    {"eps": 0.01},
    equation="u_t = lap(u^3 - u - eps^2*lap(u))",
    initial={"u": sines(2)},
    solver=Semilinear(dt=2e-5),
    compute_at_least=512,
    check={"time": (0, 2e-3), "frames": 3, "parameters": {"eps": 0.05}, "compute_at_least": 128},  # before fronts sharpen
)

FAMILIES = {
    "heat": prose_heat,
    "porous_medium": porous_medium,
    "advection": prose_advection,
    "kdv": prose_kdv,
    "fokker_planck": fokker_planck,
    **REACTIONS,
    "burgers": SINES["prose_burgers"],
    "inviscid_burgers": SINES["prose_burgers_inviscid"],
    "linear_flux": SINES["linear_flux"],
    "cubic_flux": SINES["cubic_flux"],
    "inviscid_cubic_flux": SINES["cubic_flux_inviscid"],
    "sine_flux": SINES["sine_flux"],
    "inviscid_sine_flux": SINES["sine_flux_inviscid"],
    "wave": prose_wave,
    "klein_gordon": klein_gordon,
    "sine_gordon": sine_gordon,
    "cahn_hilliard": prose_cahn_hilliard,
}
EXTRA = {"cosine_flux": SINES["cosine_flux"], "inviscid_cosine_flux": SINES["cosine_flux_inviscid"]}
"""For studies of extrapolation."""
