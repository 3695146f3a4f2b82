"""PostgreSQL: schema, migrations, connections."""
