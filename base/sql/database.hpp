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

#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::base::sql {

/// What the SQL texts may rely on, so that one text runs on both databases: parameters are $1..$n, all of them used;
/// text is UTF-8 without NUL and compares by bytes where it matters with COLLATE "C"; LIKE minds case; sums of whole
/// numbers and truth values are read as integers.

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
    /// Runs one statement, for at most 30 s (PostgreSQL), giving at most 1,000,000 rows. `sql` is a literal with
    /// $1..$n; every value is bound, none is ever pasted into the text. Prepared once per connection. Throws SqlError:
    /// unique violations are already_exists, foreign keys failed_precondition, other constraints, triggers that raise,
    /// texts that are none and rows that are too large invalid_argument, a lost connection unavailable, a full disk
    /// resource_exhausted, damaged files data_loss, writing in read() failed_precondition. The first failure dooms the
    /// transaction: it cannot be committed any more, even if the body swallows the error.
    virtual Rows execute(std::string_view sql, std::span<const Value> parameters) = 0;
    Rows execute(std::string_view sql, std::initializer_list<Value> parameters = {}) {
        return execute(sql, std::span<const Value>(parameters.begin(), parameters.size()));
    }
    /// How many rows the last INSERT, UPDATE or DELETE changed.
    virtual std::int64_t changed_rows() const = 0;
    /// Tells every Listener of this database when the transaction commits, and nobody when it does not. At most 7,000
    /// bytes of text. SQLite has one program and nobody to tell. Throws SqlError.
    virtual void notify(const std::string& /*message*/) {}
};

/// Hears what others on the same database say with Transaction::notify(): each message once, in the order of the
/// commits, from its making on. PostgreSQL's LISTEN; a pooler that shares connections between sessions breaks it.
/// For one thread, but for wake() and cut().
class Listener {
public:
    struct Heard {
        std::vector<std::string> messages;
        bool echo = false;  ///< what echo() asked for: everything that was committed before it has been heard
    };
    virtual ~Listener() = default;
    /// Waits until there is something, wake() was called or `limit` is over. After an error nothing more comes and
    /// messages may be lost: make a new one, and look at everything.
    virtual Result<Heard> wait(Microseconds limit) = 0;
    /// Sends a message to this listener alone. Blocks for the database.
    virtual Result<void> echo() = 0;
    /// Ends a wait(), the current or the next one. Any thread.
    virtual void wake() noexcept = 0;
    /// Ends the connection: what waits for the database fails now. Any thread.
    virtual void cut() noexcept = 0;
};

enum class Dialect { sqlite, postgresql };

/// One numbered change of the schema; numbers rise, and may leave out some (each library has its own hundred). The same
/// text must run on both databases; where it cannot, `postgresql` holds the other spelling. Statements are separated by
/// ";\n".
struct Migration {
    int version;  ///< from 1
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
    /// Transactions are serializable and do not nest: one inside of another's body, on the same database, is internal.
    virtual Result<void> transaction(const std::function<Result<void>(Transaction&)>& body) = 0;
    /// As transaction(), for reading only, on a consistent snapshot.
    virtual Result<void> read(const std::function<Result<void>(Transaction&)>& body) = 0;

    /// Runs the migrations that the database has not seen, in the order of their numbers, each in its own transaction,
    /// recorded in schema_migrations (version, name, applied_at in microseconds since 1970). Refuses
    /// (failed_precondition) a database that is newer than this program, naming both versions, and one where a number
    /// stands under another name. Two programs at once are safe (advisory lock on PostgreSQL, IMMEDIATE on SQLite).
    virtual Result<void> migrate(std::span<const Migration> migrations) = 0;

    /// A new listener on a connection of its own; nullptr where there is nobody to listen to (SQLite).
    virtual Result<std::unique_ptr<Listener>> listen() { return std::unique_ptr<Listener>(); }
};

/// Opens "sqlite:PATH" (created with mode 0600, an existing one is brought to it, a symbolic link is refused; WAL,
/// synchronous=FULL, foreign_keys=ON, busy_timeout 5 s, deleted content overwritten) or "postgresql://...", version 15
/// or newer in UTF-8, which must answer within `connect_timeout_s` and must not have synchronous_commit=off or
/// fsync=off; there everything lives in the schema "usher", made if it is missing. The error names the target without
/// its password.
Result<std::unique_ptr<Database>> open_database(std::string_view url, int connect_timeout_s = 5);

/// The URL as it may be shown: scheme, user, hosts and database; no password and no query parameter but host, port and
/// sslmode. What cannot be read safely becomes "postgresql://...".
std::string redact_database_url(std::string_view url);

}  // namespace usher::base::sql
