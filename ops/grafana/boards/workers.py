"""Workers: the processes, who lives, who works, how fast."""

from __future__ import annotations

from ops.grafana.expressions import half_and_most, once, rate
from ops.grafana.panels import Board, Form, Panel, Query

OURS = 'job=~"sluicegate-.*"'

WORKERS = Board(
    "workers",
    "Sluicegate / Workers",
    "The processes: who lives, who works, how fast.",
    (
        Panel("Processes", "Processes that answer, by job.", (Query(f"sum by (job) (up{{{OURS}}})", "{{job}}"),)),
        Panel(
            "Orders sent by process",
            "Orders a second that each process brought onto the exchange.",
            (Query(rate("sluicegate_orders_total", "instance", 'state="live"'), "{{instance}}"),),
            Form.AREAS,
            "reqps",
        ),
        Panel(
            "Messages in the broker",
            "By queue; unacked are in workers' hands. `cancels` should be 0, `control` nearly so.",
            (Query(once("sluicegate_queue_messages", "queue"), "{{queue}}"),),
        ),
        Panel(
            "Tasks",
            "Tasks a second that ended well, as Flower counts them.",
            (Query(rate("flower_events_total", "task", 'type="task-succeeded"'), "{{task}}"),),
            unit="reqps",
        ),
        Panel(
            "Requests to the exchange",
            "From handing a request to the network to its answer.",
            half_and_most("sluicegate_exchange_request_seconds"),
            unit="s",
        ),
        Panel(
            "Clock against the exchange",
            "The exchange's clock minus the host's. All at once is Bybit or the route; one alone is a host's.",
            (
                Query("max by (account) (sluicegate_clock_offset_seconds)", "{{account}} highest"),
                Query("min by (account) (sluicegate_clock_offset_seconds)", "{{account}} lowest"),
            ),
            unit="s",
        ),
        Panel(
            "Memory",
            "Resident memory of each process.",
            (Query(f"process_resident_memory_bytes{{{OURS}}}", "{{job}} {{instance}}"),),
            unit="bytes",
        ),
        Panel(
            "Processor",
            "Cores that each process keeps busy. Near 1 it is at its end: Python runs one thread at a time.",
            (Query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Last release",
            "How long ago a scheduler last released what is due. Over 30 s is an alert.",
            (Query("time() - max(sluicegate_scheduler_last_release_timestamp_seconds)", "seconds"),),
            unit="s",
        ),
        Panel(
            "Broker and ledger",
            "1 while every scheduler reaches them.",
            (Query("min by (dependency) (sluicegate_dependency_up)", "{{dependency}}"),),
        ),
        Panel(
            "Starts",
            "Processes started anew within the last hour: more than a deployment explains is a crash loop.",
            (Query(f"sum by (job) (changes(process_start_time_seconds{{{OURS}}}[1h]))", "{{job}}"),),
        ),
        Panel(
            "Days until a key ends",
            "By account; none for keys that are bound to an IP.",
            (
                Query(
                    "(min by (account) (sluicegate_api_key_expires_timestamp_seconds) - time()) / 86400",
                    "{{account}}",
                ),
            ),
        ),
    ),
)
