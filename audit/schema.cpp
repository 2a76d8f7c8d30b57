#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "audit/access_fields.hpp"
#include "audit/schema_days.hpp"
#include "audit/schema_questions.hpp"
#include "audit/store.hpp"

namespace usher::audit {
namespace {

/// What was added to the record behind the first version of the table, and by which migration. Rising.
constexpr std::pair<int, std::string_view> later_columns[] = {
    {105, "enrolled_device_id"},    {105, "enrolled_device_name"}, {110, "enrolled_device_state"},
    {110, "second_factor_at"},      {113, "device_os_id"},         {113, "device_os_version"},
    {113, "device_agent_version"},  {113, "device_uid"},           {113, "device_time_zone"},
    {113, "device_disk_encrypted"}, {113, "device_firewall"},      {113, "device_screen_lock"},
    {115, "bytes_after_revocation"}};

bool is_later(std::string_view column) {
    return std::any_of(std::begin(later_columns), std::end(later_columns),
                       [&](const auto& later) { return later.second == column; });
}

bool is_number(std::string_view column) {
    for (const auto& field : access_fields())
        if (field.column == column)
            return field.filter.type == FieldType::integer || field.filter.type == FieldType::time ||
                   field.filter.type == FieldType::boolean;
    return false;
}

/// The columns of `accesses` are the record's fields, so that an auditor reads them with plain SQL; `payload` is the
/// record as it was written. Texts compare byte by byte on both databases.
std::string accesses_columns(bool postgresql, bool key) {
    const std::string text = postgresql ? "TEXT COLLATE \"C\" NOT NULL" : "TEXT NOT NULL";
    std::string sql;
    for (const auto& field : access_fields()) {
        if (is_later(field.column)) continue;
        sql += "    " + std::string(field.column) + " " +
               (is_number(field.column) ? std::string("BIGINT NOT NULL") : text);
        sql += key && field.column == "access_id" ? " PRIMARY KEY,\n" : ",\n";
    }
    return sql;
}

std::string accesses_table(bool postgresql) {
    return "CREATE TABLE accesses (\n" + accesses_columns(postgresql, true) + "    payload " +
           (postgresql ? "BYTEA" : "BLOB") + " NOT NULL\n)";
}

std::string accesses_names() {
    std::string names;
    for (const auto& field : access_fields())
        if (!is_later(field.column)) names += std::string(field.column) + ", ";
    return names;
}

std::string version_one(bool postgresql) {
    const std::string bytes = postgresql ? "BYTEA" : "BLOB";
    std::string sql =
        "CREATE TABLE audit_events (\n"
        "    gateway_id TEXT NOT NULL,\n"
        "    sequence BIGINT NOT NULL,\n"
        "    type BIGINT NOT NULL,\n"
        "    recorded_at BIGINT NOT NULL,\n"
        "    access_id TEXT NOT NULL,\n"
        "    payload " +
        bytes +
        " NOT NULL,\n"
        "    PRIMARY KEY (gateway_id, sequence)\n"
        ");\n"
        "CREATE INDEX audit_events_recorded_at ON audit_events (gateway_id, recorded_at);\n"
        "CREATE TABLE audit_shipping (\n"
        "    gateway_id TEXT PRIMARY KEY,\n"
        "    shipped_sequence BIGINT NOT NULL\n"
        ");\n" +
        accesses_table(postgresql) +
        ";\n"
        "CREATE INDEX accesses_opened_at ON accesses (opened_at, access_id);\n"
        "CREATE INDEX accesses_username ON accesses (username, opened_at);\n"
        "CREATE INDEX accesses_app ON accesses (app, opened_at)";
    if (postgresql)
        sql +=
            ";\nCREATE FUNCTION instr(haystack TEXT, needle TEXT) RETURNS INTEGER LANGUAGE SQL IMMUTABLE "
            "AS 'SELECT strpos(haystack, needle)'";
    return sql;
}

/// The two indexes find what is past its ceiling, and all events of one access.
constexpr std::string_view version_two =
    "CREATE INDEX audit_events_type ON audit_events (type, recorded_at);\n"
    "CREATE INDEX audit_events_access ON audit_events (access_id) WHERE access_id <> '';\n"
    "CREATE TABLE retention_classes (\n"
    "    name TEXT PRIMARY KEY,\n"
    "    min_days BIGINT NOT NULL,\n"
    "    max_days BIGINT,\n"
    "    updated_at BIGINT NOT NULL\n"
    ");\n"
    "CREATE TABLE holds (\n"
    "    name TEXT PRIMARY KEY,\n"
    "    case_id TEXT NOT NULL,\n"
    "    account TEXT NOT NULL,\n"
    "    app TEXT NOT NULL,\n"
    "    from_time BIGINT,\n"
    "    until_time BIGINT,\n"
    "    created_by TEXT NOT NULL,\n"
    "    created_at BIGINT NOT NULL\n"
    ");\n"
    "CREATE TABLE retention_runs (\n"
    "    run BIGINT PRIMARY KEY,\n"
    "    state TEXT NOT NULL,\n"
    "    requested_by TEXT NOT NULL,\n"
    "    started_at BIGINT NOT NULL,\n"
    "    ended_at BIGINT,\n"
    "    reason TEXT NOT NULL\n"
    ");\n"
    "CREATE TABLE retention_run_counts (\n"
    "    run BIGINT NOT NULL REFERENCES retention_runs (run),\n"
    "    retention_class TEXT NOT NULL,\n"
    "    cutoff BIGINT,\n"
    "    removable BIGINT NOT NULL,\n"
    "    held BIGINT NOT NULL,\n"
    "    removed BIGINT NOT NULL,\n"
    "    expected_daily BIGINT NOT NULL,\n"
    "    PRIMARY KEY (run, retention_class)\n"
    ");\n"
    // A removal and a change of the holds both move it, so that one of them comes wholly before the other.
    "CREATE TABLE retention_turn (id BIGINT PRIMARY KEY, turn BIGINT NOT NULL);\n"
    "INSERT INTO retention_turn (id, turn) VALUES (1, 0)";

/// What the database refused to take into the tables above, as it came and why. Its own columns are such that nothing
/// can be refused.
std::string version_three(bool postgresql) {
    return std::string(
               "CREATE TABLE audit_parked (\n"
               "    gateway_id TEXT NOT NULL,\n"
               "    sequence BIGINT NOT NULL,\n"
               "    type BIGINT NOT NULL,\n"
               "    recorded_at BIGINT NOT NULL,\n"
               "    access_id TEXT NOT NULL,\n"
               "    payload ") +
           (postgresql ? "BYTEA" : "BLOB") +
           " NOT NULL,\n"
           "    error TEXT NOT NULL,\n"
           "    PRIMARY KEY (gateway_id, sequence)\n"
           ")";
}

/// What a record has learnt by a migration, as columns of the table and of the view.
std::string more_columns(bool postgresql, int version) {
    std::string sql, names;
    for (const auto& [since, column] : later_columns) {
        if (since > version) break;
        names += ", " + std::string(column);
        if (since < version) continue;
        sql += "ALTER TABLE accesses ADD COLUMN " + std::string(column) + " ";
        sql += is_number(column)
                   ? "BIGINT NOT NULL DEFAULT 0;\n"
                   : (postgresql ? "TEXT COLLATE \"C\" NOT NULL DEFAULT '';\n" : "TEXT NOT NULL DEFAULT '';\n");
    }
    return sql + access_log_with(postgresql, accesses_names(), names);
}

/// How far each sink is, and which records its receiver refused. The records themselves stay where they are.
constexpr std::string_view sinks =
    "CREATE TABLE audit_sinks (\n"
    "    sink TEXT NOT NULL,\n"
    "    gateway_id TEXT NOT NULL,\n"
    "    sequence BIGINT NOT NULL,\n"
    "    updated_at BIGINT NOT NULL,\n"
    "    PRIMARY KEY (sink, gateway_id)\n"
    ");\n"
    "CREATE TABLE audit_sink_parked (\n"
    "    sink TEXT NOT NULL,\n"
    "    gateway_id TEXT NOT NULL,\n"
    "    sequence BIGINT NOT NULL,\n"
    "    recorded_at BIGINT NOT NULL,\n"
    "    parked_at BIGINT NOT NULL,\n"
    "    error TEXT NOT NULL,\n"
    "    retry BIGINT NOT NULL,\n"
    "    PRIMARY KEY (sink, gateway_id, sequence)\n"
    ")";

/// Whose a run is that is under way, and until when it lives without a further sign.
constexpr std::string_view retention_lease =
    "ALTER TABLE retention_runs ADD COLUMN gateway_id TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE retention_runs ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0";

/// What would delete something of the record and waits for a second person.
constexpr std::string_view pending_orders =
    "CREATE TABLE pending_orders (\n"
    "    id TEXT PRIMARY KEY,\n"
    "    action TEXT NOT NULL,\n"
    "    resource TEXT NOT NULL,\n"
    "    before_json TEXT NOT NULL,\n"
    "    after_json TEXT NOT NULL,\n"
    "    asked_by TEXT NOT NULL,\n"
    "    account_id TEXT NOT NULL,\n"
    "    asked_at BIGINT NOT NULL,\n"
    "    expires_at BIGINT NOT NULL\n"
    ")";

}  // namespace

std::span<const base::sql::Migration> store_migrations() {
    static const std::string sqlite = version_one(false);
    static const std::string postgresql = version_one(true);
    static const std::string parked_sqlite = version_three(false);
    static const std::string parked_postgresql = version_three(true);
    static const std::string days = days_on_postgresql(accesses_columns(true, false), accesses_names());
    static const std::string questions_sqlite = questions(false, accesses_names());
    static const std::string questions_postgresql = questions(true, accesses_names());
    static const std::string devices_sqlite = more_columns(false, 105);
    static const std::string devices_postgresql = more_columns(true, 105);
    static const std::string judged_sqlite = more_columns(false, 110);
    static const std::string judged_postgresql = more_columns(true, 110);
    static const std::string posture_sqlite = more_columns(false, 113);
    static const std::string posture_postgresql = more_columns(true, 113);
    static const std::string revoked_sqlite = more_columns(false, 115);
    static const std::string revoked_postgresql = more_columns(true, 115);
    static const std::vector<base::sql::Migration> all{
        {100, "audit events, accesses and the watermark", sqlite, postgresql},
        {101, "retention", version_two, {}},
        {102, "parked records", parked_sqlite, parked_postgresql},
        {103, "days", days_on_sqlite, days},
        {104, "questions", questions_sqlite, questions_postgresql},
        {105, "enrolled devices", devices_sqlite, devices_postgresql},
        {110, "what an access was judged by", judged_sqlite, judged_postgresql},
        {111, "sinks", sinks, {}},
        {112, "a lease for runs of retention", retention_lease, {}},
        {113, "what devices say of themselves", posture_sqlite, posture_postgresql},
        {114, "orders that take two", pending_orders, {}},
        {115, "what passed behind a revocation", revoked_sqlite, revoked_postgresql}};
    return all;
}

}  // namespace usher::audit
