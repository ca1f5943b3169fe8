"""Keys and secrets: read when they are needed, from where the settings point, and shown nowhere."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from sluicegate.config import Settings, load_settings
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.orders import Category
from sluicegate.domain.records import Severity
from sluicegate.ratelimit.quotas import TIERS, QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas

KEY, SECRET = "kEy-0123456789", "sEcReT-0123456789"


def settings_with(**account: Any) -> Settings:
    """Return settings with one account."""
    sources = {"api_key_env": "TEST_KEY", "api_secret_env": "TEST_SECRET"}
    return load_settings(accounts={"main": {"environment": "simulator", **sources, **account}})


def from_files(folder: Path, key: bytes, secret: bytes = SECRET.encode()) -> Settings:
    """Return settings whose account reads its key from files."""
    (folder / "key").write_bytes(key)
    (folder / "secret").write_bytes(secret)
    return settings_with(
        api_key_env=None,
        api_secret_env=None,
        api_key_file=folder / "key",
        api_secret_file=folder / "secret",
    )


def test_credentials_from_variables_are_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line end in a variable is not part of the key."""
    monkeypatch.setenv("TEST_KEY", f"  {KEY}\n")
    monkeypatch.setenv("TEST_SECRET", SECRET)
    read = settings_with().credentials("main")
    assert (KEY, SECRET) == (read.api_key.get_secret_value(), read.api_secret.get_secret_value())


def test_credentials_from_files_are_stripped(tmp_path: Path) -> None:
    """A line end in a file is not part of the key."""
    read = from_files(tmp_path, f"{KEY}\r\n".encode()).credentials("main")
    assert (KEY, SECRET) == (read.api_key.get_secret_value(), read.api_secret.get_secret_value())


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_credentials_without_their_variable_name_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """A variable that is missing or empty is named, with the setting that names it."""
    if value is None:
        monkeypatch.delenv("TEST_KEY", raising=False)
    else:
        monkeypatch.setenv("TEST_KEY", value)
    with pytest.raises(ConfigurationError, match=r"accounts\.main\.api_key_env .* TEST_KEY, which is not set"):
        settings_with().credentials("main")


BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b" \n ", "is empty"),
    "binary": (b"\xff\xfe" + KEY.encode(), "is no text"),
    "two_lines": (f"{KEY}\n{KEY}\n".encode(), "one word"),
    "assignment": (f"KEY = {KEY}\n".encode(), "one word"),
    "mark_of_order": (b"\xef\xbb\xbf" + KEY.encode(), "one word"),
    "letters_of_another_alphabet": ("ключ".encode(), "one word"),
    "nul": (KEY.encode() + b"\x00", "one word"),
}


