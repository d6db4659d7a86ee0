"""A crew: CPU threads that each take some of a step's windows, forth and back, and add up what they learnt.

With one thread for all cores, every layer waits for its slowest core, and what has no parallel form leaves the others
idle. A crew waits once a step. Its members share one network's weights; each has gradients of its own.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)
Result = TypeVar("Result")


def crew_size(device: torch.device, batch: int) -> int:
    """How many members share `batch` windows evenly: at most one for each core, and one on a GPU."""
    if device.type != "cpu":
        return 1
    return max(count for count in range(1, min(batch, os.cpu_count() or 1) + 1) if batch % count == 0)


def sharing(network: Network) -> Network:
    """A copy with the same weights, not equal ones: what one learns the other knows. Gradients are its own."""
    shared = {id(parameter): nn.Parameter(parameter.detach()) for parameter in network.parameters()}
    return copy.deepcopy(network, shared)


class Crew:
    """Runs one job for each member at once."""

    def __init__(self, networks: Sequence[nn.Module]):
        """The first network collects what all have learnt; the others share its weights."""
        self._networks = networks
        self._cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(
            len(networks), initializer=torch.set_num_threads, initargs=(max(1, self._cores // len(networks)),)
        )

    def run(self, jobs: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run a job for each network, of which each leaves gradients; the first network then has their mean."""
        results = [future.result() for future in [self._pool.submit(job) for job in jobs]]
        torch.set_num_threads(self._cores)
        for together in zip(*(network.parameters() for network in self._networks), strict=True):
            grads = [parameter.grad for parameter in together if parameter.grad is not None]
            if grads:
                together[0].grad = torch.stack(grads).sum(0).div_(len(self._networks))
        return results
