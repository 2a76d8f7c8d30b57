// The Database over PostgreSQL: a pool of connections, transactions that are run again when they collide.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/ids.hpp"
#include "base/sql/backend.hpp"
#include "base/sql/postgresql_connection.hpp"
#include "base/sql/postgresql_listener.hpp"
#include "base/sql/postgresql_url.hpp"
#include "base/text.hpp"

namespace usher::base::sql {
namespace {

constexpr std::size_t kMaxConnections = 4;
constexpr std::chrono::seconds kMaxWait{15};  ///< for one of them to be free
constexpr int kMaxAttempts = 5;
/// One key for all gateways of a database: "usher" as a number.
constexpr std::int64_t kMigrationLock = 0x7573686572;

/// Whether a statement is one whose rows changed_rows() counts. A WITH gives columns unless it ends in a change.
bool is_change(std::string_view sql, bool gave_columns) {
    const std::size_t first = std::min(sql.find_first_not_of(" \t\r\n"), sql.size());
    const std::string word = to_lower(sql.substr(first, 6));
    return word == "insert" || word == "update" || word == "delete" || word.starts_with("merge") ||
           (word.starts_with("with") && !gave_columns);
}

class PostgresqlTransaction final : public BackendTransaction {
public:
    explicit PostgresqlTransaction(PostgresqlConnection& connection) : connection_(connection) {}
    std::int64_t changed_rows() const override { return changed_rows_; }
    void notify(const std::string& message) override {
        execute("SELECT pg_catalog.pg_notify($1, $2)", {std::string(kChangesChannel), message});
    }
    struct Failure {
        bool worth_retrying = false;
        bool needs_new_connection = false;
    };
    const Failure& failed_with() const noexcept { return failed_with_; }

protected:
    Rows run(std::string_view sql, std::span<const Value> parameters) override {
        return remembered([&] {
            const pqxx::result result = connection_.execute(sql, parameters);
            if (is_change(sql, result.columns() > 0)) changed_rows_ = static_cast<std::int64_t>(result.affected_rows());
            return to_rows(result, sql);
        });
    }
    void run_once(std::string_view sql) override {
        remembered([&] { connection_.execute_once(sql); });
    }

private:
    template <class Action>
    auto remembered(Action action) -> decltype(action()) {
        try {
            return action();
        } catch (const PostgresqlError& e) {
            failed_with_ = {e.worth_retrying(), e.needs_new_connection()};
            throw;
        }
    }
    PostgresqlConnection& connection_;
    std::int64_t changed_rows_ = 0;
    Failure failed_with_;
};

class PostgresqlDatabase final : public Backend {
public:
    PostgresqlDatabase(PostgresqlUrl url, std::chrono::milliseconds answer_within)
        : url_(std::move(url)), watch_(answer_within) {}
    Dialect dialect() const noexcept override { return Dialect::postgresql; }

    /// Opens the first connection, so that a wrong URL is met at the start.
    void connect() { idle_.push_back(std::make_unique<PostgresqlConnection>(url_.connect, watch_)); }

    Result<std::unique_ptr<Listener>> listen() override {
        try {
            return listen_on(url_.connect, watch_);
        } catch (const SqlError& e) {
            return {e.error.code, e.error.message + " (" + url_.shown + ")"};
        }
    }

protected:
    Result<void> run(Mode mode, const Body& body) override {
        for (int attempt = 1;; ++attempt) {
            bool again = false;
            auto result = attempt_once(mode, body, again);
            if (!again || attempt == kMaxAttempts) return result;
            pause(attempt);
        }
    }

private:
    /// A place in the pool, with a connection on it. The connection goes back only if it is open and in no transaction.
    class Lease {
    public:
        explicit Lease(PostgresqlDatabase& database) : database_(database), connection_(database.take_place()) {}
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        ~Lease() {
            if (connection_ && in_transaction_) {
                try {
                    connection_->execute_once("ROLLBACK");
                } catch (const SqlError&) {
                    connection_.reset();  // closing it rolls back as well
                }
            }
            database_.give_back(std::move(connection_));
        }

        void begin(const char* sql) {
            if (connection_) {
                try {
                    connection_->execute_once(sql);
                    in_transaction_ = true;
                    return;
                } catch (const PostgresqlError&) {
                    // Most likely the server was restarted while the connection lay in the pool. Nothing was done on
                    // it, so a new one takes its place; the others in the pool will be as dead.
                    connection_.reset();
                    database_.drop_idle();
                }
            }
            connection_ = std::make_unique<PostgresqlConnection>(database_.url_.connect, database_.watch_);
            connection_->execute_once(sql);
            in_transaction_ = true;
        }
        void commit() {
            in_transaction_ = false;  // whatever COMMIT answers, the server is through with it
            connection_->execute_once("COMMIT");
        }
        void discard() noexcept { connection_.reset(); }
        PostgresqlConnection& operator*() const noexcept { return *connection_; }

