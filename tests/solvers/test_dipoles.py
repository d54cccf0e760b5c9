"""Coupled dipoles: elimination is exact, reciprocity, passivity, and data that set the boundary enter nonlinearly."""

import dataclasses

import numpy as np
import pytest

from solvers.dipoles import ELEMENT, Dipoles, enclosure
from solvers.errors import DataError, SettingError

ROOM = enclosure((2.0, 1.5), elements=12, receivers=2, frequencies=3)


def bits_and_resonances(room, samples, seed=5):
    bits = np.random.default_rng(seed).random((samples, room.elements)) < 0.5
    return bits, np.where(bits, 1.0, 5.0)


def test_three_ways_agree():
    bits, resonance = bits_and_resonances(ROOM, 6)
    bits[0], bits[1] = False, True
    resonance = np.where(bits, 1.0, 5.0)
    full = ROOM.full_transfer(resonance)
    assert full.shape == (6, 3, 2, 1)
    np.testing.assert_allclose(ROOM.transfer(resonance), full, rtol=1e-10, atol=1e-12 * np.abs(full).max())
    np.testing.assert_allclose(ROOM.transfer_bits(bits), full, rtol=1e-10, atol=1e-12 * np.abs(full).max())
    analogue = 1 + 4 * np.random.default_rng(2).random((3, 12))
    np.testing.assert_allclose(ROOM.transfer(analogue), ROOM.full_transfer(analogue), rtol=1e-9)


def test_single_precision_agrees():
    bits, resonance = bits_and_resonances(ROOM, 5)
    single = dataclasses.replace(ROOM, dtype=np.complex64)
    for found in (single.transfer(resonance), single.transfer_bits(bits)):
        assert found.dtype == np.complex64
        np.testing.assert_allclose(found, ROOM.full_transfer(resonance), rtol=1e-4, atol=1e-4 * np.abs(found).max())


def test_reciprocity_and_passivity():
    inverse = np.linalg.inv(ROOM.matrix)
    np.testing.assert_allclose(inverse, np.swapaxes(inverse, 1, 2), atol=1e-10 * np.abs(inverse).max())
    radiated = (2 * np.pi * ROOM.frequencies) ** 2 / 4
    assert np.all(np.diagonal(ROOM.matrix, axis1=1, axis2=2).imag >= radiated[:, None] * (1 - 1e-12))
    # The part of W that takes energy out is positive semidefinite: sums of outgoing waves and losses.
    for w in ROOM.matrix:
        assert np.linalg.eigvalsh(w.imag).min() > -1e-8 * np.abs(w.imag).max()


def test_elements_polarise_differently_on_and_off():
    moved = np.flatnonzero(ROOM.kinds == ELEMENT)[:1]
    on, off = (1 / ROOM.diagonal(np.array([f]), moved)[1, 0] for f in (1.0, 5.0))
    assert abs(on - off) / abs(on) > 0.5
    trap = dataclasses.replace(ROOM, strength=np.full(len(ROOM.places), 50.0), loss=np.full(len(ROOM.places), 0.0))
    on, off = (1 / trap.diagonal(np.array([f]), moved)[1, 0] for f in (1.0, 5.0))
    assert abs(on - off) / abs(on) < 0.1  # the released value of chi: nothing to programme


def test_bits_enter_nonlinearly():
    room = enclosure(elements=20, frequencies=4)
    bits, _ = bits_and_resonances(room, 400)
    y = np.abs(room.transfer_bits(bits)).reshape(400, -1)
    a = np.concatenate([bits, np.ones((400, 1))], axis=1)
    rest = y - a @ np.linalg.lstsq(a, y, rcond=None)[0]
    assert np.mean(1 - rest.var(0) / y.var(0)) < 0.95


def test_bad_input():
    with pytest.raises(DataError, match="12"):
        ROOM.transfer(np.ones((2, 5)))
    with pytest.raises(SettingError, match="distinct"):
        dataclasses.replace(ROOM, places=np.zeros_like(ROOM.places))
    with pytest.raises(DataError, match="shapes"):
        Dipoles(np.zeros((2, 2)), np.zeros(2), np.ones(3), np.ones(2), np.zeros(2), np.ones(1))
