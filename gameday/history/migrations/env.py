"""Runs the revisions on the connection that `gameday.history.database` gives, in its transaction. Called by Alembic."""

from alembic import context

from gameday.history.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
