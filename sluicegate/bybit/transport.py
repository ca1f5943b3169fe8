"""Transport: how an answer is read off the wire, within a time and a size."""

from __future__ import annotations

import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

MOST_BYTES = 32 * 1024 * 1024
"""No answer of Bybit's comes near it: a page of 1,000 instruments is about 1 MB."""
_PIECE = 64 * 1024


class AnswerTooSlow(requests.ReadTimeout):
    """Bytes kept coming, but the body was not complete in time."""


class AnswerTooLong(ValueError):
    """The body grew beyond `MOST_BYTES`; the rest was not read."""


class WholeAnswers(HTTPAdapter):
    """Reads each answer to its end before it hands it on, but not for ever.

    The read time-out of requests bounds the wait between two bytes only: a body that drips would hold a worker's
    thread far beyond the lease of its order. The bound starts with the body; headers that drip are not bounded.

    Args:
        most_s: how long a request may take until its body is complete.
    """

    def __init__(self, most_s: float) -> None:
        super().__init__()
        self._most_s = most_s

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request and read its whole answer.

        Raises:
            requests.RequestException: no connection, no whole answer in time, or it broke off.
            AnswerTooLong: it has more than `MOST_BYTES`.
        """
        end = time.monotonic() + self._most_s
        response = super().send(request, *arguments, **options)
        try:
            response._content = _read_whole(response.raw, end)  # noqa: SLF001 - where requests keeps what it read
        except ReadTimeoutError as e:
            response.close()
            raise requests.ReadTimeout(e, request=request) from e
        except HTTPError as e:
            response.close()
            raise requests.ConnectionError(e, request=request) from e
        except (AnswerTooLong, AnswerTooSlow):
            response.close()
            raise
        response.encoding = response.encoding or "utf-8"  # never guessed: for a large body that takes seconds
        return response


def _read_whole(raw: Any, end: float) -> bytes:
    body = bytearray()
    while piece := raw.read1(_PIECE, decode_content=True):
        body += piece
        if len(body) > MOST_BYTES:
            raise AnswerTooLong(f"the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > end:
            raise AnswerTooSlow("the answer was not complete in time")
    return bytes(body)
