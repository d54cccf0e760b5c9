"""What the partial differential equations of PROSE share: a line of length 2, 64 frames, numbers within 10 % of references.

Numbers are rounded to three digits (as PROSE's tokens are); held out: 10 to 20 % away from the references. Times are physical:
the published labels multiply u_t by 2 / t_f, for a clock that runs to 2 in every family.

Sun, Liu, Zhang, Schaeffer, Towards a foundation model for partial differential equations, Phys. Rev. E 111, 2025 (arXiv
2404.12355).
"""

from typing import Any

from pdes.domain import Domain, Periodic
from pdes.scalars import around, beside

LINE, CELLS = Periodic(x=(0, 2)), Periodic(x=(0, 2), cells=True)
RESOLUTION = 128
"""Points of the published data."""
_FRAMES, _SPREAD, _DIGITS = 64, 0.1, 3


def setting(end: float, domain: Domain = LINE, **references: float) -> dict[str, Any]:
    """Domain, times and laws of the parameters of a problem that runs to `end`; references: name -> number."""
    return {
        "domain": domain,
        "time": (0.0, float(end)),
        "frames": _FRAMES,
        "parameters": around(references, _SPREAD, _DIGITS),
        "held_out_laws": {"parameters": beside(references, _SPREAD, 2 * _SPREAD, _DIGITS)},
        "citation": "Sun, Liu, Zhang, Schaeffer, PROSE-PDE, Physical Review E 111, 2025",
    }
