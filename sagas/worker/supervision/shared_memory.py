"""State that the processes of one cluster share, in memory that the sentinel maps before it forks them.

It uses no locks: a process that is killed while it holds a lock of `multiprocessing` never releases it, whereas a
single byte is always readable.
"""

from __future__ import annotations

import mmap
import os


class ClusterState:
    """The sentinel's process id, whether the cluster is stopping, and a counter of claims."""

    def __init__(self) -> None:
        self.sentinel = 0
        self._memory = mmap.mmap(-1, 2)

    def become_sentinel(self) -> None:
        """Make this process the sentinel; the children that it forks share the new memory."""
        self.sentinel = os.getpid()
        self._memory = mmap.mmap(-1, 2)

    @property
    def claims(self) -> int:
        """A number that changes with each claim that found an execution."""
        return self._memory[1]

    def count_claim(self) -> None:
        """Tell the pusher that its wake-up led to a claim."""
        self._memory[1] = (self._memory[1] + 1) % 256

    @property
    def stopping(self) -> bool:
        """Whether the cluster claims nothing more."""
        return self._memory[0] != 0

    def stop(self) -> None:
        """Tell all processes of the cluster to claim nothing more."""
        self._memory[0] = 1

    def orphaned(self) -> bool:
        """Whether the sentinel that forked this process has ended."""
        return self.sentinel not in (0, os.getpid(), os.getppid())


CLUSTER = ClusterState()
