"""The WSGI application of this process, for servers that import it by name.

Protocol endpoints answer at once; pages and background jobs follow a moment later, or with the first
request that is not for the short lane.
"""

import gc
from functools import partial

from broker.discovery.documents import well_known
from broker.kernel import schema
from broker.kernel.jobs import Periodic
from broker.kernel.logs import configure_logs
from broker.kernel.runtime import open_runtime
from broker.kernel.settings import load_settings
from broker.late_pages import LatePages, WsgiApp
from broker.oauth import fast_lane

PAGES_SECONDS = 0.3
COLLECT_AFTER = 10_000
"""New objects between two looks for cycles: requests make none, and every look costs them time."""

settings = load_settings()
configure_logs(settings.log_level)
rt = open_runtime(settings)
jobs: list[Periodic] = []
schema.upgrade(rt.database)


def make_pages() -> WsgiApp:
    """Put the pages together and start what runs beside answering."""
    from broker.app import build_pages
    from broker.housekeeping import housekeeping
    from broker.web.current import shell_of

    pages = build_pages(rt)
    jobs.extend(housekeeping(rt, shell_of(pages).connectors))
    for job in jobs:
        job.start()
    # `broker serve` put it off until everything is there; what is there now need not be looked at again.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    gc.enable()
    return pages


pages = LatePages(make_pages)
app = fast_lane.wrap(pages, rt, partial(well_known, rt))
pages.get_ready_in(PAGES_SECONDS)
