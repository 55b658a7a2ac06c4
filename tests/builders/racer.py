"""A process that tries to spend secrets many times at once: ``python -m tests.builders.racer``.

It says ``ready`` when it is set up, starts at the first line that it is given, and then prints how often
it won, was told that the secret had been spent, and was turned away. For a secret ``@FILE`` it tries every
line of that file and writes the lines that it won to ``FILE.PID``.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from broker.kernel.database import Database
from broker.kernel.errors import Refusal
from broker.kernel.group_commit import GroupCommitter, Transaction
from broker.kernel.replay import spend as spend_mark
from broker.oauth.dpop import Proof
from broker.tokens.codes import SpentCode, spend_code
from broker.tokens.device_codes import poll
from broker.tokens.links import spend_link
from broker.tokens.pushed import spend_request
from broker.tokens.refresh import SpentRefresh, spend_refresh

NOW = 1_795_503_600
TENANT = "ten_race"
THREADS = 16

SPENDERS: dict[str, Callable[[Transaction, str], Any]] = {
    "code": lambda tx, secret: spend_code(tx.connection, tenant_id=TENANT, code=secret, now=NOW),
    "refresh": lambda tx, secret: spend_refresh(
        tx.connection, tenant_id=TENANT, client_id="cli", token=secret, now=NOW
    ),
    "device": lambda tx, secret: poll(tx.connection, TENANT, secret, "cli", NOW).outcome == "allowed",
    "link": lambda tx, secret: spend_link(
        tx.connection, tenant_id=TENANT, purpose="admin", code=secret, now=NOW
    ),
    "replay": lambda tx, secret: spend_mark(
        tx.connection, kind="client_assertion", tenant_id=TENANT, key=secret, expires_at=NOW + 60
    ),
    "dpop": lambda tx, secret: spend_proof(tx, secret),
    "pushed": lambda tx, secret: spend_request(
        tx.connection, tenant_id=TENANT, client_id="cli", uri=secret, now=NOW
    ),
}


def spend_proof(tx: Transaction, jti: str) -> bool:
    """Whether a DPoP proof was new; the refusal of one that was used is an answer here."""
    try:
        Proof("k" * 43, TENANT, jti, NOW + 60).spend(tx.connection)
    except Refusal:
        return False
    return True


def outcome(answer: Any) -> str:
    """Name an answer: ``won``, ``spent`` (told that it came back) or ``refused``."""
    if isinstance(answer, SpentCode | SpentRefresh):
        return "spent"
    return "won" if answer else "refused"


def main() -> None:
    """Race as the command line says: database URL, kind, secret, number of tries."""
    url, kind, secret, tries = sys.argv[1:]
    file = Path(secret[1:]) if secret.startswith("@") else None
    secrets = file.read_text().split() if file else [secret]
    attempts = [one for one in secrets for _ in range(int(tries))]
    database = Database(url)
    committer = GroupCommitter(database)
    with database.core_read() as connection:
        connection.exec_driver_sql("SELECT 1")
    with ThreadPoolExecutor(THREADS) as pool:
        print("ready", flush=True)
        sys.stdin.readline()
        answers = pool.map(lambda one: committer.submit(lambda tx: SPENDERS[kind](tx, one)), attempts)
        outcomes = [outcome(answer) for answer in answers]
    counted = Counter(outcomes)
    if file:
        won = [one for one, what in zip(attempts, outcomes, strict=True) if what == "won"]
        Path(f"{file}.{os.getpid()}").write_text("\n".join(won))
    print(counted["won"], counted["spent"], counted["refused"], flush=True)
    database.close()


if __name__ == "__main__":
    main()
