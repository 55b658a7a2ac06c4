"""The WSGI application of this process, for servers that import it by name."""

import gc

from broker.app import create_app
from broker.housekeeping import housekeeping
from broker.kernel.logs import configure_logs
from broker.kernel.settings import load_settings
from broker.web.current import shell_of

settings = load_settings()
configure_logs(settings.log_level)
app = create_app(settings)
shell = shell_of(app)
jobs = housekeeping(shell.rt, shell.connectors)
for job in jobs:
    job.start()
# `broker serve` put it off until everything is there; what is there now need not be looked at again.
gc.freeze()
gc.enable()
