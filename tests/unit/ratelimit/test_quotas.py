"""Bybit's rate limits: the figure of every endpoint that Sluicegate calls."""

import pytest

from sluicegate.domain.errors import ConfigurationError, SluicegateError
from sluicegate.ratelimit.quotas import (
    IP_BAN_S,
    IP_LIMIT,
    IP_WINDOW_S,
    TIERS,
    Cost,
    Line,
    QuotaTable,
    UnknownEndpoint,
)

ORDER, REQUEST = Cost.PER_ORDER, Cost.PER_REQUEST
FUTURES, SPOT, OPTION, ALL = Line.LINEAR_INVERSE, Line.SPOT, Line.OPTION, Line.ALL
HEADER = "method,path,line,limit_per_second,cost,notes"
ROW = "POST,/v5/order/create,spot,20,per_request,"

EXPECTED = [
    ("/v5/order/create", "linear", FUTURES, 10, REQUEST),
    ("/v5/order/create", "inverse", FUTURES, 10, REQUEST),
    ("/v5/order/create", "option", OPTION, 10, REQUEST),
    ("/v5/order/create", "spot", SPOT, 20, REQUEST),
    ("/v5/order/amend", "linear", FUTURES, 10, REQUEST),
    ("/v5/order/amend", "inverse", FUTURES, 10, REQUEST),
    ("/v5/order/amend", "option", OPTION, 10, REQUEST),
    ("/v5/order/amend", "spot", SPOT, 10, REQUEST),
    ("/v5/order/cancel", "linear", FUTURES, 10, REQUEST),
    ("/v5/order/cancel", "inverse", FUTURES, 10, REQUEST),
    ("/v5/order/cancel", "option", OPTION, 10, REQUEST),
    ("/v5/order/cancel", "spot", SPOT, 20, REQUEST),
    ("/v5/order/cancel-all", "linear", FUTURES, 10, REQUEST),
    ("/v5/order/cancel-all", "inverse", FUTURES, 10, REQUEST),
    ("/v5/order/cancel-all", "option", OPTION, 1, REQUEST),
    ("/v5/order/cancel-all", "spot", SPOT, 20, REQUEST),
    ("/v5/order/create-batch", "linear", FUTURES, 10, ORDER),
    ("/v5/order/create-batch", "inverse", FUTURES, 10, ORDER),
    ("/v5/order/create-batch", "option", OPTION, 10, REQUEST),
    ("/v5/order/create-batch", "spot", SPOT, 20, ORDER),
    ("/v5/order/amend-batch", "linear", FUTURES, 10, ORDER),
    ("/v5/order/amend-batch", "option", OPTION, 10, REQUEST),
    ("/v5/order/amend-batch", "spot", SPOT, 20, ORDER),
    ("/v5/order/cancel-batch", "linear", FUTURES, 10, ORDER),
    ("/v5/order/cancel-batch", "option", OPTION, 10, REQUEST),
    ("/v5/order/cancel-batch", "spot", SPOT, 20, ORDER),
    ("/v5/order/realtime", "linear", ALL, 50, REQUEST),
    ("/v5/order/realtime", "spot", ALL, 50, REQUEST),
    ("/v5/order/history", "option", ALL, 50, REQUEST),
    ("/v5/execution/list", "inverse", ALL, 50, REQUEST),
    ("/v5/position/list", "linear", ALL, 50, REQUEST),
    ("/v5/position/set-leverage", "linear", FUTURES, 10, REQUEST),
    ("/v5/position/set-leverage", "inverse", FUTURES, 10, REQUEST),
    ("/v5/position/switch-mode", "linear", FUTURES, 10, REQUEST),
    ("/v5/account/wallet-balance", None, ALL, 50, REQUEST),
    ("/v5/account/info", None, ALL, 50, REQUEST),
    ("/v5/user/query-api", None, ALL, 10, REQUEST),
]


@pytest.fixture(scope="module")
def table() -> QuotaTable:
    """Load the table that ships."""
    return QuotaTable.load()


@pytest.mark.parametrize(("path", "category", "line", "limit", "cost"), EXPECTED)
def test_quota_for_each_endpoint_is_the_documented_one(table, path, category, line, limit, cost):
    """Limit, shared line and cost of each endpoint are Bybit's."""
    quota = table.quota_for(path, category)
    assert (quota.line, quota.limit_per_second, quota.cost) == (line, limit, cost)


def test_table_as_shipped_has_no_row_without_an_expectation(table):
    """A new row needs an expected figure here, so that no limit comes in unread."""
    assert {(quota.path, quota.line) for quota in table.all()} == {(path, line) for path, _, line, *_ in EXPECTED}


@pytest.mark.parametrize("path", ["/v5/market/time", "/v5/market/instruments-info", "/v5/market/tickers"])
def test_quota_for_market_data_is_none(table, path):
    """Public endpoints have no UID limit: only the IP limit counts."""
    assert table.quota_for(path, "linear") is None
    assert path in table.ip_only()


