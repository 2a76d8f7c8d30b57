// The Database over SQLite: one connection that writes, one that reads, each behind a mutex.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <system_error>

#include "base/sql/backend.hpp"
#include "base/sql/sqlite_connection.hpp"
#include "base/text.hpp"

namespace usher::base::sql {
namespace {

class SqliteTransaction final : public BackendTransaction {
public:
    explicit SqliteTransaction(SqliteConnection& connection) : connection_(connection) {}
    std::int64_t changed_rows() const override { return connection_.changed_rows(); }

protected:
    Rows run(std::string_view sql, std::span<const Value> parameters) override {
        return connection_.execute(sql, parameters);
    }
    void run_once(std::string_view sql) override { connection_.execute_once(sql); }

private:
    SqliteConnection& connection_;
};

class SqliteDatabase final : public Backend {
public:
    explicit SqliteDatabase(const std::string& path) : writer_(path, false), reader_(path, true) {}
    Dialect dialect() const noexcept override { return Dialect::sqlite; }

protected:
    Result<void> run(Mode mode, const Body& body) override {
        const bool reads = mode == Mode::read;
        const std::lock_guard lock(reads ? reader_mutex_ : writer_mutex_);
        SqliteConnection& connection = reads ? reader_ : writer_;
        // However this is left, the connection must be free for the next one.
        struct Rollback {
            SqliteConnection& connection;
            ~Rollback() {
                if (!connection.in_transaction()) return;
                try {
                    connection.execute("ROLLBACK", {});
                } catch (const SqlError&) {
                    // It fails only where SQLite has rolled back by itself.
                }
            }
        } rollback{connection};
        try {
            connection.execute(reads ? "BEGIN" : "BEGIN IMMEDIATE", {});
        } catch (const SqlError& e) {
            return e.error;
        }
        SqliteTransaction transaction(connection);
        if (auto result = call_body(body, transaction); !result) return result;
        if (!connection.in_transaction())
            return {Errc::internal, "the transaction was ended by one of its own statements"};
        try {
            connection.execute("COMMIT", {});
        } catch (const SqlError& e) {
            // An I/O error may hit after the log was written: after a crash the transaction may be found complete.
            const bool unknown = e.error.code == Errc::unavailable && !reads && !connection.in_transaction();
            return {e.error.code, (unknown ? "commit unknown: " : "") + e.error.message};
        }
        return {};
    }

private:
    std::mutex writer_mutex_;
    std::mutex reader_mutex_;
    SqliteConnection writer_;
    SqliteConnection reader_;
};

std::string cause() { return std::generic_category().message(errno); }

/// Makes the file if it is missing, with the mode that it is to have from its first byte on. SQLite gives its -wal and
/// -shm files the mode of this one.
Result<void> prepare_file(const std::string& path) {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
        const std::string name = path + suffix;
        struct stat info {};
        if (::lstat(name.c_str(), &info) != 0) {
            if (errno == ENOENT) continue;
            return {Errc::unavailable, "cannot look at " + name + ": " + cause()};
        }
        // A link here could make the daemon write a file of somebody's choice.
        if (!S_ISREG(info.st_mode))
            return {Errc::failed_precondition,
                    name + " is not a regular file (a symbolic link?); name the file itself"};
        if ((info.st_mode & 077) != 0 && ::chmod(name.c_str(), 0600) != 0)
            return {Errc::permission_denied, "cannot set the mode of " + name + " to 0600: " + cause()};
    }
    // EXCL: an existing file is never opened here, because closing it would drop the locks that SQLite has on it in
    // this process (fcntl locks belong to the process).
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ::close(fd);
    } else if (errno != EEXIST) {
        return {Errc::unavailable,
                "cannot create " + path + ": " + cause() + "; make its folder, writable for this user"};
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(std::string_view path) {
    if (path.empty() || path.find('\0') != std::string_view::npos)
        return {Errc::invalid_argument, "\"sqlite:\" needs the path of a file behind it"};
    // Neither ":memory:" (a database that forgets) nor "file:...?..." (parameters) may mean anything special.
    const std::string file = path[0] == '/' ? std::string(path) : "./" + std::string(path);
    const std::string shown = escape_for_terminal(path, 300);
    // One at a time, so that no other thread opens the new file before its descriptor here is closed.
    static std::mutex opening;
    const std::lock_guard lock(opening);
    if (auto prepared = prepare_file(file); !prepared)
        return {prepared.error().code, "database sqlite:" + shown + ": " + prepared.error().message};
    try {
        return std::unique_ptr<Database>(std::make_unique<SqliteDatabase>(file));
    } catch (const SqlError& e) {
        return {e.error.code, "database sqlite:" + shown + ": " + e.error.message};
    }
}

}  // namespace usher::base::sql