@pytest.mark.parametrize(("content", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_credentials_file_with_nonsense_is_named_and_not_shown(tmp_path: Path, content: bytes, says: str) -> None:
    """What could never be sent as a header is refused at once, by name, and its content stays hidden."""
    with pytest.raises(ConfigurationError) as raised:
        from_files(tmp_path, content).credentials("main")
    said = str(raised.value)
    assert said.startswith("accounts.main.api_key_file: ")
    assert says in said
    assert str(tmp_path / "key") in said
    assert KEY not in said
    assert "\n" not in said


def test_credentials_variable_with_nonsense_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for variables."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("TEST_SECRET", f"{SECRET} {SECRET}")
    with pytest.raises(ConfigurationError) as raised:
        settings_with().credentials("main")
    assert str(raised.value).startswith("accounts.main.api_secret_env: TEST_SECRET")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere", ""])
def test_credentials_file_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are named."""
    settings = settings_with(api_key_env=None, api_key_file=tmp_path / name)
    with pytest.raises(ConfigurationError, match=r"accounts\.main\.api_key_file: cannot read "):
        settings.credentials("main")


def test_credentials_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """A file without permission is named; as root, who may read everything, it is read."""
    settings = from_files(tmp_path, KEY.encode())
    (tmp_path / "key").chmod(0)
    if os.geteuid() == 0:
        assert settings.credentials("main").api_key.get_secret_value() == KEY
        return
    with pytest.raises(ConfigurationError, match="Permission denied"):
        settings.credentials("main")


def test_secrets_show_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `repr` nor `str` nor JSON of settings and credentials shows a password or a key."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("TEST_SECRET", SECRET)
    settings = load_settings(
        accounts=dict(settings_with().accounts),
        broker_url="redis://:hunter2@127.0.0.1:6379/0",
        ledger_url="postgresql+psycopg://u:hunter2@127.0.0.1/db",
        paging={"critical": ["slack://hunter2"], "warning": ["json://hunter2"], "webhook": "https://h/hunter2"},
    )
    read = settings.credentials("main")
    shown = "".join(
        [repr(settings), str(settings), settings.model_dump_json(), repr(read), str(read), read.model_dump_json()]
    )
    assert all(secret not in shown for secret in (KEY, SECRET, "hunter2"))
    assert settings.broker_address == "redis://:hunter2@127.0.0.1:6379/0"
    assert settings.ledger_address == "postgresql+psycopg://u:hunter2@127.0.0.1/db"


def test_paging_urls_by_severity() -> None:
    """Critical URLs stand in where there is none for warnings, never the other way round."""
    both = load_settings(paging={"critical": ["a://x"], "warning": ["b://x"]}).paging
    critical = load_settings(paging={"critical": ["a://x"]}).paging
    warning = load_settings(paging={"warning": ["b://x"]}).paging
    found = [
        [url.get_secret_value() for url in paging.urls(severity)]
        for paging in (both, critical, warning)
        for severity in (Severity.CRITICAL, Severity.WARNING)
    ]
    assert [["a://x"], ["b://x"], ["a://x"], ["a://x"], [], ["b://x"]] == found


def test_running_stack_counts_only_while_its_process_lives(tmp_path: Path) -> None:
    """The addresses of an embedded stack that has ended are not used."""
    settings = load_settings(home=tmp_path)
    noted = {"broker_url": "redis://127.0.0.1:1/0", "simulator_url": "http://127.0.0.1:2"}
    settings.stack_file.parent.mkdir()
    settings.stack_file.write_text(json.dumps({**noted, "pid": os.getpid()}))
    assert (noted["broker_url"], noted["simulator_url"]) == (settings.broker_address, settings.simulator_address)
    for content in ('{"pid": 4194304999}', '{"pid": "x"}', "{}", "[]", "nonsense", '{"pid": null}'):
        settings.stack_file.write_text(content)
        assert dict(settings.running_stack()) == {}


def test_settings_survive_pickling() -> None:
    """Settings go to child processes as they are."""
    settings = settings_with()
    assert settings == pickle.loads(pickle.dumps(settings))


@pytest.mark.parametrize("tier", TIERS)
def test_tier_of_the_table_is_accepted(tier: str) -> None:
    """Every tier of the table may be configured."""
    BybitQuotas(QuotaTable.load(), settings_with(tier=tier).accounts, "default")


@pytest.mark.parametrize("tier", ["vip1", "", "VIP9", "Default"])
def test_tier_that_is_none_stops_the_start(tier: str) -> None:
    """An unknown tier is named when the quotas are built, not at the first order."""
    with pytest.raises(ConfigurationError, match=r"accounts\.main\.tier: .*use one of default, VIP1"):
        BybitQuotas(QuotaTable.load(), settings_with(tier=tier).accounts, "default")


@pytest.mark.parametrize("path", ["/v5/order/creat", "v5/order/create", "/v5/market/time", ""])
def test_limit_of_an_unknown_path_stops_the_start(path: str) -> None:
    """A limit for a path that has none would silently do nothing: it is named."""
    with pytest.raises(ConfigurationError, match=r"accounts\.main\.limits: .*/v5/order/create"):
        BybitQuotas(QuotaTable.load(), settings_with(limits={path: 5}).accounts, "default")


def test_limit_of_a_known_path_replaces_the_documented_one() -> None:
    """The account's own limit counts, for its own buckets alone."""
    quotas = BybitQuotas(QuotaTable.load(), settings_with(limits={"/v5/order/create": 7}).accounts, "here")
    own, egress = quotas.specs("main", "1001", "/v5/order/create", Category.LINEAR, orders=1)
    other, _egress = quotas.specs("other", "1002", "/v5/order/create", Category.LINEAR, orders=1)
    assert (7, 10) == (own.limit, other.limit)
    assert own.name == "simulator:1001:/v5/order/create:linear_inverse"
    assert ("egress:here", 600, 5) == (egress.name, egress.limit, egress.window_s)
    assert egress == quotas.egress()
    assert [egress] == quotas.specs("main", "1001", "/v5/market/time", None, orders=1)
