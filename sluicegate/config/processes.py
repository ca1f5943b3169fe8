"""Settings of workers, scheduler, streams, pages and intake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    Field,
    SecretStr,
    model_validator,
)

from sluicegate.config.values import Section, WebUrl
from sluicegate.domain.pace import Beat
from sluicegate.domain.records import Severity


class PagingSettings(Section):
    """Who is told. Apprise URLs by severity; without any, pages go to the log.

    Attributes:
        critical: Apprise URLs for incidents that stop trading; a later one is tried when those before it failed.
            Several in one text, parted by blanks, are told together.
        warning: URLs for the others; without any, the critical ones.
        webhook: a plain HTTP address that gets every page as JSON, besides the URLs.
        repeat_critical_s: an incident that nobody acknowledged is paged again after so long; 0: never.
        repeat_warning_s: the same for warnings.
    """

    critical: tuple[SecretStr, ...] = ()
    warning: tuple[SecretStr, ...] = ()
    webhook: WebUrl | None = None
    repeat_critical_s: Annotated[float, Field(ge=0, le=604_800)] = 900.0
    repeat_warning_s: Annotated[float, Field(ge=0, le=604_800)] = 14_400.0

    def repeats(self) -> dict[Severity, float]:
        """Return by severity after how long a page is repeated, seconds."""
        return {Severity.CRITICAL: self.repeat_critical_s, Severity.WARNING: self.repeat_warning_s}

    def urls(self, severity: Severity) -> tuple[SecretStr, ...]:
        """Return the URLs for a severity; critical ones stand in where there is none for warnings."""
        return self.critical if severity is Severity.CRITICAL else self.warning or self.critical


class IntakeSettings(Section):
    """How orders that come as messages (`sluicegate.accept`) prove their origin; without a secret they need not.

    Attributes:
        secret_env: variable that holds the secret which producers sign with; this or `secret_file`.
        secret_file: file that holds it.
    """

    secret_env: str | None = None
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("give one of secret_env and secret_file")
        return self


class WorkerSettings(Section):
    """How workers run.

    Attributes:
        concurrency: threads of a worker process.
        max_wait_s: longest sleep of a worker for a token; beyond, the order goes back to the ledger.
        republish_s: a published order that nobody claimed is published again after so long.
        metrics_host: address that `/metrics` listens on.
        metrics_port: 0 takes any free port; None serves no metrics.
    """

    concurrency: Annotated[int, Field(gt=0, le=256)] = 16
    max_wait_s: Annotated[float, Field(ge=0, le=5)] = 0.5
    republish_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = 0


class SchedulerSettings(Section):
    """How often the scheduler looks.

    Attributes:
        release_interval_s: between two releases of what is due.
        instruments_interval_s: between two refreshes of the instrument rules.
        clock_interval_s: between two measurements of the exchange's clock.
        reconcile_interval_s: between two comparisons of an account with the exchange, quota permitting.
        gauges_interval_s: between two readings of the gauges.
        lock_timeout_s: a scheduler that died is replaced after so long.
    """

    release_interval_s: Annotated[float, Field(ge=0.05, le=60)] = 0.25
    instruments_interval_s: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    clock_interval_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    reconcile_interval_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    gauges_interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    lock_timeout_s: Annotated[int, Field(ge=5, le=600)] = 15


class StreamSettings(Section):
    """How the private streams are followed.

    Attributes:
        ping_interval_s: between two pings. Source: Bybit V5 WebSocket connect page, advice of 20.
        pong_timeout_s: how long a pong may take; a silent stream is noticed after both together.
        stale_s: how long the first event of an order may lag behind its acknowledgement; a stream that shows none
            by then is dead, whatever it answers.
        glance_s: a stream that told of no order for so long is checked against the open orders by REST; a dead one
            is noticed 5 s later.
        backoff_base_s: longest wait before the first reconnect; it doubles with each that fails.
        backoff_cap_s: longest wait between two reconnects.
        connects_per_5_minutes: new connections of all processes of one egress; Bybit refuses more than 500.
        lease_s: an account whose stream process died is taken over after so long.
        look_s: an order that the stream has shown is looked at by REST not before; the net under the stream.
    """

    ping_interval_s: Annotated[float, Field(ge=0.2, le=60)] = 20.0
    pong_timeout_s: Annotated[float, Field(ge=0.2, le=30)] = 5.0
    stale_s: Annotated[float, Field(ge=1, le=120)] = 10.0
    glance_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    backoff_base_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    backoff_cap_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    connects_per_5_minutes: Annotated[int, Field(gt=0, le=450)] = 240
    lease_s: Annotated[float, Field(ge=1, le=60)] = 5.0
    look_s: Annotated[float, Field(ge=1, le=3600)] = 120.0

    def to_beat(self) -> Beat:
        """Return the rhythm as the domain wants it."""
        return Beat(ping_s=self.ping_interval_s, pong_s=self.pong_timeout_s)
