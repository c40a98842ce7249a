"""State that the processes of one cluster share, in memory that the sentinel maps before it forks the others.

This module uses no locks, because a killed process never releases a lock of `multiprocessing`. Reading and writing a
single byte needs no lock.
"""

from __future__ import annotations

import mmap
import os


class ClusterState:
    """The shared state: the sentinel's process id, whether the cluster is stopping, and a counter of claims."""

    def __init__(self) -> None:
        self.sentinel = 0
        self._memory = mmap.mmap(-1, 2)

    def become_sentinel(self) -> None:
        """Make this process the sentinel, and map new memory that its future children share."""
        self.sentinel = os.getpid()
        self._memory = mmap.mmap(-1, 2)

    @property
    def claims(self) -> int:
        """The counter of claims that found an execution, modulo 256."""
        return self._memory[1]

    def count_claim(self) -> None:
        """Increment the counter, from which the pusher sees that its wake-up led to a claim."""
        self._memory[1] = (self._memory[1] + 1) % 256

    @property
    def stopping(self) -> bool:
        """Whether the cluster has stopped claiming executions."""
        return self._memory[0] != 0

    def stop(self) -> None:
        """Make all processes of the cluster stop claiming executions."""
        self._memory[0] = 1

    def orphaned(self) -> bool:
        """Return whether the sentinel that forked this process has ended."""
        return self.sentinel not in (0, os.getpid(), os.getppid())


CLUSTER = ClusterState()
