"""The way to the exchange: proxy, host name, certificates, connection, clock."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import requests.utils

from sluicegate.doctor.findings import Finding, error, ok, skipped, warning
from sluicegate.doctor.line import Line, Trouble
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.outcomes import InDoubt

PROXY, NAME, CERTIFICATES, CONNECTION, CLOCK = "proxy", "dns", "tls", "connection", "clock"

CLOCK_WARNING_S = 1.0
"""Bybit refuses a timestamp 1 s ahead of its clock. Source: Bybit V5 guide, 2026-07-24."""
PROXY_TIMEOUT_S = 3.0

_REINSTALL = (
    "Install certifi anew: `python -m pip install --upgrade --force-reinstall certifi`, with the Python that runs "
    "Sluicegate (in a container: build the image anew)."
)
_OWN_BUNDLE = (
    "Behind a proxy that inspects TLS, name its CA certificate in exchange.ca_bundle "
    "(SLUICEGATE_EXCHANGE__CA_BUNDLE). REQUESTS_CA_BUNDLE is not read. Never switch verification off."
)


def check_way(line: Line, *, recv_window_ms: int) -> tuple[list[Finding], bool]:
    """Go the way that every request goes, step by step.

    Args:
        line: a public one.
        recv_window_ms: the setting; a slow way leaves little of it.

    Returns:
        The findings, and whether questions can be asked; afterwards the line's clock is measured.
    """
    about, parts = line.environment.value, urlsplit(line.address)
    proxy = _proxy_of(line)
    found = [_check_proxy(about, proxy)] if proxy is not None else []
    if proxy is None and not _is_literal(str(parts.hostname)):
        found.append(_check_name(about, str(parts.hostname), parts.port or 443))
    if parts.scheme == "https":
        found += check_bundle(about, line.bundle, datetime.now().astimezone())
    try:
        offset_s, round_trip_s = line.measure_clock()
    except Trouble as trouble:
        return [*found, judge_trouble(about, line.address, trouble), skipped(CLOCK, about, "not measured")], False
    found.append(ok(CONNECTION, about, f"{line.address} answers in {round_trip_s * 1000:.0f} ms"))
    found.append(judge_clock(about, offset_s, round_trip_s, recv_window_ms))
    return found, True


# --- proxy and name -------------------------------------------------------------------------------------------


def _proxy_of(line: Line) -> str | None:
    if not line.uses_proxies:
        return None
    return requests.utils.select_proxy(line.address, requests.utils.get_environ_proxies(line.address))


def _check_proxy(about: str, proxy: str) -> Finding:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    shown = f"{parts.hostname}:{parts.port or 80}"  # never its user and password
    try:
        with socket.create_connection((str(parts.hostname), parts.port or 80), timeout=PROXY_TIMEOUT_S):
            return ok(PROXY, about, f"requests leave through the proxy {shown}")
    except (OSError, ValueError) as e:
        return error(
            PROXY,
            "proxy_unreachable",
            about,
            f"the proxy {shown} does not answer: {_why(e)}",
            cause="HTTPS_PROXY or HTTP_PROXY of this process names it.",
            fix="Correct or unset HTTPS_PROXY and HTTP_PROXY for this process, or add the host to NO_PROXY.",
        )


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_name(about: str, host: str, port: int) -> Finding:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        return error(
            NAME,
            "name_unknown",
            about,
            f"the name {host} cannot be resolved: {_why(e)}",
            cause="No DNS server answers this host, or the name in exchange.hosts is mistyped.",
            fix=f"Try `getent hosts {host}`; check /etc/resolv.conf, the container's DNS and exchange.hosts.",
        )
    return ok(NAME, about, f"{host} is {answers[0][4][0]}")


# --- certificates ---------------------------------------------------------------------------------------------


def check_bundle(about: str, bundle: str, today: datetime) -> Iterator[Finding]:
    """Look at the file of CA certificates; says something only when it is no good."""
    is_certifi = bundle == certifi.where()
    fix = _REINSTALL if is_certifi else f"Renew {bundle}, or leave exchange.ca_bundle out: certifi's serve then."
    if not Path(bundle).is_file():
        yield error(
            CERTIFICATES,
            "bundle_missing",
            about,
            f"the CA certificates {bundle} are missing",
            cause="An incomplete installation, or an application packed without certifi's data file.",
            fix=fix,
        )
        return
    ends = _ends_of(bundle)
    over = [end for end in ends if end < today.timestamp()]
    if ends and len(over) == len(ends):
        yield error(
            CERTIFICATES,
            "bundle_expired",
            about,
            f"every CA certificate in {bundle} has expired",
            cause="The file is years old, or the date of this host is wrong.",
            fix=fix,
        )


def _ends_of(bundle: str) -> list[float]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError):  # what is no PEM was refused when the settings were read
        context.load_verify_locations(bundle)
    return [ssl.cert_time_to_seconds(str(found["notAfter"])) for found in context.get_ca_certs()]


_FAULTS: dict[int, tuple[str, str]] = {
    9: ("certificate_not_yet_valid", "The date of this host lies in the past, or the certificate was just made."),
    10: (
        "certificate_expired",
        "The server's certificate or the CA certificate here has expired, or the date of this host is wrong.",
    ),
    18: ("certificate_self_signed", "Something between here and the exchange answers in its place."),
    19: ("certificate_untrusted", "A proxy or antivirus that inspects TLS answers with its own CA."),
    20: ("certificate_untrusted", "The CA certificates here are outdated, or a proxy that inspects TLS answers."),
    62: ("certificate_of_another_host", "The name resolves to the wrong server, or exchange.hosts is wrong."),
    64: ("certificate_of_another_host", "The address belongs to another server, or exchange.hosts is wrong."),
}
"""By OpenSSL's verify code. Source: openssl verify manual, X509_V_ERR_*, 2026-07-24."""


