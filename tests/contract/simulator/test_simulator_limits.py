"""The UID limits with their headers, and the IP limit with its ban."""

from __future__ import annotations

import time

import requests
from exchange_driver import RESTING, Answer, Exchange, Signer, eventually

CREATE = "/v5/order/create"


def codes(answers: list[Answer]) -> list[int]:
    """Return the retCodes of a burst."""
    return [answer.json()["retCode"] for answer in answers]


def orders(count: int, **changes: object) -> list[dict]:
    """Return that many resting orders."""
    return [{**RESTING, **changes}] * count


def test_uid_limit_admits_exactly_its_number_then_answers_10006(exchange: Exchange, client: Signer):
    """Ten creates in a rolling second pass; the eleventh is refused and leaves no order."""
    answers = client.burst(CREATE, orders(15))
    assert codes(answers) == [0] * 10 + [10006] * 5
    remaining = [int(answer.headers["x-bapi-limit-status"]) for answer in answers]
    assert remaining == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0]
    assert len(exchange.orders(uid=1001)) == 10


def test_uid_limit_reset_header_tells_when_a_unit_is_free(client: Signer):
    """On 10006 the reset instant lies up to a second ahead, and a request after it passes."""
    answers = client.burst(CREATE, orders(11))
    first, refused = answers[0], answers[-1]
    reset_ms = int(refused.headers["x-bapi-limit-reset-timestamp"])
    assert 0 < reset_ms - refused.json()["time"] <= 1000
    assert abs(int(first.headers["x-bapi-limit-reset-timestamp"]) - first.json()["time"]) <= 1
    eventually(lambda: time.time() * 1000 >= reset_ms)
    assert client.create()["retCode"] == 0


def test_uid_limit_business_lines_have_their_own_buckets(client: Signer):
    """Linear and inverse share ten, spot has twenty, option ten, other endpoints their own."""
    inverse = orders(6, category="inverse", symbol="BTCUSD", qty="100")
    assert codes(client.burst(CREATE, orders(6) + inverse)) == [0] * 10 + [10006] * 2
    assert codes(client.burst(CREATE, orders(21, category="spot"))) == [0] * 20 + [10006]
    option = {**RESTING, "category": "option", "symbol": "BTC-26MAR27-60000-C-USDT", "qty": "0.1", "price": "1000"}
    options = [{**option, "orderLinkId": f"o-{n}"} for n in range(11)]
    assert codes(client.burst(CREATE, options)) == [0] * 10 + [10006]
    linear = client.post("/v5/order/cancel-all", category="linear", symbol="BTCUSDT").json()
    assert linear["retCode"] == 0
    assert codes(client.burst("/v5/order/cancel-all", [{"category": "option"}] * 2)) == [0, 10006]


def test_uid_limit_queries_share_one_bucket_over_categories(client: Signer):
    """Fifty order queries a second, whatever their category."""
    queries = [{"category": category} for category in ("spot", "inverse", "option")] * 17
    assert codes(client.burst("/v5/order/realtime", queries, "GET")) == [0] * 50 + [10006]


def test_uid_limit_accounts_are_apart(exchange: Exchange):
    """One UID's traffic does not touch another's limit."""
    exchange.signer(1001).burst(CREATE, orders(11))
    assert exchange.signer(1002).create()["retCode"] == 0


def test_uid_limit_headers_come_with_every_signed_answer(client: Signer):
    """Refused by business rules or accepted: the three headers are there."""
    answer = client.post("/v5/order/create", **{**RESTING, "qty": "0.0001"})
    names = ("X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp")
    assert answer.json()["retCode"] == 10001
    assert all(name in answer.headers for name in names)


def test_uid_limit_can_be_set_for_one_account(exchange: Exchange, client: Signer):
    """POST /simulator/limits changes the limit, and the header shows it."""
    exchange.control("limits", uid=1001, endpoint="/v5/order/create", category="linear", limit=3)
    answers = client.burst(CREATE, orders(4))
    assert codes(answers) == [0, 0, 0, 10006]
    assert answers[0].headers["x-bapi-limit"] == "3"
    exchange.control("limits", uid=1001, endpoint="/v5/order/create", category="linear", limit=None)
    assert client.create()["retCode"] == 0


def test_uid_limit_fixed_windows_start_afresh_every_second(exchange: Exchange, client: Signer):
    """In fixed mode twice the limit fits around the turn of a second."""
    exchange.control("limits", window="fixed")
    refused = next(answer for answer in client.burst(CREATE, orders(25)) if answer.json()["retCode"])
    turn_ms = int(refused.headers["x-bapi-limit-reset-timestamp"])
    given = []
    for start_ms in (turn_ms + 700, turn_ms + 1005):
        eventually(lambda start_ms=start_ms: time.time() * 1000 >= start_ms)
        given += codes(client.burst(CREATE, orders(10)))
    assert given == [0] * 20


def test_uid_limit_stats_tell_arrivals_and_admissions_apart(exchange: Exchange, client: Signer):
    """The statistics count what arrived, what was admitted, and each code."""
    client.burst(CREATE, orders(13))
    client.create(category="spot")
    stats = exchange.stats()["uids"]["1001"]
    linear = stats["/v5/order/create linear"]
    assert linear == {
        "requests": 13, "accepted": 10, "ret_codes": {"0": 10, "10006": 3},
        "max_per_second": 13, "max_admitted_per_second": 10, "limit": 10,
    }  # fmt: skip
    assert stats["/v5/order/create spot"]["requests"] == 1


def test_ip_limit_bans_after_600_requests_in_five_seconds(exchange: Exchange, client: Signer):
    """The 601st request gets HTTP 403 without JSON, and so does everything after it; /simulator stays open."""
    exchange.control("limits", ip_limit=600, ip_window_s=5, ip_ban_s=600)
    statuses = [answer.status for answer in client.burst("/v5/market/time", [{}] * 601, "GET")]
    assert statuses == [200] * 600 + [403]
    refused = client.post("/v5/order/create", **RESTING)
    assert (refused.status_code, refused.text) == (403, "access too frequent")
    seen = exchange.stats()["ips"]["127.0.0.1"]
    assert (seen["max_per_5_seconds"], seen["refused"]) == (602, 2)
    assert 590 < seen["banned_for_s"] <= 600
    exchange.control("limits", ip_limit=None)
    assert client.create()["retCode"] == 0


def test_ip_limit_ban_ends_by_itself(exchange: Exchange):
    """A ban that nobody prolongs is over after its time."""
    exchange.control("limits", ip_limit=2, ip_window_s=0.05, ip_ban_s=0.3)
    session = requests.Session()
    burst = exchange.signer().burst("/v5/market/time", [{}] * 3, "GET")
    assert [answer.status for answer in burst] == [200, 200, 403]
    eventually(lambda: exchange.stats()["ips"]["127.0.0.1"]["banned_for_s"] == 0)
    assert session.get(exchange.url + "/v5/market/time", timeout=5).status_code == 200


def test_ip_limit_is_on_by_default(exchange: Exchange):
    """A fresh exchange has the real limit: 600 per 5 s, banned for 10 minutes."""
    exchange.control("reset")
    limits = exchange.control("limits", window="rolling")
    assert (limits["ip_limit"], limits["ip_window_s"], limits["ip_ban_s"]) == (600, 5.0, 600.0)
