"""Keys and secrets: never in a log, an outcome, an exception or a `repr`, even when the exchange quotes them."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from orders_desk import LINK_ID, place
from venue_server import KEY, SECRET, Desk, VenueServer, envelope, http

from sluicegate.domain.errors import SluicegateError
from sluicegate.domain.orders import Category
from sluicegate.domain.outcomes import Acknowledged


def percent(text: str) -> str:
    """Return a text with every letter percent-encoded, in lower case."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def base64(text: str) -> str:
    """Return a text in base64."""
    return b64encode(text.encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent_encoded": lambda text: quote(text, safe=""),
    "percent_encoded_in_lower_case": lambda text: quote(text, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
    "percent_encoded_throughout": percent,
    "base64": base64,
    "base64_after_one_byte": lambda text: base64(f"k{text}:5000"),
    "base64_after_two_bytes": lambda text: base64(f"k:{text}:5000"),
    "base64_in_an_address": lambda text: base64(text).translate({43: 45, 47: 95}),
}
ECHOES: dict[str, Callable[[str], bytes]] = {
    "ret_msg": lambda said: http(envelope(retCode=10004, retMsg=f"error sign! origin_string[17850{said}5000]")),
    "ret_msg_far_back": lambda said: http(envelope(retCode=10001, retMsg="x" * 290 + said)),
    "ret_msg_object": lambda said: http(envelope(retCode=10003, retMsg={"key": said})),
    "unknown_code": lambda said: http(envelope(retCode=424242, retMsg=said)),
    "acknowledgement": lambda said: http(envelope(result={"orderId": said})),
    "http_error": lambda said: http(f"<p>{said}</p>".encode(), status="502 Bad Gateway"),
    "http_reason": lambda said: http(b"", status=f"401 {said}"),
    "redirect": lambda said: http(b"", status="302 Found", Location=f"http://127.0.0.1:1/{said}"),
    "no_json": lambda said: http(said.encode()),
    "no_http": lambda said: said.encode() + b"\r\n\r\n",
}


def leaks(shown: object) -> bool:
    """Tell whether a text shows a key or a secret in any spelling."""
    text = str(shown)
    return any(spell(secret) in text for secret in (KEY, SECRET) for spell in SPELLINGS.values())


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_secrets_that_the_exchange_quotes_are_hidden(
    server: VenueServer,
    desk: Desk,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    echo: Callable[[str], bytes],
    spell: Callable[[str], str],
) -> None:
    """Whatever the exchange echoes and however: outcomes, exceptions and logs at DEBUG show none of it."""
    caplog.set_level(logging.DEBUG)
    server.script = lambda _request, _connection: echo(spell(KEY) + spell(SECRET))
    with structlog.testing.capture_logs() as lines:
        outcome = place(desk).outcome
        with pytest.raises(SluicegateError) as raised:
            desk.gateway.find_open(Category.LINEAR, "BTCUSDT", LINK_ID)
    assert not isinstance(outcome, Acknowledged)
    assert not leaks(outcome)
    assert not leaks("".join(traceback.format_exception(raised.value)))
    assert {"exchange_call_failed"} == {line["event"] for line in lines}
    assert not leaks(lines)
    assert not leaks(caplog.text + "".join(str(vars(record)) for record in caplog.records))
    assert not leaks("".join(capfd.readouterr()))


def test_session_shows_no_secret(desk: Desk) -> None:
    """A session's text is its class; and it cannot be pickled into a message."""
    session = desk.sessions.session()
    assert [False] * 4 == [leaks(show) for show in (repr(session), str(session), f"{session}", repr([session]))]
    assert not leaks(repr(desk))
    with pytest.raises(TypeError):
        pickle.dumps(session)


def test_failed_call_is_logged_with_everything_a_person_needs(server: VenueServer, desk: Desk) -> None:
    """One line names code, message, account, symbol, side, quantity and both ids."""
    server.script = lambda _request, _connection: http(envelope(retCode=110007, retMsg="not enough"))
    with structlog.testing.capture_logs() as lines:
        place(desk)
    expected: dict[str, Any] = {
        "event": "exchange_call_failed",
        "log_level": "warning",
        "kind": "Refused",
        "ret_code": "110007",
        "ret_msg": "not enough",
        "endpoint": "/v5/order/create",
        "account": "main",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "qty": "0.01",
        "order_id": LINK_ID.removeprefix("sg-"),
        "order_link_id": LINK_ID,
    }
    assert [expected] == lines


PROCESS = """
import logging, sys
from sluicegate.telemetry.logs import configure_logs
configure_logs("DEBUG", sys.argv[2], process="t")
from orders_desk import place
from venue_server import open_desk
desk = open_desk(sys.argv[1])
place(desk)
try:
    raise ValueError("told")
except ValueError:
    logging.getLogger("elsewhere").exception("failed with %r", desk.sessions.session())
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_process_that_logs_everything_shows_no_secret(server: VenueServer, form: str) -> None:
    """A whole process at DEBUG, its own traceback included, shows no secret on either stream."""
    server.script = lambda _request, _connection: http(f"<p>{KEY}{SECRET}</p>".encode(), status="502 Bad Gateway")
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parents[2])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROCESS, server.url, form],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "error"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "exchange_call_failed" in done.stderr
    assert "ValueError: told" in done.stderr
    assert not leaks(done.stdout + done.stderr)
