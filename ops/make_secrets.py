"""Write the files that docker-compose.yml mounts as secrets: `python3 ops/make_secrets.py [FOLDER]`.

Needs nothing but Python. A file that exists is kept. Put your own API key into `main_api_key` and
`main_api_secret` afterwards; until then they are the simulator's.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

OPS = Path(__file__).resolve().parent
NOBODY = "http://127.0.0.1:9/"
"""What stands for a receiver until you put yours in: nothing listens there."""


def contents(passwords: Mapping[str, str]) -> Mapping[str, str]:
    """Return every secret file's text.

    Args:
        passwords: by who has it: `valkey` (our processes at the broker), `producer` and `flower` (users of the
            broker that may do less), `postgres` (the ledger's owner), `web` (Flower's visitors), `grafana`
            (its `admin`), `intake` (what producers sign with).
    """
    settings = (OPS / "docker" / "sluicegate.toml").read_text()
    users = (OPS / "valkey" / "users.acl").read_text()
    for user in ("valkey", "producer", "flower"):
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        users = users.replace(f"{user.upper()}_PASSWORD_SHA256", digest)
    return {
        "sluicegate.toml": settings.replace("VALKEY_PASSWORD", passwords["valkey"]).replace(
            "POSTGRES_PASSWORD", passwords["postgres"]
        ),
        "valkey_users.acl": users,
        "flower_broker_url": f"redis://flower:{passwords['flower']}@valkey:6379/0",
        "producer_broker_url": f"redis://producer:{passwords['producer']}@valkey:6379/0",
        "intake_secret": passwords["intake"],
        "postgres_password": passwords["postgres"],
        "flower_auth": f"sluicegate:{passwords['web']}",
        "grafana_password": passwords["grafana"],
        "main_api_key": "sim-key-1001",
        "main_api_secret": "sim-secret-1001",
        "alertmanager_critical_url": NOBODY,
        "alertmanager_warning_url": NOBODY,
        "alertmanager_deadman_url": NOBODY,
    }


def main(folder: Path) -> int:
    """Write what is missing.

    Returns:
        0; 1 when only some of the files that share a password are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shared = (
        "sluicegate.toml",
        "valkey_users.acl",
        "flower_broker_url",
        "producer_broker_url",
        "postgres_password",
    )
    present = [name for name in shared if (folder / name).exists()]
    if 0 < len(present) < len(shared):
        sys.stderr.write(f"{folder}: {', '.join(present)} exist without the rest of {', '.join(shared)}, which\n")
        sys.stderr.write("hold the same passwords. Bring them back, or move all of them away.\n")
        return 1
    whose = ("valkey", "producer", "flower", "postgres", "web", "grafana", "intake")
    for name, text in contents({name: secrets.token_hex(24) for name in whose}).items():
        if not (folder / name).exists():
            # Containers run as other users, and Compose mounts a file with the host's mode: the folder keeps
            # people of this host out, the file lets the container in.
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)
            sys.stdout.write(f"wrote {folder / name}\n")
    warn_of_placeholders(folder)
    return 0


def warn_of_placeholders(folder: Path) -> None:
    """Say which of Alertmanager's receivers are still nobody: its alerts would be lost in silence."""
    for file in sorted(folder.glob("alertmanager_*_url")):
        if file.read_text().strip() == NOBODY:
            sys.stderr.write(f"{file} still holds {NOBODY}: nobody hears these alerts. Put a receiver's URL in.\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else OPS / "secrets"))
