"""Runs migrations on the connection that ``broker.kernel.schema`` hands in, inside its transaction."""

from alembic import context

from broker.kernel.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    # SQLite changes a table by building it anew, and can undo that like any other statement.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
