"""The demo, as anyone runs it first."""

from __future__ import annotations

import json
from pathlib import Path

from stack_process import living, run, wait_until


def test_demo_accounts_for_every_order_and_leaves_nothing_running(tmp_path: Path):
    """Exit status 0 means: ledger and exchange agree, every error of the day came out as it must."""
    home = tmp_path / "var"
    done = run(home, "demo", "--json", timeout_s=280)
    assert 0 == done.returncode, done.stderr
    summary = json.loads(done.stdout)
    assert summary["ok"]
    assert [] == summary["problems"]
    assert {"ledger": 317, "agree": True, "differences": []} == {
        name: summary["comparison"][name] for name in ("ledger", "agree", "differences")
    }
    reasons = {letter["reason"] for letter in summary["dead_letters"]}
    assert reasons >= {"quantity_off_step", "unknown_symbol", "insufficient_balance", "wrong_settle_coin"}
    assert ["halt:account:readonly", "halt:account:wrongenv"] == sorted(page["key"] for page in summary["pages"])
    assert 0 == summary["limiter"]["unexpected_10006"]
    assert summary["ret_codes"]["10006"] >= 1  # a batch that is refused counts for each of its orders
    assert summary["ret_codes"]["net_read_timeout"] >= 1
    wait_until(lambda: not living(home), "nothing is left running", patience_s=20)


def test_demo_in_a_folder_of_someone_else_is_refused(tmp_path: Path):
    """What no demo wrote is not emptied."""
    home = tmp_path / "var"
    (home / "demo").mkdir(parents=True)
    (home / "demo" / "thesis.txt").write_text("years of work")
    done = run(home, "demo")
    assert 2 == done.returncode
    assert "will not be emptied" in done.stderr
    assert (home / "demo" / "thesis.txt").exists()
