#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <pqxx/pqxx>
#include <span>
#include <string>
#include <string_view>

#include "base/sql/answer_watch.hpp"
#include "base/sql/backend.hpp"
#include "base/unique_fd.hpp"

/// libpqxx changed between Debian 12 (6.4) and 13 (7.10); what differs is in the .cpp of this header.
namespace usher::base::sql {

/// How a statement failed on PostgreSQL.
struct PostgresqlError : SqlError {
    PostgresqlError(Error e, std::string state, bool lost)
        : SqlError(std::move(e)), sqlstate(std::move(state)), connection_lost(lost) {}
    /// Whether running the whole transaction again may help.
    bool worth_retrying() const noexcept;
    /// Whether what this connection has prepared cannot be used any more.
    bool needs_new_connection() const noexcept;
    std::string sqlstate;  ///< five characters, or empty where the server gave none
    bool connection_lost;
};

/// One connection and its prepared statements. Not thread-safe. Everything throws PostgresqlError.
class PostgresqlConnection {
public:
    /// `url` has been checked and completed. Connects, checks the server and settles the session. `watch` outlives the
    /// connection and ends it where the server does not answer.
    PostgresqlConnection(const std::string& url, AnswerWatch& watch);

    bool is_open() const noexcept { return connection_->is_open(); }
    /// What waits for the server on it fails now, and so does what comes later. Any thread.
    void cut() noexcept;
    /// Whether what is asked from now on may take as long as the server lets it: nobody watches.
    void be_patient(bool patient) noexcept { patient_ = patient; }
    /// One statement as it is: no parameters, not prepared.
    pqxx::result execute_once(std::string_view sql);
    pqxx::result execute(std::string_view sql, std::span<const Value> parameters);

    /// The connection itself, and `action` with its exceptions turned into ours: for what is no statement.
    template <class Action>
    auto with(Action action);

private:
    struct Prepared {
        std::string name;
        std::uint64_t used = 0;
    };
    const std::string& prepared(std::string_view sql);
    std::string show(const std::string& setting);
    void settle_session();
    template <class Action>
    auto translated(std::string_view sql, Action action);
    template <class Action>
    auto asked(std::string_view sql, Action action);

    AnswerWatch::Question question() { return {patient_ ? nullptr : &watch_, watched_.get()}; }

    AnswerWatch& watch_;
    bool patient_ = false;
    std::unique_ptr<pqxx::connection> connection_;
    UniqueFd watched_;  ///< its socket once more: libpq may close its own at any moment, and the number be another's
    std::map<std::string, Prepared, std::less<>> cache_;
    std::uint64_t uses_ = 0;
};

template <class Action>
auto PostgresqlConnection::with(Action action) {
    const auto in_time = question();
    try {
        return action(*connection_);
    } catch (const SqlError&) {
        throw;
    } catch (const std::exception&) {
        throw PostgresqlError({Errc::unavailable, "PostgreSQL: the connection is lost"}, "", true);
    }
}

/// The rows of a result, by the types of its columns. Throws SqlError where a value cannot be what its type says.
Rows to_rows(const pqxx::result& result, std::string_view sql);

}  // namespace usher::base::sql
