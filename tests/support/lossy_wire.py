"""A proxy to PostgreSQL that loses answers.

The server executes a statement, and the connection breaks before the client gets the answer.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db import connection, connections

READY_FOR_QUERY = b"Z\x00\x00\x00\x05"
CHUNK = 65536


class Wire:
    """A proxy on a Unix socket. It forwards all data between client and server until it has to lose an answer.

    `trips` counts the round trips. One round trip is one piece of data from the client and the server's answer.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.trips = 0
        self.lost = 0
        self._server = host, port
        self.lose_nothing()
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(folder / f".s.PGSQL.{port}"))
        self._door.listen()
        threading.Thread(target=self._let_in, daemon=True).start()

    def lose_nothing(self) -> None:
        """Forward everything. This is the initial behaviour."""
        self._is_to_lose: Callable[[bytes], bool] = lambda sent: False
        self._meanwhile: Callable[[], object] = lambda: None

    def lose_answer_to(self, statement: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Lose the answer to the next statement that contains this text.

        Call `meanwhile` after the server has answered and before the client's connection breaks.
        """
        self._is_to_lose, self._meanwhile = lambda sent: statement.encode() in sent, meanwhile

    def lose_answer_number(self, number: int) -> None:
        """Lose the answer of one round trip. Number 0 is the next round trip."""
        last = self.trips + number
        self._is_to_lose = lambda sent: self.trips > last

    def close(self) -> None:
        """Accept no more connections."""
        self._door.shutdown(socket.SHUT_RDWR)  # without this, the thread in `accept` waits forever
        self._door.close()

    def _let_in(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = _connected(*self._server)
        try:
            with client, server, suppress(OSError):
                self._pass_on(client, server)
        finally:
            connections.close_all()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if not (piece := key.fileobj.recv(CHUNK)):
                        return
                    (server if key.fileobj is client else client).sendall(piece)
                    if key.fileobj is client and self._loses(piece):
                        _read_answer(server)
                        self._meanwhile()
                        return

    def _loses(self, sent: bytes) -> bool:
        self.trips += 1
        if not self._is_to_lose(sent):
            return False
        self.lost, self._is_to_lose = self.lost + 1, lambda sent: False
        return True


@contextmanager
def wired(folder: Path) -> Iterator[Wire]:
    """Route new connections to the executions' database through a `Wire` until the block ends."""
    connection.ensure_connection()
    host, port = connection.connection.info.host, connection.connection.info.port
    connection.close()
    wire, settings = Wire(folder, host, port), connection.settings_dict
    former = {name: settings[name] for name in ("HOST", "PORT")}
    settings |= {"HOST": str(folder), "PORT": str(port)}
    try:
        connection.ensure_connection()
        yield wire
    finally:
        connection.close()
        settings |= former
        wire.close()


def _connected(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _read_answer(server: socket.socket) -> None:
    """Read the whole answer. The server has finished the statement only when its answer is complete."""
    answer = b""
    while answer[-6:-1] != READY_FOR_QUERY:
        piece = server.recv(CHUNK)
        if not piece:
            return
        answer += piece
