"""Certificates made on the spot, with short keys."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """A private CA with its certificate in a file."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    bundle: Path

    def server(self, *, host: str = "127.0.0.1", valid_for: timedelta = _YEAR) -> ssl.SSLContext:
        """Return a server's TLS with a certificate of this CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _context(self.folder, key, _sign(key, host, self.certificate.subject, self.key, valid_for))


def found_authority(folder: Path) -> Authority:
    """Make a CA."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    certificate = _sign(key, None, name, key, _YEAR)
    bundle = folder / "ca.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, certificate, bundle)


def self_signed_server(folder: Path) -> ssl.SSLContext:
    """Return a server's TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    return _context(folder, key, _sign(key, "127.0.0.1", name, key, _YEAR))


def _sign(
    key: ec.EllipticCurvePrivateKey,
    host: str | None,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid_for: timedelta,
) -> x509.Certificate:
    """Sign a certificate for a host; without one, for an authority. A negative duration ended in the past."""
    now = datetime.now(UTC)
    subject = issuer if host is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _YEAR)
        .not_valid_after(now + valid_for)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        is_address = host[0].isdigit()
        name = x509.IPAddress(ip_address(host)) if is_address else x509.DNSName(host)
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _context(folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
    file = folder / f"server-{certificate.serial_number}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
