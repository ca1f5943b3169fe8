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


def contents(valkey: str, postgres: str, flower: str, grafana: str) -> Mapping[str, str]:
    """Return every secret file's text.

    Args:
        valkey: password of the user `sluicegate` of the broker.
        postgres: password of the ledger's owner.
        flower: password of the user `sluicegate` of Flower.
        grafana: password of the user `admin` of Grafana.
    """
    settings = (OPS / "docker" / "sluicegate.toml").read_text()
    users = (OPS / "valkey" / "users.acl").read_text()
    return {
        "sluicegate.toml": settings.replace("VALKEY_PASSWORD", valkey).replace("POSTGRES_PASSWORD", postgres),
        "valkey_users.acl": users.replace("VALKEY_PASSWORD_SHA256", hashlib.sha256(valkey.encode()).hexdigest()),
        "postgres_password": postgres,
        "flower_auth": f"sluicegate:{flower}",
        "grafana_password": grafana,
        "main_api_key": "sim-key-1001",
        "main_api_secret": "sim-secret-1001",
        "alertmanager_critical_url": "http://127.0.0.1:9/",
        "alertmanager_warning_url": "http://127.0.0.1:9/",
        "alertmanager_deadman_url": "http://127.0.0.1:9/",
    }


def main(folder: Path) -> int:
    """Write what is missing.

    Returns:
        0; 1 when only some of the files that share a password are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shared = ("sluicegate.toml", "valkey_users.acl", "postgres_password")
    present = [name for name in shared if (folder / name).exists()]
    if 0 < len(present) < len(shared):
        sys.stderr.write(f"{folder}: {', '.join(present)} exist without the rest of {', '.join(shared)}, which\n")
        sys.stderr.write("hold the same passwords. Bring them back, or move all three away.\n")
        return 1
    passwords = [secrets.token_hex(24) for _ in range(4)]
    for name, text in contents(*passwords).items():
        if not (folder / name).exists():
            # Containers run as other users, and Compose mounts a file with the host's mode: the folder keeps
            # people of this host out, the file lets the container in.
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)
            sys.stdout.write(f"wrote {folder / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else OPS / "secrets"))
