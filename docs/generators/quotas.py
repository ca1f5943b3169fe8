"""`docs/quotas.md`: Bybit's rate limits, from `quotas.csv` and the tiers."""

from __future__ import annotations

from docs.generators.markdown import code, page, table
from sluicegate.ratelimit.quotas import DEFAULT_TIER, IP_BAN_S, IP_LIMIT, IP_WINDOW_S, TIERS, Line, QuotaTable

_INTRO = f"""A bucket stands for one limit. Per UID and endpoint it counts what arrives in any rolling second;
per public IP it counts {IP_LIMIT} requests in any rolling {IP_WINDOW_S} seconds, over all endpoints and UIDs,
beyond which Bybit answers HTTP 403 for at least {IP_BAN_S} seconds. A request takes its tokens from both or
from none. Where Bybit prints one figure for several categories, they are taken as one bucket."""

_SOURCE = """Source: Bybit V5 docs, pages "Rate Limit", "API Rate Limit Rules for VIPs" and "API Rate Limit
Rules for PROs", read 2026-07-24. Set `accounts.NAME.tier` to your tier; what Bybit answers in `X-Bapi-Limit`
wins over the table, and over `accounts.NAME.limits`, which replaces the table until then."""


def write() -> str:
    """Return the document."""
    quotas = QuotaTable.load()
    rows = [
        (
            quota.method,
            code(quota.path),
            quota.line.value,
            str(quota.limit_per_second),
            quota.cost.value.replace("_", " "),
            quota.notes,
        )
        for quota in quotas.all()
    ]
    lines = (Line.LINEAR_INVERSE, Line.OPTION, Line.SPOT)
    tiers = [(code(name), *(str(limits[line]) for line in lines)) for name, limits in TIERS.items()]
    return page(
        "Quotas",
        "sluicegate/ratelimit/quotas.csv",
        _INTRO,
        _SOURCE,
        f"## Per UID and endpoint, tier {code(DEFAULT_TIER)}",
        table(("method", "path", "line", "per second", "counts", "notes"), rows),
        "## Tiers: order endpoints, requests per second",
        table(("tier", *(line.value for line in lines)), tiers),
        "## Only the IP limit counts",
        "\n".join(f"- {code(path)}" for path in sorted(quotas.ip_only())),
    )
