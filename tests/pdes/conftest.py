"""The problem that tests of everything around a solver share."""

import importlib

import pytest


@pytest.fixture
def quick():
    """`quick(**options)` of test_generation, a problem of your own whose solver takes no time."""
    return importlib.import_module("tests.pdes.test_generation").quick
