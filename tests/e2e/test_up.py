"""The embedded stack, driven through the command line as a person would."""

from __future__ import annotations

import base64
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from stack_process import Up, living, run, wait_until

from sluicegate.ratelimit.durability import loses_nothing

FLOWER_AUTH = "someone:some-password"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Keep one stack for the tests of this module."""
    home = tmp_path_factory.mktemp("up") / "var"
    with Up(home, "--demo-accounts", SLUICEGATE_FLOWER_AUTH=FLOWER_AUTH) as started:
        yield started


def told(stack: Up, *arguments: str, input_text: str = "") -> Any:
    """Run a command with --json and return its document."""
    done = run(stack.home, *arguments, "--json", input_text=input_text)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def fetch(url: str, authorization: str = "") -> str:
    """Get a page of this machine."""
    headers = (
        {"Authorization": "Basic " + base64.b64encode(authorization.encode()).decode()} if authorization else {}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def order(account: str, client_order_id: str, qty: str = "0.01") -> str:
    """Return an order that rests, as a line of JSON."""
    return json.dumps(
        {
            "account": account,
            "client_order_id": client_order_id,
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "order_type": "Limit",
            "qty": qty,
            "price": "59000",
        }
    )


def test_up_takes_thirty_orders_to_the_exchange(stack: Up, tmp_path: Path):
    """Submitted by the command, followed by it, listed, on the exchange once each, counted and shown."""
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(order(f"a{i % 3 + 1}", f"up-{i}") for i in range(30)))
    done = run(stack.home, "submit", str(file), "--wait", "--until", "live", "--timeout", "120", "--json")
    receipts = [json.loads(line) for line in done.stdout.splitlines()]
    assert 0 == done.returncode, done.stderr
    assert {"live"} == {receipt["state"] for receipt in receipts}
    assert set(range(1, 31)) == {receipt["line"] for receipt in receipts}

    listed = told(stack, "orders", "list", "--state", "live", "--limit", "100")
    mine = {item["order_link_id"] for item in listed if item["client_order_id"].startswith("up-")}
    there = json.loads(fetch(f"{stack.noted['simulator_url']}/simulator/orders"))["list"]
    assert sorted(mine) == sorted(x["orderLinkId"] for x in there if x["orderLinkId"] in mine)
    assert 30 == len(mine)

    shown = told(stack, "orders", "show", receipts[0]["order_id"])
    trail = [event["event"] for event in shown["timeline"] if event["event"] != "deferred"]  # no token at once
    assert ["accepted", "claimed"] == trail[:2]
    assert trail[2] in {"acknowledged", "seen_open"}  # the stream may be faster than the answer
    table = run(stack.home, "orders", "list").stdout
    assert all(receipt["order_id"] in table for receipt in receipts)
    assert max(len(line) for line in table.splitlines()) <= 100

    pages = [fetch(url) for url in stack.noted["metrics"].values()]
    assert any("sluicegate_exchange_responses_total{" in page and 'ret_code="0"' in page for page in pages)
    buckets = told(stack, "buckets")
    assert any("1001" in bucket["bucket"] and bucket["limit"] == 10 for bucket in buckets)


def test_up_broker_restarted_with_its_data_has_lost_nothing(stack: Up):
    """Each grant of the buckets is on the disk before anybody spends it, so that no window is waited for."""
    with redis.Redis.from_url(stack.noted["broker_url"]) as client:
        assert loses_nothing(client)


def test_up_shows_tasks_in_flower_behind_its_password(stack: Up):
    """Flower lists tasks by name, with the order in its arguments; without the password it shows nothing."""
    done = run(stack.home, "submit", "-", "--wait", "--until", "live", input_text=order("a1", "flower-1"))
    order_id = done.stdout.split()[0]
    url = f"{stack.noted['flower_url']}/api/tasks?limit=200"

    def shown() -> bool:
        tasks = json.loads(fetch(url, FLOWER_AUTH)).values()
        return any(t["name"] == "sluicegate.execute" and order_id in str(t["kwargs"]) for t in tasks)

    wait_until(shown, "Flower shows the task")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(url)


def test_up_dead_letter_is_replayed_with_the_fault_mended(stack: Up):
    """From the refusal to the mended order, with the link between them."""
    done = run(stack.home, "submit", "-", "--wait", input_text=order("a2", "dead-1", qty="0.0105"))
    order_id = done.stdout.split()[0]
    assert 1 == done.returncode
    assert "quantity_off_step" in done.stderr
    letter = told(stack, "dead-letters", "show", order_id)
    assert "0.010" in letter["fix"]
    bad = run(stack.home, "dead-letters", "replay", order_id, "--set", "qty=-1")
    assert 2 == bad.returncode
    receipt = told(stack, "dead-letters", "replay", order_id, "--set", "qty=0.010")
    wait_until(lambda: "live" == told(stack, "orders", "show", receipt["order_id"])["state"], "the replay is live")
    assert order_id == told(stack, "orders", "show", receipt["order_id"])["replay_of"]
    again = run(stack.home, "dead-letters", "replay", order_id)
    assert 1 == again.returncode
    assert "was replayed as" in again.stderr


def test_up_halted_account_parks_its_orders_until_it_is_resumed(stack: Up):
    """The kill switch holds orders back and lets them go on."""
    told(stack, "accounts", "halt", "a3", "--reason", "test")
    receipt = told(stack, "submit", "-", input_text=order("a3", "halted-1"))
    wait_until(lambda: "parked" == told(stack, "orders", "show", receipt["order_id"])["state"], "parked")
    [halted] = [item for item in told(stack, "accounts", "list") if item["halt"]]
    assert ("a3", "1003", "test") == (halted["name"], halted["uid"], halted["halt"]["message"])
    assert 1 == told(stack, "accounts", "resume", "a3")["released"]
    wait_until(lambda: "live" == told(stack, "orders", "show", receipt["order_id"])["state"], "live")
    changed = told(stack, "orders", "amend", receipt["order_id"], "--price", "58900")
    assert "amend" == changed["kind"]
    wait_until(
        lambda: "58900" == told(stack, "orders", "show", receipt["order_id"])["request"]["price"], "amended"
    )
    told(stack, "orders", "cancel", receipt["order_id"])
    wait_until(lambda: "cancelled" == told(stack, "orders", "show", receipt["order_id"])["state"], "cancelled")
    late = run(stack.home, "orders", "cancel", receipt["order_id"])
    assert 1 == late.returncode


def test_up_twice_under_one_home_is_refused(stack: Up):
    """Two stacks would share one folder; the second says who was first."""
    second = run(stack.home, "up", "--demo-accounts")
    assert 1 == second.returncode
    assert f"pid {stack.process.pid}" in second.stderr


def test_up_starts_a_dead_child_again(stack: Up):
    """A worker that is killed is replaced, and the console says so."""
    pid = stack.noted["children"]["orders-1"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "orders-1 started again" in stack.output(), "started again")
    assert "orders-1 ended (killed by SIGKILL)" in stack.output()


def test_up_ended_by_ctrl_c_leaves_nothing_running(stack: Up):
    """Last of this module: Ctrl-C ends every process and says so."""
    assert 0 == stack.interrupt()
    assert "nothing is left running" in stack.output()
    wait_until(lambda: not living(stack.home), "nothing is left running", patience_s=5)
    assert not (stack.home / "run" / "stack.json").exists()


def test_up_killed_leaves_nothing_running(tmp_path: Path):
    """Even SIGKILL leaves no orphan: children die with their parent."""
    with Up(tmp_path / "var", "--demo-accounts") as stack:
        assert len(living(stack.home)) >= 7
        stack.process.kill()
        stack.process.wait()
        wait_until(lambda: not living(stack.home), "nothing is left running", patience_s=20)
