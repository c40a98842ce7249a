"""Load for the API: many clients start sagas at the same time."""

import datetime as dt
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

EXECUTIONS = "/api/v1/executions/"
CLIENTS = 16


@dataclass(frozen=True)
class StartResponse:
    """The response to a start, and the time when it was received."""

    status: int
    saga_id: str
    received_at: dt.datetime


def start_for(
    seconds: float, site: str, token: str, *, prefer: str = "", clients: int = CLIENTS
) -> list[StartResponse]:
    """Return the responses to the starts that each client sends, one after the other, on its own connection."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as pool:
        by_client = pool.map(lambda _: list(_starts(end, site, token, prefer)), range(clients))
        return [response for responses in by_client for response in responses]


def _starts(end: float, site: str, token: str, prefer: str) -> Iterator[StartResponse]:
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json", "Prefer": prefer}
    body = json.dumps({"saga": "note", "context": {"text": "hello"}})
    with closing(HTTPConnection(urlsplit(site).netloc, timeout=60)) as line:
        while time.monotonic() < end:
            line.request("POST", EXECUTIONS, body, headers)
            response = line.getresponse()
            body_received = json.load(response)
            yield StartResponse(response.status, body_received.get("saga_id", ""), dt.datetime.now(dt.UTC))
