"""Gauges: read from ledger, broker and buckets by each scheduler process itself."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

import structlog

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import SluicegateError
from sluicegate.domain.lifecycle import State
from sluicegate.domain.records import Question
from sluicegate.messages import QUEUES

log = structlog.get_logger(__name__)


class GaugeReader(threading.Thread):
    """Reads the gauges at an interval until the process ends.

    Args:
        container: the objects of the process.
    """

    def __init__(self, container: Container) -> None:
        super().__init__(name="gauges", daemon=True)
        self._container = container
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read until stopped."""
        interval_s = self._container.settings.scheduler.gauges_interval_s
        while not self._stopped.wait(interval_s):
            self.read()

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopped.set()

    def read(self) -> None:
        """Read every gauge once; whatever fails is logged and shows as a dependency that is down."""
        is_read = [
            self._read_from("ledger", self._read_ledger),
            self._read_from("broker", self._read_broker, self._read_buckets),
        ]
        if all(is_read):
            now_s = self._container.clock.now().timestamp()
            self._container.metrics.set("gauges_last_read_timestamp_seconds", {}, now_s)

    def _read_from(self, dependency: str, *reads: Callable[[], None]) -> bool:
        answers = 0
        for read in reads:
            try:
                read()
                answers += 1
            except SluicegateError as e:
                log.warning("gauge_not_read", reader=read.__name__, error=str(e))
            except Exception:  # the thread's edge: one that died would leave its last values standing as if true
                log.exception("gauge_not_read", reader=read.__name__)
        is_read = answers == len(reads)
        self._container.metrics.set("dependency_up", {"dependency": dependency}, float(is_read))
        return is_read

    def _read_ledger(self) -> None:
        container, metrics = self._container, self._container.metrics
        now = container.clock.now()
        backlog: dict[tuple[str, ...], float] = defaultdict(float)
        doubt = 0
        counts = container.ledger.count_orders()
        for (account, state), count in counts.items():
            if state is State.ACCEPTED:
                backlog[(account,)] += count
            if state is State.IN_DOUBT:
                doubt += count
        metrics.replace(
            "ledger_orders", {(account, state.value): count for (account, state), count in counts.items()}
        )
        for name in container.accounts.names():
            backlog.setdefault((name,), 0)
        metrics.replace("backlog_orders", backlog)
        metrics.set("in_doubt_orders", {}, doubt)
        questions: dict[tuple[str, ...], float] = dict.fromkeys(((question.value,) for question in Question), 0.0)
        for order in container.ledger.questions(limit=10_000):
            questions[(order.last_code,)] += 1
        metrics.replace("unsettled_orders", questions)
        letters = container.ledger.count_dead_letters()
        metrics.replace("dead_letters", {(reason,): count for reason, count in letters.items()})
        oldest = container.ledger.oldest_due_at(now)
        metrics.set("oldest_due_seconds", {}, 0.0 if oldest is None else (now - oldest).total_seconds())
        horizon_ms = container.ledger.oldest_horizon_ms()
        past_s = 0.0 if horizon_ms is None else now.timestamp() - horizon_ms / 1000
        metrics.set("in_doubt_past_horizon_seconds", {}, max(0.0, past_s))
        halted: dict[tuple[str, ...], float] = {
            (halt.scope.partition(":")[2], halt.code): 1.0
            for halt in container.ledger.halts()
            if halt.scope.startswith("account:")
        }
        metrics.replace("account_halted", halted)
        incidents: dict[tuple[str, ...], float] = defaultdict(float)
        for incident in container.ledger.incidents(only_open=True, limit=1000):
            incidents[(incident.severity.value,)] += 1
        metrics.replace("open_incidents", incidents)
        metrics.set("undelivered_pages", {}, container.ledger.count_undelivered_pages())

    def _read_broker(self) -> None:
        lengths = self._container.publisher.lengths()
        self._container.metrics.replace(
            "queue_messages", {(name,): lengths[name] for name in (*QUEUES, "unacked")}
        )

    def _read_buckets(self) -> None:
        tokens: dict[tuple[str, ...], float] = {}
        quotas: dict[tuple[str, ...], float] = {}
        for state in self._container.buckets.states():
            tokens[(state.name, "limit")] = state.limit
            tokens[(state.name, "free")] = state.free
            tokens[(state.name, "in_flight")] = state.in_flight
            quotas[(state.name,)] = state.limit / state.window_s
        self._container.metrics.replace("bucket_quota_per_second", quotas)
        self._container.metrics.replace("bucket_tokens", tokens)
