"""Some seeds of the simulation; simulation.py runs as many as one likes."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("seed", range(12))
def test_after_the_storm_all_is_well(simulation, seed):
    simulation(seed).run()


def test_same_seed_does_the_same(simulation):
    first, second = simulation(5), simulation(5)
    first.run()
    second.run()
    assert first.seen == second.seen
