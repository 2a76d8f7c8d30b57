#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace usher::base::sql {

/// A value bound to a parameter or read from a column. BIGINT columns are int64, DOUBLE PRECISION double, TEXT string,
/// BYTEA/BLOB Blob, NULL monostate.
struct Blob {
    std::string bytes;
    friend bool operator==(const Blob&, const Blob&) = default;
};
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

/// One row of a result. Reading a column as another type than the schema says is Errc::data_loss territory and throws
/// std::runtime_error naming the column: the caller's transaction() turns it into an Error.
class Row {
public:
    explicit Row(std::vector<Value> values) : values_(std::move(values)) {}
    std::int64_t integer(std::size_t column) const;
    const std::string& text(std::size_t column) const;
    const std::string& blob(std::size_t column) const;
    bool is_null(std::size_t column) const;
    std::optional<std::int64_t> maybe_integer(std::size_t column) const;
    std::optional<std::string> maybe_text(std::size_t column) const;
    std::size_t size() const noexcept { return values_.size(); }

private:
    std::vector<Value> values_;
};
using Rows = std::vector<Row>;

/// A failed statement; thrown inside a transaction and turned into a Result by Database::transaction().
struct SqlError : std::exception {
    explicit SqlError(Error e) : error(std::move(e)) {}
    const char* what() const noexcept override { return error.message.c_str(); }
    Error error;
};

/// A transaction in progress on one thread.
class Transaction {
public:
    virtual ~Transaction() = default;
    /// Runs one statement. `sql` is a literal with $1..$n; every value is bound, none is ever pasted into the text.
    /// Prepared once per connection. Throws SqlError: unique violations are already_exists, foreign keys
    /// failed_precondition, a lost connection unavailable, a full disk resource_exhausted.
    virtual Rows execute(std::string_view sql, std::span<const Value> parameters) = 0;
    Rows execute(std::string_view sql, std::initializer_list<Value> parameters = {}) {
        return execute(sql, std::span<const Value>(parameters.begin(), parameters.size()));
    }
    /// How many rows the last INSERT, UPDATE or DELETE changed.
    virtual std::int64_t changed_rows() const = 0;
};

enum class Dialect { sqlite, postgresql };

/// One numbered change of the schema. The same text must run on both databases; where it cannot, `postgresql` holds the
/// other spelling. Statements are separated by ";\n".
struct Migration {
    int version;  ///< 1, 2, 3 ... without a gap
    std::string_view name;
    std::string_view sqlite;
    std::string_view postgresql;  ///< empty: same as `sqlite`
};

/// A database. Thread-safe: SQLite serializes writers on one connection with its own mutex and reads on a second one;
/// PostgreSQL keeps a small pool of connections, re-opened when lost. Calls block; keep them off the workers.
class Database {
public:
    virtual ~Database() = default;
    virtual Dialect dialect() const noexcept = 0;

    /// Runs `body` in one transaction and commits. When `body` throws, or returns an error, it is rolled back and the
    /// error returned. Serialization failures and deadlocks (PostgreSQL 40001, 40P01) run `body` again, at most five
    /// times in all, so `body` must be repeatable. A connection lost before COMMIT was sent gives unavailable; lost
    /// while COMMIT was under way, unavailable with "commit unknown" in the message: the caller must be idempotent.
    virtual Result<void> transaction(const std::function<Result<void>(Transaction&)>& body) = 0;
    /// As transaction(), for reading only, on a consistent snapshot.
    virtual Result<void> read(const std::function<Result<void>(Transaction&)>& body) = 0;

    /// Brings the schema up to the last migration, each in its own transaction, recorded in schema_migrations
    /// (version, name, applied_at). Refuses (failed_precondition) a database that is newer than this program, naming both
    /// versions. Two programs at once are safe (advisory lock on PostgreSQL, IMMEDIATE on SQLite).
    virtual Result<void> migrate(std::span<const Migration> migrations) = 0;
};

/// Opens "sqlite:PATH" (created with mode 0600; WAL, synchronous=FULL, foreign_keys=ON, busy_timeout) or
/// "postgresql://...", which must answer within `connect_timeout_s` and must not have synchronous_commit=off or
/// fsync=off. The error names the target without its password.
Result<std::unique_ptr<Database>> open_database(std::string_view url, int connect_timeout_s = 5);

}  // namespace usher::base::sql
