"""Beat: of several scheduler processes one ticks; another takes over when it is gone."""

from __future__ import annotations

import threading
from typing import Any

import redis
import structlog
from celery import Celery, signals
from celery.beat import Service
from kombu.utils.url import maybe_sanitize_url
from redbeat import RedBeatScheduler

log = structlog.get_logger(__name__)

RESTART_S = 1.0


def connect(app: Celery, address: str) -> None:
    """Give RedBeat its client of the broker ready made; the app's configuration then holds no password.

    Celery tells its configuration to whoever asks over the broker, and hides only the names it knows itself.

    Args:
        app: whose Beat is to tick.
        address: URL of the broker, password included.
    """
    app.conf.update(redbeat_redis_url=maybe_sanitize_url(address), redbeat_redis_options={})
    app.redbeat_redis = redis.Redis.from_url(
        address, decode_responses=True, socket_timeout=5, socket_connect_timeout=3
    )


class SureScheduler(RedBeatScheduler):  # type: ignore[misc]
    """Writes its schedule once more when it has the lock.

    RedBeat writes it before it waits for the lock. When Redis was emptied in between, the schedule was gone with
    the lock that it waited for, and Beat ticked for ever without anything to do.
    """

    _is_written = False

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Do what is due; return how long nothing will be, seconds."""
        if not self._is_written:
            self.setup_schedule()
            self._is_written = True
        return float(super().tick(*arguments, **options))


class BeatThread(threading.Thread):
    """Runs Celery Beat with RedBeat's lock, and starts it anew when it falls.

    Beat falls when its lock is lost: Redis restarted, was emptied, or this process was stopped for too long.

    Args:
        app: with `beat_schedule` and the RedBeat settings.
    """

    def __init__(self, app: Celery) -> None:
        super().__init__(name="beat", daemon=True)
        self._app = app
        self._stopped = threading.Event()
        self._service: Service | None = None

    def run(self) -> None:
        """Tick until stopped."""
        while not self._stopped.is_set():
            try:
                self._service = Service(self._app, scheduler_cls=SureScheduler)
                self._tick(self._service)
            except Exception as e:  # noqa: BLE001 - whatever ends Beat, it must tick again
                log.warning("beat_fell", error=repr(e), then="started again")
            self._stopped.wait(RESTART_S)

    def _tick(self, service: Service) -> None:
        _ = service.scheduler  # loads RedBeat, whose `beat_init` handler waits for the lock; ours runs after it
        signals.beat_init.connect(_say_ticking, weak=False, dispatch_uid="sluicegate.beat")
        service.start()

    def stop(self) -> None:
        """Stop ticking and give the lock up."""
        self._stopped.set()
        if self._service is not None:
            self._service.stop()


def _say_ticking(**_arguments: Any) -> None:
    log.info("beat_ticks")