def judge_trouble(about: str, address: str, trouble: Trouble) -> Finding:
    """Return why the exchange cannot be asked."""
    fault = trouble.fault
    if fault is None:
        outcome = trouble.outcome
        title = f"{address} cannot be asked: {outcome.code}: {outcome.message}"
        if isinstance(outcome, InDoubt):
            cause = "A connection was made, but no usable answer came."
            fix = "Try again; then look at the network, the proxy and Bybit's status page."
        else:
            cause, fix = outcome.cause, outcome.fix or f"See `sluicegate explain {outcome.code}`."
        return error(CONNECTION, outcome.code, about, title, cause=cause, fix=fix)
    name, cause = _FAULTS.get(fault.verify_code, ("certificate_unverified", "See the message."))
    return error(
        CERTIFICATES,
        name,
        about,
        f"the certificate of {address} is refused: {fault.verify_message}",
        cause=cause,
        fix=f"Check the date of this host (`date -u`). {_REINSTALL} {_OWN_BUNDLE}",
    )


# --- clock ----------------------------------------------------------------------------------------------------


def judge_clock(about: str, offset_s: float, round_trip_s: float, recv_window_ms: int) -> Finding:
    """Judge the exchange's clock against ours."""
    if round_trip_s * 1000 > recv_window_ms / 2:
        return warning(
            CLOCK,
            "way_too_slow",
            about,
            f"a round trip takes {round_trip_s:.1f} s, more than half of the receive window",
            cause="A slow network or proxy; requests may be refused as too old (10002).",
            fix="Run nearer to Bybit (AWS Singapore), or raise exchange.recv_window_ms.",
        )
    if abs(offset_s) >= CLOCK_WARNING_S:
        side = "behind" if offset_s > 0 else "ahead of"
        return warning(
            CLOCK,
            "clock_off",
            about,
            f"the clock of this host is {abs(offset_s):.1f} s {side} the exchange's",
            cause="It is not kept by NTP. Sluicegate signs with the exchange's measured time; deadlines, logs and "
            "other programs use this clock, and get 10002.",
            fix="Switch time synchronisation on: `timedatectl set-ntp true`, or install chrony. In a virtual "
            "machine, on its host too.",
        )
    return ok(CLOCK, about, f"{offset_s * 1000:+.0f} ms off the exchange's")


def explain_missing_address(about: str, problem: ConfigurationError) -> Finding:
    """Return that there is no way, because nothing says where the exchange is."""
    return skipped(CONNECTION, about, str(problem))


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
