#include "audit/schema_questions.hpp"

namespace usher::audit {
namespace {

// Statements are told apart by ";\n", so inside of a function's body each line ends in "; ".

/// What did this account do, what went to this host, what went to this address: in a stretch of time. Who used this app
/// and what this user did have indexes since the first version.
constexpr const char* indexes =
    "CREATE INDEX accesses_account ON accesses (account_id, opened_at);\n"
    "CREATE INDEX accesses_destination_host ON accesses (destination_host, opened_at);\n"
    "CREATE INDEX accesses_destination_ip ON accesses (destination_ip, opened_at);\n";

/// Records come in the order of their time, so a summary of blocks finds a stretch of it, at no cost to an insert.
constexpr const char* brin =
    "DROP INDEX audit_events_recorded_at;\n"
    "CREATE INDEX audit_events_recorded_at ON audit_events USING brin (recorded_at) WITH (pages_per_range = 32, "
    "autosummarize = on);\n"
    "CREATE INDEX accesses_closed_at ON accesses USING brin (closed_at) WITH (pages_per_range = 32, autosummarize = "
    "on);\n";

/// So that a time that is written as such leaves days out already when the query is planned.
constexpr const char* micros_function =
    "CREATE FUNCTION micros(at TIMESTAMPTZ) RETURNS BIGINT LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS 'SELECT "
    "(extract(epoch FROM at) * 1000000)::bigint';\n";

/// The role belongs to the whole server: another database may have made it, at this moment too. Who may make no roles
/// is told what to do by docs/store.md.
constexpr const char* reader =
    "DO $$ BEGIN "
    "IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'usher_reader') THEN "
    "BEGIN CREATE ROLE usher_reader NOLOGIN; "
    "EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL; END; "
    "END IF; "
    "IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'usher_reader') THEN "
    "GRANT USAGE ON SCHEMA usher TO usher_reader; "
    "GRANT SELECT ON access_log, event_log, retention_log TO usher_reader; "
    "END IF; "
    "END $$";

std::string time(bool postgresql, const std::string& column, const std::string& name) {
    // 0: there is none yet.
    return (postgresql ? "to_timestamp(NULLIF(" + column + ", 0) / 1000000.0)"
                       : "strftime('%Y-%m-%dT%H:%M:%fZ', NULLIF(" + column + ", 0) / 1000000.0, 'unixepoch')") +
           " AS " + name;
}

}  // namespace

std::string access_log_with(bool postgresql, const std::string& names, const std::string& more) {
    // PostgreSQL keeps who may read a view that is replaced, and lets columns be added behind those that there are.
    return std::string(postgresql ? "CREATE OR REPLACE VIEW" : "DROP VIEW access_log;\nCREATE VIEW") +
           " access_log AS SELECT " + names + time(postgresql, "opened_at", "opened") + ", " +
           time(postgresql, "closed_at", "closed") + more + " FROM accesses";
}

std::string questions(bool postgresql, const std::string& names) {
    std::string sql = indexes;
    if (postgresql) sql += std::string(brin) + micros_function;
    sql += "CREATE VIEW access_log AS SELECT " + names + time(postgresql, "opened_at", "opened") + ", " +
           time(postgresql, "closed_at", "closed") +
           " FROM accesses;\n"
           "CREATE VIEW event_log AS SELECT gateway_id, sequence, CASE type WHEN 1 THEN 'OPENED' WHEN 2 THEN "
           "'PROGRESS' WHEN 3 THEN 'CLOSED' WHEN 4 THEN 'DENIED' WHEN 5 THEN 'ADMIN' WHEN 6 THEN 'SESSION' WHEN 7 THEN "
           "'SYSTEM' END AS event, access_id, started_at, recorded_at, " +
           time(postgresql, "recorded_at", "recorded") +
           " FROM audit_events;\n"
           "CREATE VIEW retention_log AS SELECT r.run, r.state, r.requested_by, r.reason, c.retention_class, "
           "c.removable, c.held, c.removed, " +
           time(postgresql, "r.started_at", "started") + ", " + time(postgresql, "r.ended_at", "ended") +
           " FROM retention_runs r LEFT JOIN retention_run_counts c ON c.run = r.run";
    if (postgresql) sql += std::string(";\n") + reader;
    return sql;
}

}  // namespace usher::audit
