"""The table of return codes: complete, unambiguous, and telling for each code what to do."""

import csv
from collections import Counter
from importlib.resources import files

import pytest

from sluicegate.bybit.retcodes import DEAD_LETTER_REASONS, ORDER_PATH, UNKNOWN, RetCodeTable
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.outcomes import Action

OURS = {"transport", "elsewhere", "default"}
"""Scopes of rows that Bybit's error pages do not list."""
DOCUMENTED = 710
"""Distinct codes on Bybit's error page, docs commit 072c197."""

HEADER = "code,channel,scope,action,read_action,dead_letter_reason,name,meaning,cause,fix"
DEFAULT_ROW = "*,rest,default,resolve,dead_letter,unknown_code,unknown_code,m,c,f"
ROW = "10001,rest,http-common,dead_letter,dead_letter,bad_parameter,n,m,c,f"

KEY_CODES = {
    # the acknowledgement
    "0": Action.OK,
    # back off
    "10006": Action.BACK_OFF,
    "30035": Action.BACK_OFF,
    "170005": Action.BACK_OFF,
    "170222": Action.BACK_OFF,
    "429": Action.RESOLVE,
    "http_429": Action.RESOLVE,
    "net_connect_fail": Action.RETRY_SOON,
    "110063": Action.RETRY_SOON,
    "110079": Action.RETRY_SOON,
    "170191": Action.RETRY_SOON,
    # the clock
    "10002": Action.RESYNC_CLOCK,
    "-1": Action.RESYNC_CLOCK,
    # in doubt
    "10000": Action.RESOLVE,
    "10014": Action.RESOLVE,
    "10016": Action.RESOLVE,
    "170001": Action.RESOLVE,
    "170007": Action.RESOLVE,
    "170146": Action.RESOLVE,
    "170147": Action.RESOLVE,
    "170149": Action.RESOLVE,
    "http_5xx": Action.RESOLVE,
    "net_read_timeout": Action.RESOLVE,
    "net_reset_or_aborted": Action.RESOLVE,
    "json_decode_error": Action.RESOLVE,
    # ours already, or ended already
    "110072": Action.RESOLVE,
    "170141": Action.RESOLVE,
    "110001": Action.RESOLVE,
    "110008": Action.RESOLVE,
    "110010": Action.RESOLVE,
    "170213": Action.RESOLVE,
    "40004": Action.RESOLVE,
    # as wanted already
    "110025": Action.OK,
    "110026": Action.OK,
    "110043": Action.OK,
    "34040": Action.OK,
    "170190": Action.OK,
    # never as it stands
    "10001": Action.DEAD_LETTER,
    "10017": Action.DEAD_LETTER,
    "10029": Action.DEAD_LETTER,
    "30208": Action.DEAD_LETTER,
    "30209": Action.DEAD_LETTER,
    "110003": Action.DEAD_LETTER,
    "110004": Action.DEAD_LETTER,
    "110007": Action.DEAD_LETTER,
    "110017": Action.DEAD_LETTER,
    "110020": Action.DEAD_LETTER,
    "110057": Action.DEAD_LETTER,
    "110061": Action.DEAD_LETTER,
    "110094": Action.DEAD_LETTER,
    "170121": Action.DEAD_LETTER,
    "170131": Action.DEAD_LETTER,
    "170136": Action.DEAD_LETTER,
    "170137": Action.DEAD_LETTER,
    "170140": Action.DEAD_LETTER,
    "http_400": Action.DEAD_LETTER,
    "http_404": Action.DEAD_LETTER,
    # nothing passes for this account
    "10003": Action.HALT_ACCOUNT,
    "10004": Action.HALT_ACCOUNT,
    "10005": Action.HALT_ACCOUNT,
    "10007": Action.HALT_ACCOUNT,
    "10008": Action.HALT_ACCOUNT,
    "10009": Action.HALT_ACCOUNT,
    "10010": Action.HALT_ACCOUNT,
    "10024": Action.HALT_ACCOUNT,
    "10027": Action.HALT_ACCOUNT,
    "10028": Action.HALT_ACCOUNT,
    "100028": Action.HALT_ACCOUNT,
    "33004": Action.HALT_ACCOUNT,
    "-2015": Action.HALT_ACCOUNT,
    "110080": Action.HALT_ACCOUNT,
    "110123": Action.HALT_ACCOUNT,
    "http_401": Action.HALT_ACCOUNT,
    "tls_verify_failed": Action.HALT_ACCOUNT,
    # nothing passes from this address
    "http_403": Action.HALT_IP,
}


