"""The demo's summary for people."""

from __future__ import annotations

from collections import Counter, defaultdict

from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.cli.console import say, show_table
from sluicegate.cli.demo.findings import Findings
from sluicegate.domain.records import DeadLetter


def print_report(found: Findings) -> None:
    """Print the summary."""
    say()
    _print_states(found)
    _print_codes(found)
    _print_letters(found)
    _print_pages(found)
    _print_limits(found)
    _print_comparison(found)
    if found.problems:
        say(f"\nNOT as it must be, after {found.seconds:.0f} s:")
        for problem in found.problems:
            say(f"  - {problem}")
    else:
        say(f"\nAll as it must be, after {found.seconds:.0f} s. Nothing is left running.")


def _print_states(found: Findings) -> None:
    accounts = sorted({order.account for order in found.orders})
    counts = Counter((order.state.value, order.account) for order in found.orders)
    rows = [
        (state, str(total), *(str(counts[state, account] or "") for account in accounts))
        for state, total in found.by_state.most_common()
    ]
    show_table(f"{len(found.orders)} orders by state and account", ("state", "orders", *accounts), rows)
    say(f"\nLines refused at the door: {len(found.refused)}")
    for number, why in sorted(found.refused.items()):
        say(f"  line {number}: {why}")
    for number, receipt in sorted(found.receipts.items()):
        if not receipt.is_new:
            say(f"  line {number}: {receipt.client_order_id} was accepted before; the same receipt")


def _print_codes(found: Findings) -> None:
    table = RetCodeTable.load()
    rows = []
    for code, count in found.by_code.most_common():
        known = table.explain(code)
        rows.append((code, str(count), known[0].action.value if known else "", known[0].meaning if known else ""))
    say()
    columns = ("retCode", "answers", "then", "meaning")
    show_table("Answers of the exchange by retCode, from each /metrics", columns, rows)


def _print_letters(found: Findings) -> None:
    names = {order.order_id: order.client_order_id for order in found.orders}
    by_reason: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in found.letters:
        by_reason[letter.reason].append(letter)
    say()
    rows = []
    for reason, letters in sorted(by_reason.items()):
        orders = ", ".join(sorted(names.get(letter.order_id, letter.order_id) for letter in letters))
        rows.append((reason, orders, letters[0].message, letters[0].fix))
    show_table(f"{len(found.letters)} dead letters", ("reason", "orders", "for example", "fix"), rows)


def _print_pages(found: Findings) -> None:
    parked = Counter(order.account for order in found.orders if order.state.value == "parked")
    say()
    rows = [(str(page.get("severity")), f"{page.get('title')}\n{page.get('fix')}") for page in found.pages]
    show_table(f"{len(found.pages)} pages to the webhook", ("severity", "what and what to do"), rows)
    for account, count in sorted(parked.items()):
        say(f"{count} orders of {account} are parked until `sluicegate accounts resume {account}`")


def _print_limits(found: Findings) -> None:
    say()
    rows = [
        (str(b["uid"]), str(b["endpoint"]), str(b["requests"]), str(b["max_per_second"]), str(b["limit"]))
        for b in found.limits()
        if b["endpoint"].startswith("/v5/order/")
    ]
    columns = ("uid", "endpoint", "requests", "most in a rolling second", "limit")
    show_table("Rate limits as the exchange saw them", columns, rows)
    say(f"10006 given by the exchange: {found.too_many}, beside {found.injected} that the demo asked it for")


def _print_comparison(found: Findings) -> None:
    differences = found.differences
    verdict = "each exactly once" if not differences else f"{len(differences)} DIFFERENCES"
    say(f"\nLedger and exchange: {len(found.orders)} orders here, {len(found.truth)} there, {verdict}")
