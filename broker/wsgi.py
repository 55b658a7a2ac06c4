"""The WSGI application of this process, for servers that import it by name."""

from broker.app import create_app

app = create_app()
