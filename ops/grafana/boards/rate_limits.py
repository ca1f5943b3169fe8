"""Rate limits: quotas, waits, 10006."""

from __future__ import annotations

from ops.grafana.expressions import ACCOUNT, half_and_most, once, rate
from ops.grafana.panels import Board, Form, Panel, Query

QUOTA = once("sluicegate_bucket_quota_per_second", "bucket")
IN_FLIGHT = once("sluicegate_bucket_tokens", "bucket", 'state="in_flight"')
LIMIT = once("sluicegate_bucket_tokens", "bucket", 'state="limit"')

RATE_LIMITS = Board(
    "rate-limits",
    "Sluicegate / Rate limits",
    "How much of each quota is used, who waits for it, and whether Bybit ever said 10006.",
    (
        Panel(
            "Share of the quota in use",
            "Tokens spent over what the bucket lets through. Near 1 the quota is the limit, and orders wait.",
            (Query(f"{rate('sluicegate_tokens_spent_total', 'bucket')} / on (bucket) {QUOTA}", "{{bucket}}"),),
            unit="percentunit",
        ),
        Panel(
            "Tokens in flight",
            "Share of a bucket's tokens that are away: spent within the last window, or reserved.",
            (Query(f"{IN_FLIGHT} / on (bucket) {LIMIT}", "{{bucket}}"),),
            unit="percentunit",
        ),
        Panel(
            "Quota",
            "Tokens a second, as the exchange told it last. A step is a change of tier.",
            (Query(QUOTA, "{{bucket}}"),),
            unit="reqps",
        ),
        Panel(
            "Waits for a token",
            "How long a granted token is waited for. Longer waits go back to the ledger and do not show here.",
            half_and_most("sluicegate_bucket_wait_seconds"),
            unit="s",
        ),
        Panel(
            "10006 within five minutes",
            "Too many visits. Sluicegate keeps to the quota, so any of it means that someone else spends it.",
            (
                Query(
                    'sum by (account, endpoint) (sluicegate:exchange_responses:last5m{ret_code="10006"})',
                    "{{account}} {{endpoint}}",
                ),
            ),
        ),
        Panel(
            "Requests by endpoint",
            "Answers a second.",
            (Query(rate("sluicegate_exchange_responses_total", "endpoint", ACCOUNT), "{{endpoint}}"),),
            Form.AREAS,
            "reqps",
        ),
    ),
)
