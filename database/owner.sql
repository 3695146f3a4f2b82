-- Runs once, as the superuser, when the database's container makes its cluster: psql -f owner.sql
-- The owner logs in with the password of the environment. The superuser has none afterwards, so
-- that it can be reached from inside the container only.
\getenv owner DATABASE_OWNER
\getenv password POSTGRES_PASSWORD
\getenv database POSTGRES_DB
\getenv superuser POSTGRES_USER
SET password_encryption = 'scram-sha-256';
CREATE ROLE :"owner" LOGIN CREATEDB NOSUPERUSER PASSWORD :'password';
ALTER DATABASE :"database" OWNER TO :"owner";
ALTER SCHEMA public OWNER TO :"owner";
ALTER ROLE :"superuser" PASSWORD NULL;
