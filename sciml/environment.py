"""What a measurement was made on: machine, versions, threads. Plain text values, for reports."""

import contextlib
import importlib.metadata
import platform
import sys

from solvers.threads import cores

PACKAGES = ("sciml-operators", "torch", "jax", "numpy", "scipy")


def environment() -> dict[str, str]:
    """Machine, cores, Python and the versions that decide speed and accuracy.

    >>> sorted(environment())[:2]
    ['cores', 'machine']
    """
    facts = {"machine": f"{_processor()}, {platform.system()}", "cores": str(cores()), "python": platform.python_version()}
    versions = []
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    facts["versions"] = ", ".join(versions)
    torch = sys.modules.get("torch")  # looked at only if it was used
    if torch is not None:
        facts["torch"] = f"{torch.get_num_threads()} threads"
        if torch.cuda.is_available():
            facts["torch"] += f", {torch.cuda.get_device_name(0)}"
    return facts


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