    private:
        PostgresqlDatabase& database_;
        std::unique_ptr<PostgresqlConnection> connection_;
        bool in_transaction_ = false;
    };

    Result<void> attempt_once(Mode mode, const Body& body, bool& again) {
        try {
            Lease lease(*this);
            lease.begin(mode == Mode::write  ? "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"
                        : mode == Mode::read ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                                             : "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
            if (mode == Mode::migrate) prepare_migration(*lease);
            PostgresqlTransaction transaction(*lease);
            if (auto result = call_body(body, transaction); !result) {
                again = transaction.failed_with().worth_retrying;
                if (transaction.failed_with().needs_new_connection) lease.discard();
                return result;
            }
            try {
                lease.commit();
            } catch (const PostgresqlError& e) {
                again = e.worth_retrying();
                // Only an answer of the server says that it was not committed. Told to shut down, it may have done
                // both.
                const bool unknown = e.connection_lost || e.sqlstate.starts_with("57") || e.sqlstate.empty();
                if (unknown) lease.discard();
                if (unknown && mode != Mode::read)
                    return {Errc::unavailable, "commit unknown: " + e.error.message + " (" + url_.shown + ")"};
                throw;
            }
            return {};
        } catch (const SqlError& e) {
            return {e.error.code, e.error.message + " (" + url_.shown + ")"};
        }
    }

    /// Migrations come one after the other, whichever gateway runs them, and may take longer than daily statements.
    static void prepare_migration(PostgresqlConnection& connection) {
        connection.be_patient(true);
        connection.execute_once("SET LOCAL statement_timeout = '10min'");
        connection.execute_once("SET LOCAL lock_timeout = '60s'");
        connection.execute_once("SELECT pg_catalog.pg_advisory_xact_lock(" + std::to_string(kMigrationLock) + ")");
    }

    /// Waits for a place; gives an idle connection, or none where a new one is to be made. Throws SqlError.
    std::unique_ptr<PostgresqlConnection> take_place() {
        std::unique_lock lock(mutex_);
        if (!freed_.wait_for(lock, kMaxWait, [&] { return places_taken_ < kMaxConnections; })) {
            throw SqlError({Errc::unavailable, "all connections to the database were busy for " +
                                                   std::to_string(kMaxWait.count()) + " s; it is too slow, or locked"});
        }
        ++places_taken_;
        if (idle_.empty()) return nullptr;
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        return connection;
    }

    void give_back(std::unique_ptr<PostgresqlConnection> connection) {
        {
            const std::lock_guard lock(mutex_);
            --places_taken_;
            if (connection) connection->be_patient(false);
            if (connection && connection->is_open()) idle_.push_back(std::move(connection));
        }
        freed_.notify_one();
    }

    void drop_idle() {
        std::vector<std::unique_ptr<PostgresqlConnection>> dropped;  // closed outside of the lock
        const std::lock_guard lock(mutex_);
        dropped.swap(idle_);
    }

    /// A random wait that doubles, so that those who collided do not collide again.
    static void pause(int attempt) {
        std::array<std::uint8_t, 2> random;
        random_bytes(random);
        const int share = random[0] * 256 + random[1];
        std::this_thread::sleep_for(std::chrono::microseconds{(5'000LL << attempt) * share / 65536});
    }

    const PostgresqlUrl url_;
    AnswerWatch watch_;
    std::mutex mutex_;
    std::condition_variable freed_;
    std::size_t places_taken_ = 0;
    std::vector<std::unique_ptr<PostgresqlConnection>> idle_;
};

}  // namespace

Result<std::unique_ptr<Database>> open_postgresql(std::string_view url, int connect_timeout_s,
                                                  std::chrono::milliseconds answer_within) {
    auto parsed = parse_postgresql_url(url, connect_timeout_s);
    if (!parsed) return parsed.error();
    const std::string shown = parsed->shown;
    auto database = std::make_unique<PostgresqlDatabase>(std::move(*parsed), answer_within);
    try {
        database->connect();
    } catch (const SqlError& e) {
        return {e.error.code, "database " + shown + ": " + e.error.message};
    }
    return std::unique_ptr<Database>(std::move(database));
}

}  // namespace usher::base::sql