@pytest.fixture(scope="module")
def table() -> RetCodeTable:
    """Load the table that ships."""
    return RetCodeTable.load()


def test_table_against_the_docs_holds_every_code(table):
    """Every code that Bybit documents is there, each counted once however many meanings it has."""
    assert len({row.code for row in table.all() if row.scope not in OURS}) == DOCUMENTED


@pytest.mark.parametrize(("code", "action"), KEY_CODES.items())
def test_lookup_of_key_codes_gives_the_decided_action(table, code, action):
    """The codes that decide about money call for what the architecture says."""
    assert table.lookup(code).action is action


@pytest.mark.parametrize("code", ["3400045", "182120", "100016", "10403", "20001"])
def test_explain_of_codes_missing_on_the_error_page_finds_them(table, code):
    """Codes that Bybit shows only in examples are known too."""
    assert [row.scope for row in table.explain(code)] == ["elsewhere"]


def test_texts_of_the_order_path_are_all_different(table):
    """No two codes of the order path share a meaning, a fix or a name: each text is about its code."""
    rows = [row for row in table.all() if row.scope in (*ORDER_PATH, "ws")]
    for column in ("name", "meaning", "fix"):
        counted = Counter(getattr(row, column) for row in rows)
        assert [text for text, times in counted.items() if times > 1] == []


def test_texts_of_every_row_are_sentences(table):
    """Every text is a sentence that says something, on one line."""
    for row in table.all():
        for text in (row.meaning, row.cause, row.fix):
            assert text.endswith(".")
            assert len(text.split()) > 2
            assert "\n" not in text
        assert row.name.isidentifier()
        assert row.name == row.name.lower()


def test_reasons_in_use_are_exactly_the_closed_set(table):
    """The reasons are a metric label: few, declared, and none declared in vain."""
    assert {row.dead_letter_reason for row in table.all()} - {""} == DEAD_LETTER_REASONS
    assert len(DEAD_LETTER_REASONS) <= 20


def test_rows_in_the_file_are_sorted_by_scope_then_code(table):
    """A stable order keeps changes of the file readable."""
    scopes = list(dict.fromkeys(row.scope for row in table.all()))
    numbers = [int(row.code) for row in table.all() if row.scope == "spot"]
    assert [row.scope for row in table.all()] == sorted((row.scope for row in table.all()), key=scopes.index)
    assert numbers == sorted(numbers)


def test_file_as_shipped_is_plain_csv():
    """UTF-8, LF, quotes only where needed: another program can read and write it without a difference."""
    raw = files("sluicegate.bybit").joinpath("retcodes.csv").read_bytes()
    rows = list(csv.reader(raw.decode("utf-8").splitlines()))
    assert b"\r" not in raw
    assert rows[0] == HEADER.split(",")
    assert {len(row) for row in rows} == {10}


@pytest.mark.parametrize("code", [999999, "999999", "-7"])
def test_lookup_of_an_unknown_code_resolves_writes_and_gives_up_reads(table, code):
    """Nobody knows whether an unknown code left an order live, so a write is never called dead at once."""
    write, read = table.lookup(code), table.lookup(code, is_write=False)
    assert (write.code, write.action, write.dead_letter_reason) == (UNKNOWN, Action.RESOLVE, "unknown_code")
    assert (read.code, read.action) == (UNKNOWN, Action.DEAD_LETTER)
    assert not write.is_known
    assert table.explain(code) == ()


def test_lookup_of_an_unknown_channel_gives_the_default(table):
    """A channel without a table of its own falls back to the default row, not to an error."""
    assert table.lookup(10001, channel="fix").code == UNKNOWN


def test_lookup_of_10003_depends_on_the_channel(table):
    """10003 is a wrong key on REST and too many sessions on the trade WebSocket."""
    assert table.lookup(10003).name == "api_key_invalid"
    assert table.lookup(10003, channel="ws").name == "ws_too_many_sessions"
    assert [row.channel for row in table.explain(10003)] == ["rest", "ws"]


def test_lookup_of_10016_in_doubt_on_both_channels(table):
    """A server error leaves a write in doubt wherever it is seen; a REST read may simply be repeated."""
    assert table.lookup(10016).action is Action.RESOLVE
    assert table.lookup(10016, channel="ws").action is Action.RESOLVE
    assert table.lookup(10016, is_write=False).action is Action.RETRY_SOON


