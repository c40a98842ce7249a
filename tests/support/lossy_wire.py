"""A wire to PostgreSQL that loses answers: the server does as told, and the connection breaks before it says so."""

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
    """Passes everything on between us and the server, on a unix socket of its own, until an answer is to be lost.

    What is sent in one piece and answered before the next piece is a round trip; `trips` counts them.
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
        """Pass everything on, as it does at first."""
        self._is_to_lose: Callable[[bytes], bool] = lambda sent: False
        self._meanwhile: Callable[[], object] = lambda: None

    def lose_answer_to(self, statement: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Lose the answer to the next statement with these words; do something else before anybody knows."""
        self._is_to_lose, self._meanwhile = lambda sent: statement.encode() in sent, meanwhile

    def lose_answer_number(self, number: int) -> None:
        """Lose one answer, counted in round trips from now, from 0."""
        last = self.trips + number
        self._is_to_lose = lambda sent: self.trips > last

    def close(self) -> None:
        """Let nobody in any more."""
        self._door.shutdown(socket.SHUT_RDWR)  # or the thread that waits at the door would wait for ever
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
    """Everybody who connects to the executions' database inside the block does so by the wire."""
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
    """To its end, for only then has the server done it."""
    answer = b""
    while answer[-6:-1] != READY_FOR_QUERY:
        piece = server.recv(CHUNK)
        if not piece:
            return
        answer += piece
