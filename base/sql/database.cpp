#include "base/sql/database.hpp"

#include <algorithm>

#include "base/sql/backend.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::base::sql {
namespace {

constexpr std::string_view type_name(const Value& value) noexcept {
    constexpr std::string_view names[] = {"NULL", "an integer", "a floating-point number", "a text", "a blob"};
    return names[value.index()];
}

template <class T>
const T& column(const std::vector<Value>& values, std::size_t index, std::string_view wanted) {
    const std::string where = "column " + std::to_string(index + 1) + " of " + std::to_string(values.size());
    if (index >= values.size()) throw ColumnError("the result has no " + where);
    if (const T* value = std::get_if<T>(&values[index])) return *value;
    throw ColumnError(where + " should be " + std::string(wanted) + " and is " + std::string(type_name(values[index])));
}

/// Throws invalid_argument for text that one of the databases would not store as it is.
void check_parameters(std::span<const Value> parameters) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const auto* text = std::get_if<std::string>(&parameters[i]);
        if (text == nullptr) continue;
        const bool has_nul = text->find('\0') != std::string::npos;
        if (!has_nul && is_utf8(*text)) continue;
        throw SqlError({Errc::invalid_argument, "the value of $" + std::to_string(i + 1) +
                                                    (has_nul ? " holds a NUL byte" : " is not valid UTF-8") +
                                                    "; a text column cannot hold it"});
    }
}

/// Which database this thread is in a transaction of, so that nesting is an error and not a deadlock.
thread_local const Backend* t_active = nullptr;

}  // namespace

std::int64_t Row::integer(std::size_t index) const { return column<std::int64_t>(values_, index, "an integer"); }

const std::string& Row::text(std::size_t index) const { return column<std::string>(values_, index, "a text"); }

const std::string& Row::blob(std::size_t index) const { return column<Blob>(values_, index, "a blob").bytes; }

bool Row::is_null(std::size_t index) const {
    if (index >= values_.size()) throw ColumnError("the result has no column " + std::to_string(index + 1));
    return std::holds_alternative<std::monostate>(values_[index]);
}

std::optional<std::int64_t> Row::maybe_integer(std::size_t index) const {
    if (is_null(index)) return std::nullopt;
    return integer(index);
}

std::optional<std::string> Row::maybe_text(std::size_t index) const {
    if (is_null(index)) return std::nullopt;
    return text(index);
}

template <class Action>
auto BackendTransaction::guarded(Action action) {
    if (failure_) throw SqlError(*failure_);
    try {
        return action();
    } catch (const SqlError& e) {
        failure_ = e.error;
        throw;
    }
}

Rows BackendTransaction::execute(std::string_view sql, std::span<const Value> parameters) {
    return guarded([&] {
        check_parameters(parameters);
        return run(sql, parameters);
    });
}

void BackendTransaction::execute_once(std::string_view sql) {
    guarded([&] { run_once(sql); });
}

Result<void> Backend::transaction(const std::function<Result<void>(Transaction&)>& body) {
    return run_not_nested(Mode::write, [&](BackendTransaction& t) { return body(t); });
}

Result<void> Backend::read(const std::function<Result<void>(Transaction&)>& body) {
    return run_not_nested(Mode::read, [&](BackendTransaction& t) { return body(t); });
}

Result<void> Backend::run_not_nested(Mode mode, const Body& body) {
    if (t_active == this) {
        return {Errc::internal,
                "a transaction was begun inside of another on the same database; pass the Transaction on"};
    }
    struct Mark {
        const Backend* before;
        ~Mark() { t_active = before; }
    } mark{t_active};
    t_active = this;
    return run(mode, body);
}

