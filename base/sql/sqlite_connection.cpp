#include "base/sql/sqlite_connection.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/text.hpp"

namespace usher::base::sql {
namespace {

struct Meaning {
    Errc code;
    std::string_view advice;
};

/// `code` is an extended result code (https://www.sqlite.org/rescode.html).
Meaning meaning_of(int code) noexcept {
    switch (code) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
        case SQLITE_CONSTRAINT_ROWID:
            return {Errc::already_exists, ""};
        case SQLITE_CONSTRAINT_FOREIGNKEY:
            return {Errc::failed_precondition, ""};
        default:
            break;
    }
    switch (code & 0xff) {
        case SQLITE_CONSTRAINT:
        case SQLITE_MISMATCH:
        case SQLITE_TOOBIG:
            return {Errc::invalid_argument, ""};
        case SQLITE_FULL:
            return {Errc::resource_exhausted, "; make room on its disk"};
        case SQLITE_NOMEM:
            return {Errc::resource_exhausted, ""};
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return {Errc::data_loss, "; restore the database from a backup"};
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return {Errc::unavailable, "; another program holds the database, end it or try again"};
        case SQLITE_IOERR:
            return {Errc::unavailable, "; check the disk"};
        case SQLITE_CANTOPEN:
            return {Errc::unavailable, "; check that the file and its folder may be written"};
        case SQLITE_READONLY:
            return {Errc::failed_precondition, ""};
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return {Errc::permission_denied, ""};
        default:
            return {Errc::internal, ""};
    }
}

Value column_value(sqlite3_stmt* statement, int column) {
    const auto size = [&] { return static_cast<std::size_t>(sqlite3_column_bytes(statement, column)); };
    switch (sqlite3_column_type(statement, column)) {
        case SQLITE_INTEGER:
            return std::int64_t{sqlite3_column_int64(statement, column)};
        case SQLITE_FLOAT:
            return sqlite3_column_double(statement, column);
        case SQLITE_TEXT: {
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
            return text == nullptr ? std::string() : std::string(text, size());
        }
        case SQLITE_BLOB: {
            const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
            return bytes == nullptr ? Blob{} : Blob{std::string(bytes, size())};
        }
        default:
            return std::monostate{};
    }
}

int compare_bytes(void*, int a_size, const void* a, int b_size, const void* b) {
    const int order = std::memcmp(a, b, static_cast<std::size_t>(std::min(a_size, b_size)));
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

}  // namespace

SqliteConnection::SqliteConnection(const std::string& path, bool read_only) {
    sqlite3* raw = nullptr;
    // NOMUTEX: the owner's mutex is enough. READWRITE for readers too: in WAL mode they write the shared-memory file.
    const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    db_.reset(raw);
    if (opened != SQLITE_OK) fail(opened, "open");
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, kBusyTimeoutMs);
    // A damaged or hostile file must not run anything: no schema tricks, no functions from the schema, no "text" in
    // double quotes taken for a string.
    for (const auto& [option, value] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                        {SQLITE_DBCONFIG_DQS_DML, 0},
                                        {SQLITE_DBCONFIG_DQS_DDL, 0}})
        sqlite3_db_config(raw, option, value, nullptr);
    // PostgreSQL's name for the order by bytes.
    if (sqlite3_create_collation(raw, "C", SQLITE_UTF8, nullptr, compare_bytes) != SQLITE_OK)
        fail(sqlite3_extended_errcode(raw), "collation");

    if (execute_once("PRAGMA journal_mode=WAL") != "wal")
        throw SqlError(
            {Errc::failed_precondition, "its file system does not support SQLite's WAL mode (a network share?)"});
    execute_once("PRAGMA synchronous=FULL");
    execute_once("PRAGMA foreign_keys=ON");
    execute_once("PRAGMA secure_delete=ON");  // what is deleted must not stay readable in the file
    execute_once("PRAGMA temp_store=MEMORY");
    execute_once("PRAGMA case_sensitive_like=ON");
    execute_once("PRAGMA cell_size_check=ON");
    execute_once("PRAGMA journal_size_limit=67108864");
    // In pages, of 4 KiB: a page that many transactions change is carried from the log into the file once.
    execute_once("PRAGMA wal_autocheckpoint=16000");
    if (read_only) {
        execute_once("PRAGMA query_only=ON");
    } else {
        // In KiB. Whoever ships records goes from index to index: with SQLite's own 2 MiB each batch reads the pages
        // again that the one before changed. A busy gateway has all of it in use, so it counts where memory is bounded.
        execute_once("PRAGMA cache_size=-16384");
    }
    if (execute_once("PRAGMA synchronous") != "2" || execute_once("PRAGMA foreign_keys") != "1")
        throw SqlError({Errc::internal, "this SQLite library was built without foreign keys or durable commits"});
}

SqliteConnection::~SqliteConnection() = default;

void SqliteConnection::fail(int code, std::string_view sql) const {
    const int extended = db_ ? sqlite3_extended_errcode(db_.get()) : code;
    const Meaning meaning = meaning_of((extended & 0xff) == (code & 0xff) ? extended : code);
    // SQLite's message names tables and columns, never values.
    const std::string_view message = db_ ? sqlite3_errmsg(db_.get()) : sqlite3_errstr(code);
    throw SqlError({meaning.code,
                    "SQLite: " + escape_for_terminal(message, 300) + in_statement(sql) + std::string(meaning.advice)});
}

