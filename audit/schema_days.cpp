#include "audit/schema_days.hpp"

namespace usher::audit {
namespace {

// Statements are told apart by ";\n", so inside of a function's body each line ends in "; ".

/// One day's two tables, with what lay among the strays for want of them. A table that is attached needs no lock on its
/// parent that an insert would wait for, but one on the strays.
constexpr const char* make_audit_day =
    "CREATE FUNCTION make_audit_day(day BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$ "
    "DECLARE name TEXT := to_char(date '1970-01-01' + day::int, 'YYYYMMDD'); lo BIGINT := day * 86400000000; "
    "hi BIGINT := (day + 1) * 86400000000; "
    "BEGIN "
    "IF to_regclass('audit_events_' || name) IS NULL THEN "
    "EXECUTE format('CREATE TABLE %I (LIKE audit_events INCLUDING DEFAULTS INCLUDING INDEXES)', 'audit_events_' || "
    "name); "
    "EXECUTE format('WITH moved AS (DELETE FROM audit_events_stray WHERE started_at >= %s AND started_at < %s "
    "RETURNING "
    "*) INSERT INTO %I SELECT * FROM moved', lo, hi, 'audit_events_' || name); "
    "EXECUTE format('ALTER TABLE audit_events_accesses ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', "
    "'audit_events_' || name, lo, hi); "
    "END IF; "
    "IF to_regclass('accesses_' || name) IS NULL THEN "
    "EXECUTE format('CREATE TABLE %I (LIKE accesses INCLUDING DEFAULTS INCLUDING INDEXES)', 'accesses_' || name); "
    "EXECUTE format('WITH moved AS (DELETE FROM accesses_stray WHERE opened_at >= %s AND opened_at < %s RETURNING *) "
    "INSERT INTO %I SELECT * FROM moved', lo, hi, 'accesses_' || name); "
    "EXECUTE format('ALTER TABLE accesses ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', 'accesses_' || name, lo, "
    "hi); "
    "END IF; "
    "END $$;\n";

}  // namespace

std::string days_on_postgresql(const std::string& columns, const std::string& names) {
    return "ALTER TABLE audit_events RENAME TO audit_events_before;\n"
           "ALTER INDEX audit_events_pkey RENAME TO audit_events_before_pkey;\n"
           "ALTER TABLE accesses RENAME TO accesses_before;\n"
           "ALTER INDEX accesses_pkey RENAME TO accesses_before_pkey;\n"
           "CREATE TABLE audit_events (\n"
           "    gateway_id TEXT NOT NULL,\n"
           "    sequence BIGINT NOT NULL,\n"
           "    type BIGINT NOT NULL,\n"
           "    recorded_at BIGINT NOT NULL,\n"
           "    access_id TEXT NOT NULL,\n"
           "    payload BYTEA NOT NULL,\n"
           "    started_at BIGINT NOT NULL,\n"
           "    PRIMARY KEY (gateway_id, sequence, type, started_at)\n"
           ") PARTITION BY LIST (type);\n"
           "CREATE TABLE audit_events_accesses PARTITION OF audit_events FOR VALUES IN (1, 2, 3, 4) PARTITION BY RANGE "
           "(started_at);\n"
           "CREATE TABLE audit_events_stray PARTITION OF audit_events_accesses DEFAULT;\n"
           "CREATE TABLE audit_events_other PARTITION OF audit_events DEFAULT;\n"
           "CREATE TABLE accesses (\n" +
           columns +
           "    payload BYTEA NOT NULL,\n"
           "    PRIMARY KEY (access_id, opened_at)\n"
           ") PARTITION BY RANGE (opened_at);\n"
           "CREATE TABLE accesses_stray PARTITION OF accesses DEFAULT;\n" +
           make_audit_day +
           "SELECT make_audit_day(day) FROM (SELECT DISTINCT opened_at / 86400000000 AS day FROM accesses_before WHERE "
           "opened_at >= 18262 * 86400000000 AND opened_at < (extract(epoch FROM now())::bigint + 691200) * 1000000) "
           "AS "
           "days;\n"
           "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload, started_at) SELECT "
           "e.gateway_id, e.sequence, e.type, e.recorded_at, e.access_id, e.payload, COALESCE(a.opened_at, "
           "e.recorded_at) FROM audit_events_before e LEFT JOIN accesses_before a ON a.access_id = e.access_id AND "
           "e.access_id <> '';\n"
           "INSERT INTO accesses (" +
           names + "payload) SELECT " + names +
           "payload FROM accesses_before;\n"
           "DROP TABLE audit_events_before;\n"
           "DROP TABLE accesses_before;\n"
           "CREATE INDEX audit_events_recorded_at ON audit_events (gateway_id, recorded_at);\n"
           "CREATE INDEX audit_events_type ON audit_events (type, recorded_at);\n"
           "CREATE INDEX audit_events_access ON audit_events (access_id) WHERE access_id <> '';\n"
           "CREATE INDEX accesses_opened_at ON accesses (opened_at, access_id);\n"
           "CREATE INDEX accesses_username ON accesses (username, opened_at);\n"
           "CREATE INDEX accesses_app ON accesses (app, opened_at);\n"
           "CREATE INDEX accesses_open ON accesses (opened_at) WHERE event IN ('OPENED', 'PROGRESS');\n"
           // Which days a gateway's sequences lie in, so that a stretch of the stream is read from few tables.
           "CREATE TABLE audit_days (\n"
           "    gateway_id TEXT NOT NULL,\n"
           "    day BIGINT NOT NULL,\n"
           "    first_sequence BIGINT NOT NULL,\n"
           "    last_sequence BIGINT NOT NULL,\n"
           "    PRIMARY KEY (gateway_id, day)\n"
           ");\n"
           "INSERT INTO audit_days SELECT gateway_id, floor(started_at / 86400000000.0)::bigint, MIN(sequence), "
           "MAX(sequence) FROM audit_events GROUP BY 1, 2";
}

const char* const days_on_sqlite =
    "ALTER TABLE audit_events ADD COLUMN started_at BIGINT NOT NULL DEFAULT 0;\n"
    "UPDATE audit_events SET started_at = COALESCE((SELECT opened_at FROM accesses a WHERE a.access_id = "
    "audit_events.access_id), recorded_at)";

}  // namespace usher::audit
