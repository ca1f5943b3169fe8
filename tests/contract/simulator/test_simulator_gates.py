"""Who gets in: keys, signatures, the time window, permissions."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest
import requests
from exchange_driver import RESTING, Exchange, Process, Signer


@pytest.mark.parametrize(
    ("name", "code"),
    [("mainnet", 10003), ("unknown", 10003), ("expired", 33004), ("bound", 10010), ("readonly", 10005)],
)
def test_gate_for_a_wrong_key_answers_its_code(exchange: Exchange, name: str, code: int):
    """Every way a key can be wrong has its own code, as HTTP 200."""
    answer = exchange.signer(name).post("/v5/order/create", **RESTING)
    assert (200, code) == (answer.status_code, answer.json()["retCode"])
    assert exchange.orders() == []


def test_gate_lets_a_read_only_key_read(exchange: Exchange):
    """A read-only key may query but not trade."""
    reader = exchange.signer("readonly")
    assert reader.get("/v5/order/realtime", category="spot").json()["retCode"] == 0
    assert reader.get("/v5/user/query-api").json()["result"]["readOnly"] == 1


def test_gate_without_auth_headers_answers_401(exchange: Exchange):
    """A signed path without the auth headers is HTTP 401."""
    assert requests.get(exchange.url + "/v5/account/info", timeout=5).status_code == 401


def test_gate_for_a_bad_signature_answers_10004(client: Signer):
    """A signature by another secret is refused before anything else is looked at."""
    client.secret = "sim-secret-1002"
    assert client.create()["retCode"] == 10004


def test_gate_verifies_the_body_as_it_was_sent(client: Signer):
    """The signature covers raw bytes: the same JSON spelled otherwise does not match."""
    body = '{"category":"linear","symbol":"BTCUSDT"}'
    headers = client.headers(body)
    spaced = body.replace(":", ": ")
    answer = client.http.post(client.url + "/v5/order/cancel-all", data=spaced, headers=headers, timeout=5)
    assert answer.json()["retCode"] == 10004
    answer = client.http.post(client.url + "/v5/order/cancel-all", data=body, headers=headers, timeout=5)
    assert answer.json()["retCode"] == 0


def test_gate_verifies_the_query_as_it_was_sent(client: Signer):
    """The signature covers the query string on the wire, whatever the order of its parameters."""
    query = "symbol=BTCUSDT&category=linear&cursor=page_token%3D5&limit=3"
    url = f"{client.url}/v5/order/realtime?{query}"
    answer = client.http.get(url, headers=client.headers(query), timeout=5)
    assert answer.json()["retCode"] == 0


@pytest.mark.parametrize(("offset_ms", "code"), [(-4000, 0), (-5500, 10002), (500, 0), (1500, 10002)])
def test_gate_for_time_keeps_the_documented_window(exchange: Exchange, client: Signer, offset_ms: int, code: int):
    """A stamp may be recv_window old, but never a second ahead."""
    client.offset_ms = offset_ms
    assert client.create()["retCode"] == code


def test_gate_for_time_relaxes_only_the_past_with_a_larger_window(client: Signer):
    """A larger recv_window helps a slow clock and never a fast one."""
    client.recv_window = "20000"
    client.offset_ms = -15_000
    assert client.create()["retCode"] == 0
    client.offset_ms = 1500
    assert client.create()["retCode"] == 10002


def test_gate_for_time_follows_the_exchange_clock(exchange: Exchange, client: Signer):
    """Shifting the exchange's clock makes honest stamps stale."""
    exchange.control("clock", offset_ms=60_000)
    assert client.create()["retCode"] == 10002
    client.offset_ms = 60_000
    assert client.create()["retCode"] == 0


def test_gate_order_signature_comes_before_time(client: Signer):
    """With several things wrong the first gate answers: key, signature, then time."""
    client.secret, client.offset_ms = "wrong", -60_000
    assert client.create()["retCode"] == 10004
    client.api_key = "sim-key-none"
    assert client.create()["retCode"] == 10003


def test_gate_order_parameters_come_last(client: Signer):
    """A body that is no JSON passes signature and limit before it is refused."""
    body = "{nonsense"
    answer = client.http.post(client.url + "/v5/order/create", data=body, headers=client.headers(body), timeout=5)
    assert answer.json()["retCode"] == 10001
    assert answer.headers["X-Bapi-Limit"] == "10"


def test_gate_two_keys_of_one_uid_share_the_account(exchange: Exchange):
    """Key 1 and key 1001 belong to UID 1001 and see the same orders."""
    exchange.signer(1).create(orderLinkId="shared")
    found = exchange.signer(1001).get("/v5/order/realtime", category="linear", symbol="BTCUSDT").json()
    assert [order["orderLinkId"] for order in found["result"]["list"]] == ["shared"]


@pytest.mark.parametrize("path", ["/v5/no/such/path", "/v5/market/kline", "/", "/v5/order/create/"])
def test_gate_for_an_unknown_path_answers_404(exchange: Exchange, path: str):
    """What the exchange does not serve is HTTP 404."""
    assert requests.get(exchange.url + path, timeout=5).status_code == 404


def test_gate_forwarded_addresses_count_only_when_trusted(tmp_path):
    """X-Forwarded-For decides about bound keys only where the configuration trusts it."""
    config = tmp_path / "sim.toml"
    config.write_text("trust_forwarded = true\n")
    process = Process("--config", str(config))
    try:
        bound = Signer(process.url, "bound")
        assert bound.get("/v5/account/info").json()["retCode"] == 10010
        home = {"X-Forwarded-For": "203.0.113.7"}
        assert bound.get("/v5/account/info", headers=home).json()["retCode"] == 0
    finally:
        process.stop()


def test_gate_without_recv_window_takes_five_seconds(client: Signer):
    """A request may leave recv_window out; the string to sign then has nothing in its place."""
    stamp = str(int(time.time() * 1000))
    origin = stamp + client.api_key
    signature = hmac.new(client.secret.encode(), origin.encode(), hashlib.sha256).hexdigest()
    headers = {"X-BAPI-API-KEY": client.api_key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-SIGN": signature}
    assert client.http.get(client.url + "/v5/account/info", headers=headers, timeout=5).json()["retCode"] == 0
