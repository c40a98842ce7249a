"""Many clients start sagas at once, for a while."""

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
class Answer:
    """What a start was answered with, and when the answer was there."""

    status: int
    saga_id: str
    received_at: dt.datetime


def start_for(seconds: float, site: str, token: str, *, prefer: str = "", clients: int = CLIENTS) -> list[Answer]:
    """All answers to the starts that so many clients, each on a line of its own, send one after the other."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as pool:
        told = pool.map(lambda _: list(_starts(end, site, token, prefer)), range(clients))
        return [answer for answers in told for answer in answers]


def _starts(end: float, site: str, token: str, prefer: str) -> Iterator[Answer]:
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json", "Prefer": prefer}
    body = json.dumps({"saga": "note", "context": {"text": "hello"}})
    with closing(HTTPConnection(urlsplit(site).netloc, timeout=60)) as line:
        while time.monotonic() < end:
            line.request("POST", EXECUTIONS, body, headers)
            response = line.getresponse()
            answer = json.load(response)
            yield Answer(response.status, answer.get("saga_id", ""), dt.datetime.now(dt.UTC))
