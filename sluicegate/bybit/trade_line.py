"""A line: one connection to the trade WebSocket. Threads write frames with ids, one hands out the answers."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

log = structlog.get_logger(__name__)

PING_S: Final = 20.0
"""Of silence, until we ask; after as much again the line is dead. Source: Bybit V5 WebSocket connect page."""
_SIGN_IN: Final = "auth"


class Unreached(Exception):
    """No frame was written: there is no connection."""


class SignInRefused(Exception):
    """The exchange refuses the connection itself; no frame was written.

    Attributes:
        code: its retCode, or `http_403` and the like when it refused the handshake.
    """

    def __init__(self, code: int | str, message: object) -> None:
        super().__init__(message)
        self.code = code


class FrameRefused(Exception):
    """The answer to a frame has a code other than 0.

    Attributes:
        code: the retCode.
        headers: of the answer.
    """

    def __init__(self, code: int, message: object, headers: object) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers


class Unanswered(Exception):
    """A frame was written, at least in part, and has no usable answer.

    Attributes:
        code: the condition, a row of `retcodes.csv`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TradeLine:
    """One open connection.

    Args:
        account: for the log.
        connection: just opened.
        write_timeout_s: how long one write may be stuck; the connection is given up then.
    """

    def __init__(self, account: str, connection: ClientConnection, write_timeout_s: float) -> None:
        self._account = account
        self._connection = connection
        self._writing = threading.Lock()
        self._waiting: dict[str, Future[Mapping[str, Any]]] = {}
        self._heard_at = time.monotonic()
        self._has_ended = self._is_retired = False
        seconds = struct.pack("ll", int(write_timeout_s), int(write_timeout_s % 1 * 1_000_000))
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        threading.Thread(target=self._hear, name=f"trade-{account}", daemon=True).start()

    @property
    def is_usable(self) -> bool:
        """Tell whether new frames may be written."""
        return not (self._has_ended or self._is_retired)

    def retire(self) -> None:
        """Take no new frames; the line ends once all that were written are answered."""
        self._is_retired = True
        self._close_if_done()

    def close(self) -> None:
        """End the connection at once."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def sign_in(self, frame: Mapping[str, Any], timeout_s: float) -> None:
        """Authenticate the connection.

        Raises:
            SignInRefused: the answer has a code.
            Unreached: there is no usable answer.
        """
        try:
            answer = self._ask(_SIGN_IN, lambda: frame, timeout_s)
        except Unanswered as e:
            raise Unreached(f"no answer to our sign-in: {e}") from e
        code = answer.get("retCode")
        if type(code) is not int:
            raise Unreached("the answer to our sign-in has no code")
        if code != 0:
            raise SignInRefused(code, answer.get("retMsg", ""))

    def ask(self, frame: Callable[[], Mapping[str, Any]], timeout_s: float) -> Mapping[str, Any]:
        """Write a frame and wait for its answer.

        Args:
            frame: called when it is written next; what it raises means that nothing was written.
            timeout_s: to wait for the answer.

        Raises:
            Unreached: the line ended before.
            Unanswered: written, and no answer.
        """
        req_id = uuid.uuid4().hex  # of at most 36 characters, never used twice
        return self._ask(req_id, lambda: {"reqId": req_id, **frame()}, timeout_s)

    def read(self, answer: Mapping[str, Any]) -> tuple[Any, ...]:
        """Give an answer the form of an HTTP answer as pybit returns it.

        Raises:
            FrameRefused: it has a code other than 0.
        """
        code, given = answer.get("retCode"), answer.get("header")
        header: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        if type(code) is int and code != 0:
            raise FrameRefused(code, answer.get("retMsg", ""), header)
        envelope = {
            "retCode": code,
            "result": answer.get("data"),
            "retExtInfo": answer.get("retExtInfo"),
            "time": header.get("Timenow"),
        }
        return envelope, None, header

    def _ask(self, name: str, frame: Callable[[], Mapping[str, Any]], timeout_s: float) -> Mapping[str, Any]:
        answer: Future[Mapping[str, Any]] = Future()
        try:
            with self._writing:
                self._waiting[name] = answer  # before the look: whoever ends the line looks here afterwards
                if self._has_ended:
                    raise Unreached("the connection ended before the frame was written")
                text = json.dumps(frame())
                written_at = time.monotonic()
                self._write(text)
            return answer.result(timeout_s)
        except TimeoutError:
            if self._heard_at < written_at:
                self.close()  # not a word since: the next frame shall not be lost here too
            raise Unanswered("net_read_timeout", "no answer in time") from None
        finally:
            self._waiting.pop(name, None)
            self._close_if_done()

    def _write(self, text: str) -> None:
        try:
            self._connection.send(text)
        except (WebSocketException, OSError) as e:
            raise Unanswered("net_reset_or_aborted", f"broken while writing: {type(e).__name__}") from e

    def _close_if_done(self) -> None:
        if self._is_retired and not self._waiting:
            self.close()

    # --- hearing ----------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Hand out answers until the connection ends; whoever still waits is then in doubt."""
        code, reason = "net_reset_or_aborted", ""
        try:
            reason = self._hand_out_all()
        except (ValueError, RecursionError):
            code, reason = "json_decode_error", "unreadable frame"
        except (WebSocketException, OSError) as e:
            reason = type(e).__name__
        finally:
            self._has_ended = True
            self.close()
            for name in list(self._waiting):
                answer = self._waiting.pop(name, None)
                if answer is not None:
                    answer.set_exception(Unanswered(code, f"the connection ended: {reason}"))
            log.warning("trade_socket_ended", account=self._account, reason=reason)

    def _hand_out_all(self) -> str:
        is_asked = False
        while True:
            try:
                text = self._connection.recv(timeout=PING_S)
            except TimeoutError:
                if is_asked:
                    return "silent"
                self._connection.send('{"op":"ping"}')
                is_asked = True
                continue
            is_asked = False
            self._heard_at = time.monotonic()
            self._hand_out(json.loads(text))

    def _hand_out(self, frame: Any) -> None:
        """Give an answer to whoever waits for it; that to our sign-in need not have an id."""
        if not isinstance(frame, Mapping):
            raise ValueError("a frame is an object")
        name = frame.get("reqId") or frame.get("op")
        answer = self._waiting.pop(name, None) if isinstance(name, str) else None
        if answer is not None:
            answer.set_result(frame)