SqliteConnection::Statement SqliteConnection::prepare(std::string_view sql, unsigned flags) {
    if (sql.size() > static_cast<std::size_t>(std::numeric_limits<int>::max() / 2))
        throw SqlError({Errc::internal, "a statement is too long"});
    sqlite3_stmt* raw = nullptr;
    const char* rest = nullptr;
    const int status = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()), flags, &raw, &rest);
    Statement statement(raw);
    if (status != SQLITE_OK) fail(status, sql);
    const std::string_view tail = sql.substr(static_cast<std::size_t>(rest - sql.data()));
    if (!statement || tail.find_first_not_of(" \t\r\n;") != std::string_view::npos)
        throw SqlError({Errc::internal, "not exactly one statement" + in_statement(sql)});
    return statement;
}

SqliteConnection::Cached& SqliteConnection::cached(std::string_view sql) {
    if (last_ == nullptr || last_->first != sql) {
        auto found = cache_.find(sql);
        if (found == cache_.end()) {
            Cached made{prepare(sql, SQLITE_PREPARE_PERSISTENT), 0, {}, 0};
            read_places(made, sql);
            if (cache_.size() >= kMaxCachedStatements) {
                cache_.erase(std::min_element(cache_.begin(), cache_.end(), [](const auto& a, const auto& b) {
                    return a.second.used < b.second.used;
                }));
            }
            found = cache_.emplace(std::string(sql), std::move(made)).first;
        }
        last_ = &*found;
    }
    last_->second.used = ++uses_;
    return last_->second;
}

/// SQLite numbers "$2 ... $1" by their first appearance, PostgreSQL by the number itself: go by the name.
void SqliteConnection::read_places(Cached& cached, std::string_view sql) {
    const int places = sqlite3_bind_parameter_count(cached.statement.get());
    for (int place = 1; place <= places; ++place) {
        const char* name = sqlite3_bind_parameter_name(cached.statement.get(), place);
        const auto number = name != nullptr && name[0] == '$' ? parse_unsigned(name + 1, 65535) : std::nullopt;
        if (!number || *number == 0) throw SqlError({Errc::internal, "a parameter is not $1..$n" + in_statement(sql)});
        cached.places.push_back(static_cast<std::uint16_t>(*number));
        cached.parameters = std::max(cached.parameters, static_cast<std::size_t>(*number));
    }
}

void SqliteConnection::bind(const Cached& cached, std::string_view sql, std::span<const Value> parameters) {
    if (cached.parameters != parameters.size()) {
        throw SqlError({Errc::internal, std::to_string(parameters.size()) + " values given for " +
                                            std::to_string(cached.parameters) + " parameters" + in_statement(sql)});
    }
    sqlite3_stmt* const statement = cached.statement.get();
    int place = 0;
    for (const std::size_t number : cached.places) {
        ++place;
        const Value& value = parameters[number - 1];
        int status = SQLITE_OK;
        // STATIC: the values outlive the stepping, and the bindings are cleared after it.
        if (const auto* i = std::get_if<std::int64_t>(&value)) {
            status = sqlite3_bind_int64(statement, place, *i);
        } else if (const auto* d = std::get_if<double>(&value)) {
            status = sqlite3_bind_double(statement, place, *d);
        } else if (const auto* s = std::get_if<std::string>(&value)) {
            status = sqlite3_bind_text64(statement, place, s->data(), s->size(), SQLITE_STATIC, SQLITE_UTF8);
        } else if (const auto* b = std::get_if<Blob>(&value)) {
            status = sqlite3_bind_blob64(statement, place, b->bytes.data(), b->bytes.size(), SQLITE_STATIC);
        } else {
            status = sqlite3_bind_null(statement, place);
        }
        if (status != SQLITE_OK) fail(status, sql);
    }
}

Rows SqliteConnection::step_all(sqlite3_stmt* statement, std::string_view sql) {
    Rows rows;
    for (;;) {
        const int status = sqlite3_step(statement);
        if (status == SQLITE_DONE) return rows;
        if (status != SQLITE_ROW) fail(status, sql);
        if (rows.size() >= kMaxRows)
            throw SqlError({Errc::resource_exhausted, "too many rows" + in_statement(sql) + "; ask for fewer"});
        const int columns = sqlite3_data_count(statement);  // per row: stepping may prepare it again for a new schema
        std::vector<Value> values;
        values.reserve(static_cast<std::size_t>(columns));
        for (int column = 0; column < columns; ++column) values.push_back(column_value(statement, column));
        rows.emplace_back(std::move(values));
    }
}

Rows SqliteConnection::execute(std::string_view sql, std::span<const Value> parameters) {
    const Cached& found = cached(sql);
    sqlite3_stmt* const statement = found.statement.get();
    struct Reset {
        sqlite3_stmt* statement;
        ~Reset() {
            sqlite3_reset(statement);
            sqlite3_clear_bindings(statement);
        }
    } reset{statement};
    bind(found, sql, parameters);
    return step_all(statement, sql);
}

std::string SqliteConnection::execute_once(std::string_view sql) {
    const Statement statement = prepare(sql, 0);
    const int status = sqlite3_step(statement.get());
    if (status == SQLITE_DONE) return {};
    if (status != SQLITE_ROW) fail(status, sql);
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    std::string first = text == nullptr ? "" : text;
    for (int next = SQLITE_ROW; next == SQLITE_ROW;) {
        next = sqlite3_step(statement.get());
        if (next != SQLITE_ROW && next != SQLITE_DONE) fail(next, sql);
    }
    return first;
}

}  // namespace usher::base::sql
