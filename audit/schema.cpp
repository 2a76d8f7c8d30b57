#include <string>
#include <vector>

#include "audit/access_fields.hpp"
#include "audit/store.hpp"

namespace usher::audit {
namespace {

/// The columns of `accesses` are the record's fields, so that an auditor reads them with plain SQL; `payload` is the
/// record as it was written. Texts compare byte by byte on both databases.
std::string accesses_table(bool postgresql) {
    const std::string text = postgresql ? "TEXT COLLATE \"C\" NOT NULL" : "TEXT NOT NULL";
    std::string sql = "CREATE TABLE accesses (\n";
    for (const auto& field : access_fields()) {
        const bool number = field.filter.type == FieldType::integer || field.filter.type == FieldType::time ||
                            field.filter.type == FieldType::boolean;
        sql += "    " + std::string(field.column) + " " + (number ? std::string("BIGINT NOT NULL") : text);
        sql += field.column == "access_id" ? " PRIMARY KEY,\n" : ",\n";
    }
    sql += std::string("    payload ") + (postgresql ? "BYTEA" : "BLOB") + " NOT NULL\n)";
    return sql;
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

}  // namespace

std::span<const base::sql::Migration> store_migrations() {
    static const std::string sqlite = version_one(false);
    static const std::string postgresql = version_one(true);
    static const std::vector<base::sql::Migration> all{
        {100, "audit events, accesses and the watermark", sqlite, postgresql}};
    return all;
}

}  // namespace usher::audit
