#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "auth/directory.hpp"
#include "auth/sessions.hpp"
#include "base/sql/test_database.hpp"

namespace usher::test {

/// A database that is away when told so: before the body runs, or after it, as with a commit whose answer is lost.
class UnreliableDatabase final : public base::sql::Database {
public:
    explicit UnreliableDatabase(base::sql::Database& real) : real_(real) {}
    enum class Mode { works, away, answer_lost };
    std::atomic<Mode> mode{Mode::works};

    base::sql::Dialect dialect() const noexcept override { return real_.dialect(); }
    base::Result<void> transaction(const std::function<base::Result<void>(base::sql::Transaction&)>& body) override {
        if (mode == Mode::away) return away();
        auto done = real_.transaction(body);
        if (done.ok() && mode == Mode::answer_lost) return {base::Errc::unavailable, "connection lost: commit unknown"};
        return done;
    }
    base::Result<void> read(const std::function<base::Result<void>(base::sql::Transaction&)>& body) override {
        if (mode == Mode::away) return away();
        return real_.read(body);
    }
    base::Result<void> migrate(std::span<const base::sql::Migration> list) override { return real_.migrate(list); }

private:
    static base::Result<void> away() { return {base::Errc::unavailable, "the database is away"}; }
    base::sql::Database& real_;
};

/// Keeps what is recorded; refuses when told so.
struct Recorder {
    std::vector<auth::Change> changes;
    bool refuses = false;
    auth::RecordChange function() {
        return [this](const auth::Change& change) -> base::Result<void> {
            if (refuses) return {base::Errc::unavailable, "the journal is full"};
            changes.push_back(change);
            return {};
        };
    }
};

inline const base::UtcTime test_start = base::parse_rfc3339("2026-11-23T10:00:00Z").value();
inline const std::string test_hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$CANARYHASH";
inline const auth::RecordChange no_record;

inline auth::Account named(std::string username) {
    auth::Account account;
    account.username = std::move(username);
    return account;
}

/// The value, or a failed test with the error.
template <class T>
T must(base::Result<T> result) {
    if (!result.ok()) FAIL(result.error().message);
    return std::move(result).value();
}
inline void must(const base::Result<void>& result) {
    if (!result.ok()) FAIL(result.error().message);
}
template <class T>
base::Error error_of(const base::Result<T>& result) {
    if (result.ok()) FAIL("an error was expected");
    return result.error();
}

/// An open directory in a migrated database.
struct DirectoryFixture {
    explicit DirectoryFixture(TestDatabase& test) : database(test.open()), unreliable(*database) {
        must(database->migrate(auth::Directory::migrations()));
        directory = must(auth::Directory::open(unreliable, clock));
    }
    base::ManualClock clock{test_start};
    std::unique_ptr<base::sql::Database> database;
    UnreliableDatabase unreliable;
    std::unique_ptr<auth::Directory> directory;
    Recorder recorder;

    auth::Account create(const std::string& username) {
        return must(directory->create_account(named(username), test_hash, no_record));
    }
    /// Runs one statement as somebody with the database's password would.
    void tamper(std::string_view sql) {
        must(database->transaction([&](base::sql::Transaction& t) -> base::Result<void> {
            t.execute(sql);
            return {};
        }));
    }
};

}  // namespace usher::test