Result<void> Backend::migrate(std::span<const Migration> migrations) {
    for (std::size_t i = 0; i < migrations.size(); ++i) {
        if (migrations[i].version < 1 || (i > 0 && migrations[i].version <= migrations[i - 1].version)) {
            return {Errc::invalid_argument,
                    "the migrations' numbers do not rise at " + std::to_string(migrations[i].version)};
        }
    }
    auto made = run_not_nested(Mode::migrate, [](BackendTransaction& t) -> Result<void> {
        t.execute_once(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at "
            "BIGINT NOT NULL)");
        return {};
    });
    if (!made) return made;

    // One transaction for each: another program may have run some of them meanwhile, so each looks again.
    for (std::size_t next = 0; next <= migrations.size(); ++next) {
        auto done = run_not_nested(Mode::migrate, [&](BackendTransaction& t) -> Result<void> {
            bool applied = false;
            for (const Row& row : t.execute("SELECT version, name FROM schema_migrations ORDER BY version")) {
                const auto known = std::find_if(migrations.begin(), migrations.end(),
                                                [&](const Migration& m) { return m.version == row.integer(0); });
                if (known == migrations.end()) {
                    const int newest = migrations.empty() ? 0 : migrations.back().version;
                    return {Errc::failed_precondition,
                            "the database's schema has version " + std::to_string(row.integer(0)) + " ('" +
                                escape_for_terminal(row.text(1), 100) +
                                "'), which this program does not know (it knows up to " + std::to_string(newest) +
                                "); run the newer program, or restore a backup from before the upgrade"};
                }
                if (known->name != row.text(1)) {
                    return {Errc::failed_precondition,
                            "version " + std::to_string(known->version) + " of the database's schema is '" +
                                escape_for_terminal(row.text(1), 100) + "', not '" + std::string(known->name) +
                                "': this database belongs to another program"};
                }
                if (next < migrations.size() && known->version == migrations[next].version) applied = true;
            }
            if (applied || next == migrations.size()) return {};
            const Migration& migration = migrations[next];
            const bool own_text = dialect() == Dialect::postgresql && !migration.postgresql.empty();
            for (const std::string_view sql : split_statements(own_text ? migration.postgresql : migration.sqlite))
                t.execute_once(sql);
            t.execute("INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)",
                      {std::int64_t{migration.version}, std::string(migration.name), to_micros(SystemClock{}.utc())});
            return {};
        });
        if (!done) {
            if (next == migrations.size() || done.error().code == Errc::failed_precondition) return done;
            return {done.error().code, "migration " + std::to_string(migrations[next].version) + " (" +
                                           std::string(migrations[next].name) + "): " + done.error().message};
        }
    }
    return {};
}

Result<void> call_body(const std::function<Result<void>(BackendTransaction&)>& body, BackendTransaction& transaction) {
    try {
        auto result = body(transaction);
        if (result.ok() && transaction.failure()) return *transaction.failure();
        return result;
    } catch (const SqlError& e) {
        return e.error;
    } catch (const ColumnError& e) {
        return {Errc::data_loss, std::string("the database holds what this program did not write: ") + e.what()};
    } catch (const std::exception& e) {
        return {Errc::internal, std::string("unexpected exception in a transaction: ") + e.what()};
    }
}

std::string in_statement(std::string_view sql) {
    std::string shown;
    for (const char c : sql) {
        const bool space = c == ' ' || c == '\n' || c == '\t';
        if (!space) {
            shown += c;
        } else if (!shown.empty() && shown.back() != ' ') {
            shown += ' ';
        }
        if (shown.size() > 120) break;
    }
    if (shown.empty()) return {};
    return " in '" + escape_for_terminal(shown, 80) + "'";
}

std::vector<std::string_view> split_statements(std::string_view script) {
    constexpr std::string_view blank = " \t\r\n;";
    std::vector<std::string_view> statements;
    while (!script.empty()) {
        const std::size_t end = script.find(";\n");
        std::string_view one = script.substr(0, end);
        script.remove_prefix(end == std::string_view::npos ? script.size() : end + 2);
        const std::size_t first = one.find_first_not_of(blank);
        if (first == std::string_view::npos) continue;
        one = one.substr(first, one.find_last_not_of(blank) - first + 1);
        statements.push_back(one);
    }
    return statements;
}

Result<std::unique_ptr<Database>> open_database(std::string_view url, int connect_timeout_s) {
    constexpr std::string_view sqlite = "sqlite:";
    if (url.starts_with(sqlite)) return open_sqlite(url.substr(sqlite.size()));
    if (url.starts_with("postgresql://") || url.starts_with("postgres://"))
        return open_postgresql(url, connect_timeout_s);
    return {Errc::invalid_argument,
            "the database URL is neither \"sqlite:PATH\" nor \"postgresql://user@host/database\""};
}

}  // namespace usher::base::sql
