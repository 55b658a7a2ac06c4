"""Tables of interactions and consents."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class Interaction(TenantScoped, Base):
    """A request that waits for a person. Bound to one browser by the hash of its flow cookie."""

    __tablename__ = "interactions"

    handle_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # authorize
    browser_hash: Mapped[str] = mapped_column(String(64))
    client_id: Mapped[str] = mapped_column(String(200))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)  # the validated authorization request
    session_id: Mapped[str | None] = mapped_column(String(40))  # set once; another session ends the flow
    consent_id: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))  # pending | allowed | denied | finished
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_interactions_expires_at", "expires_at"),)


class Consent(TenantScoped, Base):
    """What a person agreed that an agent may do, at which resource, until when. Kept after its end."""

    __tablename__ = "consents"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(String(200))
    agent_id: Mapped[str | None] = mapped_column(String(40))
    resources: Mapped[list[str]] = mapped_column(JSON)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    given_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    withdrawn_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_consents_user", "tenant_id", "user_id", "client_id"),
        Index("ix_consents_client", "tenant_id", "client_id"),
    )
