"""Whether anybody ever used a client: a grant hangs on it, ended or not."""

from sqlalchemy import Connection, select

from broker.tokens.cascade import GRANTS


def is_used(connection: Connection, tenant_id: str, client_id: str) -> bool:
    """Say whether a grant was ever opened for the client, for as long as ended grants are kept."""
    found = connection.execute(
        select(GRANTS.c.id).where(GRANTS.c.tenant_id == tenant_id, GRANTS.c.client_id == client_id).limit(1)
    )
    return found.first() is not None
