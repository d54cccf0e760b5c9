"""Every operator of the package keeps the contract: found by file name, so a new file is tested without an edit here.

What an operator needs for that (another dataset, a looser bound) it says itself, in its module's `CHECKS`.
"""

import importlib

import pytest

from sciml.checks import check_operator
from sciml.operator import create, operator_class, operator_names


@pytest.mark.parametrize("name", operator_names())
def test_contract(name):
    module = importlib.import_module(f"sciml.operators.{name}")
    size = "tiny" if "tiny" in getattr(module, "PRESETS", {}) else ""
    check_operator(lambda: create(f"{name}:{size}" if size else name), **getattr(module, "CHECKS", {}))


@pytest.mark.parametrize("name", operator_names())
def test_documented_with_its_equation_and_source(name):
    module = importlib.import_module(f"sciml.operators.{name}")
    assert module.__doc__
    assert len(module.__doc__) > 100
    assert operator_class(name).__doc__