def test_quota_for_an_unknown_path_says_what_to_do(table):
    """An endpoint without a known limit is not called; the error is ours and a LookupError."""
    with pytest.raises(UnknownEndpoint, match=r"/v5/order/magic.*quotas\.csv") as raised:
        table.quota_for("/v5/order/magic", "linear")
    assert isinstance(raised.value, LookupError)
    assert isinstance(raised.value, SluicegateError)


@pytest.mark.parametrize("category", [None, "", "futures", "spot"])
def test_quota_for_a_category_without_a_limit_is_refused(table, category):
    """A missing, unknown or unfitting category is an error that names the lines there are."""
    with pytest.raises(UnknownEndpoint, match="linear_inverse"):
        table.quota_for("/v5/position/set-leverage", category)


def test_tokens_for_a_batch_count_orders_or_requests(table):
    """A batch takes a token for each order on futures and spot, but one for the whole request on options."""
    assert table.quota_for("/v5/order/create-batch", "linear").tokens_for(7) == 7
    assert table.quota_for("/v5/order/create-batch", "option").tokens_for(7) == 1
    assert table.quota_for("/v5/order/create", "spot").tokens_for() == 1


@pytest.mark.parametrize(
    ("tier", "futures", "option", "spot"),
    [
        ("default", 10, 10, 20),
        ("VIP1", 20, 20, 25),
        ("VIP2", 40, 40, 30),
        ("VIP3", 60, 60, 40),
        ("VIP4", 60, 60, 40),
        ("VIP5", 60, 60, 40),
        ("SUPREME", 60, 60, 40),
        ("PRO1", 200, 200, 200),
        ("PRO2", 400, 400, 400),
        ("PRO3", 600, 600, 600),
        ("PRO4", 800, 800, 800),
        ("PRO5", 1000, 1000, 1000),
        ("PRO6", 1200, 1200, 1200),
        ("MM1", 600, 600, 600),
        ("MM2", 800, 800, 800),
        ("MM3", 1000, 1000, 1000),
    ],
)
def test_quota_for_a_tier_raises_the_order_limits(table, tier, futures, option, spot):
    """A tier changes what an order endpoint may take, line by line."""
    limits = [
        table.quota_for("/v5/order/create", category, tier=tier).limit_per_second
        for category in ("linear", "option", "spot")
    ]
    assert limits == [futures, option, spot]


def test_tiers_tested_are_all_tiers():
    """No tier is without a test: one default, six VIP levels, six PRO levels, three market-maker levels."""
    assert len(TIERS) == 16


@pytest.mark.parametrize(
    ("path", "category", "limit"),
    [
        ("/v5/order/amend", "spot", 10),
        ("/v5/order/cancel-all", "option", 1),
        ("/v5/order/realtime", "linear", 50),
        ("/v5/position/set-leverage", "linear", 10),
    ],
)
def test_quota_for_a_tier_leaves_other_limits_alone(table, path, category, limit):
    """Queries, position calls and endpoints with a figure of their own do not follow the tier."""
    assert table.quota_for(path, category, tier="PRO6").limit_per_second == limit


def test_quota_for_an_unknown_tier_is_refused(table):
    """A misspelt tier is a configuration error, not the default."""
    with pytest.raises(ConfigurationError, match="vip1"):
        table.quota_for("/v5/order/create", "linear", tier="vip1")


def test_ip_limit_is_the_documented_one():
    """600 requests in 5 seconds from an IP, and 10 minutes of silence after a breach."""
    assert (IP_LIMIT, IP_WINDOW_S, IP_BAN_S) == (600, 5, 600)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (ROW, r"line 3: /v5/order/create spot is there twice"),
        ("POST,/v5/x,moon,20,per_request,", r"line 3: 'moon'"),
        ("POST,/v5/x,moon,,per_request,", r"line 3: 'moon'"),
        ("POST,/v5/x,spot,many,per_request,", r"line 3: .*'many'"),
        ("POST,/v5/x,spot,0,per_request,", r"line 3: .*positive"),
        ("POST,/v5/x,spot,20,per_moon,", r"line 3: 'per_moon'"),
        ("POST,/v5/x,spot,20", r"line 3: the row must have 6 fields"),
    ],
)
def test_from_csv_with_a_bad_row_names_its_line(row, complaint):
    """A malformed row stops the start, and the text says where it is."""
    with pytest.raises(ConfigurationError, match=complaint):
        QuotaTable.from_csv(f"{HEADER}\n{ROW}\n{row}")


def test_from_csv_with_other_columns_is_refused():
    """Columns are read by name, so a renamed one is an error."""
    with pytest.raises(ConfigurationError, match="line 1"):
        QuotaTable.from_csv("path,limit\n/v5/x,1")
