"""What Alembic runs: ``migrate`` gives the connection, inside a transaction of its own."""

from alembic import context

from cloudd.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, and `migrate` begins the transaction itself
    render_as_batch=True,
)
context.run_migrations()
