"""Table of sign-ins in progress."""

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class SignInFlow(TenantScoped, Base):
    """A round trip to an identity provider. Bound to one browser; taken once by a conditional UPDATE."""

    __tablename__ = "sign_in_flows"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)  # of `state` or RelayState
    connection_id: Mapped[str] = mapped_column(String(40))
    browser_hash: Mapped[str] = mapped_column(String(64))
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary)  # nonce, PKCE verifier, request id
    sealed_answer: Mapped[bytes | None] = mapped_column(
        LargeBinary
    )  # a posted SAML response, until continued
    resume_url: Mapped[str] = mapped_column(String(2000))  # a path of ours, written by us
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_sign_in_flows_expires_at", "expires_at"),
        Index("ix_sign_in_flows_browser", "tenant_id", "browser_hash"),
    )
