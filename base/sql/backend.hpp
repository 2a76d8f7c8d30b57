#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/sql/database.hpp"

/// What the two databases share. Nothing outside of base/sql includes this.
namespace usher::base::sql {

constexpr std::size_t kMaxRows = 1'000'000;        ///< of one result; more is a missing LIMIT
constexpr std::size_t kMaxCachedStatements = 200;  ///< prepared statements per connection
constexpr int kBusyTimeoutMs = 5'000;              ///< SQLite: waiting for another program's write

/// Thrown by Row for a column of another type than the schema says; becomes data_loss.
struct ColumnError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Mode {
    write,    ///< serializable
    read,     ///< read only, one snapshot
    migrate,  ///< alone in the database among migrations; sees what was committed before it began
};

/// A transaction as the backends implement it: remembers the first failure.
class BackendTransaction : public Transaction {
public:
    Rows execute(std::string_view sql, std::span<const Value> parameters) final;
    using Transaction::execute;
    /// A statement of a migration: no parameters, no rows, not kept prepared. Throws SqlError.
    void execute_once(std::string_view sql);
    /// The first failed statement, which doomed the transaction.
    const std::optional<Error>& failure() const noexcept { return failure_; }

protected:
    virtual Rows run(std::string_view sql, std::span<const Value> parameters) = 0;
    virtual void run_once(std::string_view sql) = 0;

private:
    template <class Action>
    auto guarded(Action action);
    std::optional<Error> failure_;
};

/// The part of a Database that does not depend on which one it is.
class Backend : public Database {
public:
    Result<void> transaction(const std::function<Result<void>(Transaction&)>& body) final;
    Result<void> read(const std::function<Result<void>(Transaction&)>& body) final;
    Result<void> migrate(std::span<const Migration> migrations) final;

protected:
    using Body = std::function<Result<void>(BackendTransaction&)>;
    virtual Result<void> run(Mode mode, const Body& body) = 0;

private:
    Result<void> run_not_nested(Mode mode, const Body& body);
};

/// Calls `body` and turns everything that it throws into an Error. Ok only if no statement failed.
Result<void> call_body(const std::function<Result<void>(BackendTransaction&)>& body, BackendTransaction& transaction);

/// " in 'INSERT INTO ...'": the beginning of a statement, for an error; "" for an empty one. Statements are literals
/// and hold no data.
std::string in_statement(std::string_view sql);

/// The statements of a migration, without the semicolons.
std::vector<std::string_view> split_statements(std::string_view script);

Result<std::unique_ptr<Database>> open_sqlite(std::string_view path);
/// A server has this long to answer a statement: more than it gives itself.
constexpr std::chrono::milliseconds kAnswerWithin{40'000};
Result<std::unique_ptr<Database>> open_postgresql(std::string_view url, int connect_timeout_s,
                                                  std::chrono::milliseconds answer_within = kAnswerWithin);

}  // namespace usher::base::sql
