"""An HTTP server for the provider that fails at random.

    python -m tests.chaos.provider PORT LEDGER SEED RATE

The server prints its port when it listens, and ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from . import faults
from .faults import Dice, Fate
from .ledger import Ledger, Reply, Request

LOOK_EVERY = 0.05


class Provider(ThreadingHTTPServer):
    """The HTTP server with its ledger and its dice."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, ledger: Ledger, dice: Dice) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.ledger, self.dice = ledger, dice
        self._running = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._deliver_always, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed their connection; print other errors."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def control(self, command: str) -> dict[str, Any]:
        """Run a command of the soak (calm, deliver or look); return the numbers of running and of delayed requests."""
        if command == "calm":
            self.dice.rate = 0.0
        if command == "deliver":
            self.ledger.execute("UPDATE held SET due = 0")
        delayed = self.ledger.execute("SELECT count(*) FROM held")[0][0]
        return {"running": self._running, "delayed": delayed}

    def take(self, request: Request, remaining: float) -> Reply | None:
        """Return the reply, or None to close the connection without one."""
        with self._lock:
            self._running += 1
            fate = self.dice.throw(request, remaining)
        self.ledger.count(fate.kind, ordered=1)
        try:
            return self._apply(fate, request)
        finally:
            with self._lock:
                self._running -= 1

    def _apply(self, fate: Fate, request: Request) -> Reply | None:
        kind = fate.kind
        if kind in (faults.TWICE, faults.LOST_REQUEST):
            self._delay_request(fate, request)
            return self.ledger.answer(request) if kind == faults.TWICE else None
        time.sleep(fate.delay)
        if kind == faults.REFUSED:
            request = replace(request, refuse=True)
        reply = (503, {"error": kind}) if kind == faults.UNAVAILABLE else self.ledger.answer(request)
        self.ledger.count(kind, done=1)
        if kind == faults.ERROR:
            return 500, {"error": kind}
        return None if kind in (faults.LOST_REPLY, faults.LATE) else reply

    def _delay_request(self, fate: Fate, request: Request) -> None:
        """Delay the request; drop a letter if its client is gone, because a late letter cannot be prevented."""
        if fate.kind == faults.LOST_REQUEST and request.asks in faults.NEVER_TWICE:
            self.ledger.count(fate.kind, done=1)
            return
        row = (time.time() + fate.delay, fate.kind, json.dumps(asdict(request)))
        self.ledger.execute("INSERT INTO held (due, kind, request) VALUES (?, ?, ?)", row)

    def _deliver_always(self) -> None:
        while True:
            for row in self.ledger.execute("SELECT * FROM held WHERE due <= ?", (time.time(),)):
                self.ledger.answer(Request(**json.loads(row["request"])))
                self.ledger.execute("DELETE FROM held WHERE id = ?", (row["id"],))
                self.ledger.count(row["kind"], done=1)
            time.sleep(LOOK_EVERY)


class Handler(BaseHTTPRequestHandler):
    """Handle POST /port/operation from the sagas and POST /control/command from the soak, both with JSON."""

    server: Provider

    def do_POST(self) -> None:
        """Reply, or close the connection without a reply."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, port, operation = self.path.split("/")
        if port == "control":
            self._reply(200, self.server.control(operation))
            return
        remaining = body.pop("remaining")
        request = Request(port=port, operation=operation, key=self.headers["Idempotency-Key"], **body)
        reply = self.server.take(request, remaining)
        if reply is not None:
            self._reply(*reply)

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Write no access log."""


def end_with_parent() -> None:
    """Exit when the parent closes standard input; the parent writes nothing to it."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(port: str, path: str, seed: str, rate: str) -> None:
    """Serve until the process is killed or its parent ends."""
    provider = Provider(int(port), Ledger(Path(path)), Dice(seed, float(rate)))
    threading.Thread(target=end_with_parent, daemon=True).start()
    print(provider.server_port, flush=True)
    provider.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
