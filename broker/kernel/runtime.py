"""The kernel's parts of one running broker, passed as the first argument; never looked up from a global."""

from collections import ChainMap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.kernel.clock import Clock, SystemClock
from broker.kernel.database import Database
from broker.kernel.dialling import Dial, Dialler
from broker.kernel.egress import Egress
from broker.kernel.group_commit import GroupCommitter
from broker.kernel.ids import new_id
from broker.kernel.sealing import Sealer, decode_key, read_key
from broker.kernel.settings import Settings
from broker.kernel.versions import Caches

if TYPE_CHECKING:
    from idp_connectors.base import Connector


@dataclass(frozen=True, slots=True)
class Runtime:
    """Settings, clock, database, sealer, both ways out, group commit and caches of this process.

    The composition root puts the registry into ``connectors`` when the pages are put together; a kind's code
    is imported when somebody asks for it.
    """

    settings: Settings
    clock: Clock
    database: Database
    sealer: Sealer
    egress: Egress
    dial: Dial
    committer: GroupCommitter
    caches: Caches
    connectors: ChainMap[str, "Connector"] = field(default_factory=ChainMap)
    writer_id: str = field(default_factory=lambda: new_id("wrt"))


def open_runtime(settings: Settings, clock: Clock | None = None) -> Runtime:
    """Return a runtime on the configured database; makes the data folder and the key on first use."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.resolved_database_url)
    return Runtime(
        settings=settings,
        clock=clock or SystemClock(),
        database=database,
        sealer=Sealer(_keys(settings)),
        egress=Egress(may_reach_loopback=settings.is_development),
        dial=Dialler(settings.directory_hosts, may_reach_loopback=settings.is_development),
        committer=GroupCommitter(database),
        caches=Caches(database),
    )


def _keys(settings: Settings) -> list[bytes]:
    given = settings.key_encryption_key
    first = decode_key(given.get_secret_value()) if given else read_key(settings.data_dir / "kek")
    return [first, *(decode_key(key.get_secret_value()) for key in settings.retired_key_encryption_keys)]