def test_lookup_of_429_tells_code_from_status(table):
    """429 is a code of the trading service and a status of the gateway; neither is our own quota."""
    assert table.lookup(429).name == "trading_service_busy"
    assert table.lookup(429, channel="http").name == "http_system_busy"
    assert {row.channel for row in table.explain(429)} == {"rest", "http"}


def test_lookup_on_the_trade_websocket_knows_order_codes(table):
    """The trade WebSocket answers with REST's order codes as well, but REST never with the WebSocket's own."""
    assert table.lookup(110072, channel="ws").name == "order_link_id_duplicate"
    assert table.lookup(10404, channel="ws").name == "ws_unknown_op"
    assert table.lookup(10404).code == UNKNOWN


@pytest.mark.parametrize("status", ["400", "401", "403", "404"])
def test_http_status_under_its_two_names_has_one_row(table, status):
    """A status reads the same as number and as transport condition, on every channel."""
    number, condition = table.lookup(status), table.lookup(f"http_{status}", channel="net")
    assert (number.action, number.read_action, number.fix) == (
        condition.action,
        condition.read_action,
        condition.fix,
    )


def test_lookup_of_a_code_of_many_scopes_is_first_in_the_file(table):
    """Outside the order path one number means several things; the lookup is stable, explain gives them all."""
    assert table.lookup(700001).scope == "asset"
    assert [row.scope for row in table.explain(700001)] == ["asset", "asset-small-balance", "prediction"]


def test_lookup_of_a_code_with_two_scopes_prefers_the_order_path():
    """Where a number means one thing for orders and another elsewhere, the meaning for orders wins."""
    earn, spot = ROW.replace("http-common", "earn"), ROW.replace("http-common", "spot")
    table = RetCodeTable.from_csv(f"{HEADER}\n{DEFAULT_ROW}\n{earn}\n{spot}")
    assert table.lookup(10001).scope == "spot"
    assert [row.scope for row in table.explain(10001)] == ["spot", "earn"]


def test_lookup_for_reads_gives_the_action_of_a_read(table):
    """For a query `action` is the read action: a server timeout is repeated, not resolved."""
    assert table.lookup(10000, is_write=False).action is Action.RETRY_SOON
    assert table.lookup(110001, is_write=False).action is Action.OK


def test_actions_that_halt_halt_reads_too(table):
    """A key that cannot write cannot read either."""
    halts = {Action.HALT_ACCOUNT, Action.HALT_IP}
    assert [row for row in table.all() if row.action in halts and row.read_action is not row.action] == []


def test_order_path_rows_with_one_channel_never_share_a_code(table):
    """On REST no code of the order path has two meanings, so that the lookup cannot choose wrongly."""
    codes = Counter(row.code for row in table.all() if row.scope in ORDER_PATH and row.channel == "rest")
    assert [code for code, times in codes.items() if times > 1] == []


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (ROW, r"line 4: 10001 rest http-common is on line 3"),
        ("1,rest,spot,explode,ok,,n,m,c,f", r"line 4: action: 'explode' is no action"),
        ("1,rest,spot,ok,explode,,n,m,c,f", r"line 4: read_action: 'explode' is no action"),
        ("1,rest,spot,ok,ok,,n,,c,f", r"line 4: meaning must not be empty"),
        ("1,rest,spot,ok,ok,,n,m,c", r"line 4: the row must have 10 fields"),
        ("1,rest,spot,ok,ok,,n,m,c,f,g", r"line 4: the row must have 10 fields"),
        ("1,rest,spot,dead_letter,ok,,n,m,c,f", r"line 4: a reason belongs"),
        ("1,rest,spot,ok,ok,bad_parameter,n,m,c,f", r"line 4: a reason belongs"),
        ("1,rest,spot,dead_letter,ok,whim,n,m,c,f", r"line 4: 'whim' is no dead-letter reason"),
    ],
)
def test_from_csv_with_a_bad_row_names_its_line(row, complaint):
    """A malformed row stops the start, and the text says where it is."""
    with pytest.raises(ConfigurationError, match=complaint):
        RetCodeTable.from_csv(f"{HEADER}\n{DEFAULT_ROW}\n{ROW}\n{row}")


def test_from_csv_without_the_default_row_is_refused():
    """Without a row for unknown codes the table would have to guess."""
    with pytest.raises(ConfigurationError, match="unknown codes"):
        RetCodeTable.from_csv(f"{HEADER}\n{ROW}")


def test_from_csv_with_other_columns_is_refused():
    """Columns are read by name, so a renamed one is an error and not an empty text."""
    with pytest.raises(ConfigurationError, match="line 1"):
        RetCodeTable.from_csv("code,action\n0,ok")
