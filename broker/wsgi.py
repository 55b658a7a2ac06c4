"""The WSGI application of this process, for servers that import it by name."""

from broker.app import create_app
from broker.kernel.logs import configure_logs
from broker.kernel.settings import load_settings

settings = load_settings()
configure_logs(settings.log_level)
app = create_app(settings)
