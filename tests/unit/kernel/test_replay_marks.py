"""One insert decides single use, on every supported database."""

from broker.kernel.database import Base, Database
from broker.kernel.replay import spend


def test_the_first_use_wins_and_the_second_is_refused(database_url: str):
    database = Database(database_url)
    Base.metadata.create_all(database.engine)
    with database.write("ten_a") as session:
        mark = {"kind": "assertion", "tenant_id": "ten_a", "key": "id-1", "expires_at": 2_000_000_000}
        assert spend(session.connection(), **mark)
        assert not spend(session.connection(), **mark)
        assert spend(session.connection(), **{**mark, "kind": "client_assertion"})
        assert spend(session.connection(), **{**mark, "key": "id-2"})
    database.engine.dispose()
