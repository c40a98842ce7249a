"""What the processes of one cluster share: memory that a sentinel makes before it forks, without any lock.

A process that is killed while it holds a lock of multiprocessing leaves it locked for ever; a single byte cannot be.
"""

from __future__ import annotations

import mmap
import os


class Cluster:
    """The sentinel's process id and whether the cluster is about to stop, as seen by all its children."""

    def __init__(self) -> None:
        self.sentinel = 0
        self._memory = mmap.mmap(-1, 2)

    def founded_here(self) -> None:
        """This process is the sentinel; forked children inherit what it has."""
        self.sentinel = os.getpid()
        self._memory = mmap.mmap(-1, 2)

    @property
    def claims(self) -> int:
        """Another number after each claim that found something."""
        return self._memory[1]

    def claimed(self) -> None:
        """Tell the pusher that its bell was of use."""
        self._memory[1] = (self._memory[1] + 1) % 256

    @property
    def stopping(self) -> bool:
        """Whether the cluster takes no more work."""
        return self._memory[0] != 0

    def stop(self) -> None:
        """Tell all processes of the cluster to take no more work."""
        self._memory[0] = 1

    def orphaned(self) -> bool:
        """Whether the sentinel that forked this process is gone."""
        return self.sentinel not in (0, os.getpid(), os.getppid())


CLUSTER = Cluster()
