"""The scheduler's tasks: idempotent; a double, late or missing tick does no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from celery import Celery

from sluicegate.bootstrap import Container
from sluicegate.config import SchedulerSettings
from sluicegate.domain.errors import SluicegateError
from sluicegate.messages import RELEASE
from sluicegate.services.faults import Faults

log = structlog.get_logger(__name__)

FOLLOW = "sluicegate.follow"
FILLS = "sluicegate.seek_fills"
RECONCILE = "sluicegate.reconcile"
REFRESH = "sluicegate.refresh_instruments"
CLOCKS = "sluicegate.measure_clocks"
REVIEW = "sluicegate.review"
REVIEW_INTERVAL_S = 5.0
FOLLOW_INTERVAL_S = 1.0
RECONCILE_TICK_S = 2.0

Done = TypeVar("Done")


def schedule(settings: SchedulerSettings) -> dict[str, dict[str, Any]]:
    """Return Beat's schedule; a tick that waited too long is dropped, for the next one does its work."""
    intervals = {
        RELEASE: settings.release_interval_s,
        FOLLOW: FOLLOW_INTERVAL_S,
        FILLS: FOLLOW_INTERVAL_S,
        REVIEW: REVIEW_INTERVAL_S,
        RECONCILE: RECONCILE_TICK_S,
        CLOCKS: settings.clock_interval_s,
        REFRESH: settings.instruments_interval_s,
    }
    return {
        task: {"task": task, "schedule": interval_s, "options": {"expires": max(2.0, 3 * interval_s)}}
        for task, interval_s in intervals.items()
    }


def register(app: Celery, container: Container) -> None:
    """Register the tasks that Beat calls.

    Args:
        app: the control worker's.
        container: its objects.
    """

    @app.task(name=RELEASE)
    def release() -> dict[str, int] | None:
        """Wake everything whose time has come."""
        return _guarded(RELEASE, lambda: _release(container))

    @app.task(name=FOLLOW)
    def follow() -> dict[str, int] | None:
        """Look at live orders whose next look is due."""
        return _guarded(FOLLOW, container.follower.follow)

    @app.task(name=FILLS)
    def fills() -> dict[str, int] | None:
        """Fetch fills that are missing."""
        return _guarded(FILLS, container.fill_seeker.seek)

    @app.task(name=REVIEW)
    def review() -> dict[str, int] | None:
        """Tell of orders that stay unknown for too long."""
        return _guarded(REVIEW, container.review.review)

    @app.task(name=RECONCILE)
    def reconcile() -> dict[str, int] | None:
        """Compare the accounts whose turn it is with the exchange."""
        return _guarded(RECONCILE, container.reconciler.reconcile)

    @app.task(name=REFRESH)
    def refresh() -> dict[str, int] | None:
        """Fetch the instrument rules of every environment."""
        return _guarded(REFRESH, lambda: refresh_instruments(container))

    @app.task(name=CLOCKS)
    def clocks() -> dict[str, float] | None:
        """Measure the exchange's clock for every account."""
        return _guarded(CLOCKS, lambda: measure_clocks(container))


def _release(container: Container) -> dict[str, int]:
    done = container.releaser.release()
    container.metrics.set("scheduler_last_release_timestamp_seconds", {}, container.clock.now().timestamp())
    return done


def refresh_instruments(container: Container) -> dict[str, int]:
    """Fetch the instrument rules of every environment into the cache; returns counts by environment."""
    counts: dict[str, int] = {}
    faults = Faults()
    for environment in container.accounts.environments():
        try:
            with faults.apart(REFRESH, environment=environment.value):
                counts[environment.value] = container.accounts.market(environment).refresh()
        except SluicegateError as e:
            log.error("instruments_not_refreshed", environment=environment.value, error=str(e))
    return counts


def measure_clocks(container: Container) -> dict[str, float]:
    """Measure the exchange's clock once an environment; returns offsets in seconds by environment."""
    offsets: dict[str, float] = {}
    faults = Faults()
    for environment in container.accounts.environments():
        try:
            with faults.apart(CLOCKS, environment=environment.value):
                offsets[environment.value] = container.accounts.market(environment).measure_clock()
        except SluicegateError as e:
            log.error("clock_not_measured", environment=environment.value, error=str(e))
    for name, account in container.settings.accounts.items():
        if account.environment.value in offsets:
            container.metrics.clock_offset(name, offsets[account.environment.value])
    return offsets


def _guarded(task: str, act: Callable[[], Done]) -> Done | None:
    try:
        return act()
    except SluicegateError as e:  # the next tick tries again
        log.error("task_failed", task=task, error=type(e).__name__, message=str(e))
        return None
