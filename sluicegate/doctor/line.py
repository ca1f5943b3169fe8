"""A line to one environment of the exchange: asks questions, never places an order, and tells why it failed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sluicegate.bybit.answers import AnswerReader, Reply, certificate_fault, read_reply
from sluicegate.bybit.clock import OffsetClock
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.bybit.session import build_session
from sluicegate.config import Credentials, Environment, Settings
from sluicegate.domain.errors import BucketDenied, BucketUnavailable
from sluicegate.domain.outcomes import InDoubt, NeverSent, Refused
from sluicegate.ports import Buckets, BucketSpec, Clock

_LEASE_S = 60.0


class Trouble(Exception):
    """A question got no usable answer.

    Attributes:
        outcome: what came instead.
        fault: why the server's certificate was refused; None when that was not the reason.
    """

    def __init__(
        self, outcome: Refused | NeverSent | InDoubt, fault: ssl.SSLCertVerificationError | None = None
    ) -> None:
        super().__init__(f"{outcome.code}: {outcome.message}")
        self.outcome = outcome
        self.fault = fault

    @property
    def code(self) -> str:
        """Return Bybit's code or the condition."""
        return self.outcome.code


@dataclass(frozen=True)
class Exchanges:
    """What all lines share.

    Args:
        buckets: the questions spend the IP's quota like every request; None while the broker is out of reach.
    """

    settings: Settings
    codes: RetCodeTable
    local: Clock
    buckets: Buckets | None
    egress: BucketSpec

    def line(
        self, environment: Environment, *, clock: OffsetClock | None = None, credentials: Credentials | None = None
    ) -> Line:
        """Return a line, without a key for public questions.

        Raises:
            ConfigurationError: nothing says where the simulator listens.
        """
        return Line(self, environment, clock or OffsetClock(self.local), credentials)


class Line:
    """One environment, asked with one key or with none."""

    def __init__(
        self, shared: Exchanges, environment: Environment, clock: OffsetClock, credentials: Credentials | None
    ) -> None:
        key, secret = _words(credentials)
        self.environment = environment
        self.clock = clock
        self._shared = shared
        self._reader = AnswerReader(shared.codes, tuple(word for word in (key, secret) if word))
        self._session = build_session(
            environment,
            shared.settings.exchange,
            clock,
            api_key=key,
            api_secret=secret,
            address=shared.settings.exchange_address(environment),
        )

    @property
    def address(self) -> str:
        """Return where the requests go."""
        return str(self._session.endpoint)

    @property
    def uses_proxies(self) -> bool:
        """Return whether a proxy named in the environment is used."""
        return bool(self._session.client.trust_env)

    @property
    def bundle(self) -> str:
        """Return the file of CA certificates."""
        return str(self._session.client.verify)

    def measure_clock(self) -> tuple[float, float]:
        """Measure the exchange's clock.

        Returns:
            The exchange's clock minus ours, and the shortest round trip, both in seconds.

        Raises:
            Trouble: no answer.
        """
        trips = [self._timed() for _sample in range(3)]
        return self.clock.offset_s, min(trips)

    def _timed(self) -> float:
        sent_at = self._shared.local.now()
        reply = self.ask("get_server_time")
        received_at = self._shared.local.now()
        if reply.time_ms is None:
            raise Trouble(InDoubt("json_decode_error", "the answer does not tell the exchange's time"))
        self.clock.observe(sent_at, received_at, reply.time_ms)
        return (received_at - sent_at).total_seconds()

    def ask(self, method: str, **parameters: Any) -> Reply:
        """Call one of pybit's queries.

        Raises:
            Trouble: no usable answer.
        """
        self._session.begin(None)
        with self._token():
            try:
                return read_reply(getattr(self._session, method)(**parameters))
            except Exception as e:  # noqa: BLE001 - the boundary to the exchange: every failure is an outcome
                raise Trouble(self._reader.read_error(e, is_write=False), certificate_fault(e)) from None

    def rows(self, method: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """Call a query that answers with a list.

        Raises:
            Trouble: no usable answer.
        """
        listed = self.ask(method, **parameters).result.get("list")
        if not isinstance(listed, list):
            raise Trouble(InDoubt("json_decode_error", f"{method} answered without a list"))
        return [row for row in listed if isinstance(row, Mapping)]

    @contextmanager
    def _token(self) -> Iterator[None]:
        buckets = self._shared.buckets
        if buckets is None:
            yield
            return
        try:
            grant = buckets.acquire([self._shared.egress], max_wait_s=5.0, lease_s=_LEASE_S)
        except BucketDenied as e:
            raise Trouble(
                NeverSent("ip_quota_spent", f"this IP's quota is spent for {e.retry_after_s:.0f} s")
            ) from e
        except BucketUnavailable:  # the broker has a finding of its own; a handful of questions does no harm
            yield
            return
        self._shared.local.sleep(grant.wait_s)
        try:
            yield
        finally:
            with suppress(BucketUnavailable):
                buckets.settle(grant, sent=True)


def _words(credentials: Credentials | None) -> tuple[str | None, str | None]:
    if credentials is None:
        return None, None
    return credentials.api_key.get_secret_value(), credentials.api_secret.get_secret_value()
