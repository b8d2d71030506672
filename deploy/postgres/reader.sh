#!/bin/sh
# The role of docs/sql.md that only reads, for Grafana. The database's image runs this once, when the
# database is made: before the service makes its schema, so that what will be there is granted.
set -eu
psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat "${READER_PASSWORD_FILE:-/run/secrets/grafana_reader_password}"`
CREATE SCHEMA pulseward AUTHORIZATION :"USER";
CREATE ROLE grafana LOGIN PASSWORD :'password';
GRANT USAGE ON SCHEMA pulseward TO grafana;
ALTER DEFAULT PRIVILEGES FOR ROLE :"USER" IN SCHEMA pulseward GRANT SELECT ON TABLES TO grafana;
ALTER ROLE grafana SET search_path = pulseward, public;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
SQL
