#include "base/sql/postgresql_connection.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hpp"

namespace usher::base::sql {
namespace {

constexpr int kOldestServer = 150000;

// Type OIDs are fixed by PostgreSQL's catalogue (src/include/catalog/pg_type.dat).
constexpr unsigned kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kFloat4 = 700, kFloat8 = 701,
                   kNumeric = 1700;

#if PQXX_VERSION_MAJOR < 7
pqxx::result run_prepared(pqxx::nontransaction& work, const std::string& name, const std::vector<const char*>& values) {
    return work.exec_prepared(name, pqxx::prepare::make_dynamic_params(values));
}
/// Registers it with the server now, so that an error is met here.
void prepare_now(pqxx::connection& connection, const std::string& name, const std::string& sql) {
    connection.prepare(name, sql);
    try {
        connection.prepare_now(name);
    } catch (const std::exception&) {
        connection.unprepare(name);  // never reached the server: forgets the definition and sends nothing
        throw;
    }
}
#else
pqxx::result run_prepared(pqxx::nontransaction& work, const std::string& name, const std::vector<const char*>& values) {
    pqxx::params parameters;
    for (const char* value : values) {
        if (value == nullptr) {
            parameters.append();
        } else {
            parameters.append(pqxx::zview{value});
        }
    }
#if PQXX_VERSION_MAJOR > 7 || PQXX_VERSION_MINOR >= 10
    return work.exec(pqxx::prepped{name}, parameters);
#else
    return work.exec_prepared(name, parameters);
#endif
}
void prepare_now(pqxx::connection& connection, const std::string& name, const std::string& sql) {
    connection.prepare(name, sql);
}
#endif

/// The SQLSTATE of an error. libpqxx 6 throws some of its classes without it.
std::string state_of(const pqxx::sql_error& e) {
    if (!e.sqlstate().empty()) return e.sqlstate();
    if (dynamic_cast<const pqxx::insufficient_privilege*>(&e) != nullptr) return "42501";
    if (dynamic_cast<const pqxx::disk_full*>(&e) != nullptr) return "53100";
    if (dynamic_cast<const pqxx::too_many_connections*>(&e) != nullptr) return "53300";
    if (dynamic_cast<const pqxx::insufficient_resources*>(&e) != nullptr) return "53000";
    if (dynamic_cast<const pqxx::unique_violation*>(&e) != nullptr) return "23505";
    if (dynamic_cast<const pqxx::foreign_key_violation*>(&e) != nullptr) return "23503";
    if (dynamic_cast<const pqxx::integrity_constraint_violation*>(&e) != nullptr) return "23000";
    if (dynamic_cast<const pqxx::data_exception*>(&e) != nullptr) return "22000";
    if (dynamic_cast<const pqxx::feature_not_supported*>(&e) != nullptr) return "0A000";
    if (dynamic_cast<const pqxx::invalid_sql_statement_name*>(&e) != nullptr) return "26000";
    return {};
}

struct Meaning {
    Errc code;
    std::string_view advice;
};

/// https://www.postgresql.org/docs/15/errcodes-appendix.html
Meaning meaning_of(std::string_view state) noexcept {
    const auto in = [&](std::string_view prefix) { return state.starts_with(prefix); };
    if (state == "23505") return {Errc::already_exists, ""};
    if (state == "23503") return {Errc::failed_precondition, ""};
    // P0: a trigger or function of somebody's in PL/pgSQL said no (RAISE EXCEPTION, ASSERT).
    if (in("23") || in("22") || in("P0")) return {Errc::invalid_argument, ""};
    if (in("40")) return {Errc::unavailable, "; too many changes at once, try again"};
    if (state == "25006") return {Errc::failed_precondition, "; is this the primary server?"};
    if (state == "42501") return {Errc::permission_denied, "; grant it to the gateway's role"};
    if (state == "53300") return {Errc::unavailable, "; raise max_connections, or try again"};
    if (state == "53100") return {Errc::resource_exhausted, "; make room on the database server's disk"};
    if (in("53")) return {Errc::resource_exhausted, ""};
    if (in("54")) return {Errc::invalid_argument, ""};  // a row or an index entry that is too large stays so
    if (state == "55P03") return {Errc::unavailable, "; another transaction holds a lock for long, try again"};
    if (state == "57014") return {Errc::deadline_exceeded, ""};
    if (in("57") || in("58") || (in("08") && state != "08P01")) return {Errc::unavailable, "; try again"};
    if (state == "XX001" || state == "XX002") return {Errc::data_loss, "; restore the database from a backup"};
    if (in("28")) return {Errc::permission_denied, "; check the user, its password and pg_hba.conf"};
    return {Errc::internal, ""};
}

/// The server's sentence without "ERROR:", DETAIL, CONTEXT and the statement, which may hold values. Of class 22 (data
/// exceptions) even the sentence holds them, and of class P0 it is whatever somebody's trigger says.
std::string safe_message(std::string_view message, std::string_view state) {
    if (state.starts_with("22")) return "a value does not fit its type";
    if (state.starts_with("P0")) return "a trigger or function refused it; the server's log says which";
    std::string_view line = message.substr(0, message.find('\n'));
    for (const std::string_view prefix : {"ERROR:", "FATAL:", "PANIC:"})
        if (line.starts_with(prefix)) line.remove_prefix(prefix.size());
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return escape_for_terminal(line, 300);
}

template <class Number>
Number number(std::string_view text, std::string_view sql) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        throw SqlError({Errc::data_loss, "PostgreSQL gave a number that is none" + in_statement(sql)});
    return value;
}

/// What a hexadecimal digit stands for; above 15 for what is none.
constexpr auto digit_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(0xff);
    for (std::uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
    for (std::uint8_t i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = static_cast<std::uint8_t>(10 + i);
    return values;
}();

/// By a table: from_hex(), which takes the same time for all digits as secrets need it, is a fourth of what it costs to
/// read a payload.
std::optional<std::string> bytes_of(std::string_view hex) {
    if (hex.size() % 2 != 0) return std::nullopt;
    std::string bytes(hex.size() / 2, '\0');
    std::uint8_t all = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto high = digit_values[static_cast<std::uint8_t>(hex[2 * i])];
        const auto low = digit_values[static_cast<std::uint8_t>(hex[2 * i + 1])];
        all |= high | low;
        bytes[i] = static_cast<char>(high << 4 | low);
    }
    if (all > 15) return std::nullopt;
    return bytes;
}

Value to_value(const pqxx::field& field, unsigned type, std::string_view sql) {
    if (field.is_null()) return std::monostate{};
    const std::string_view text(field.c_str(), field.size());
    switch (type) {
        case kInt2:
        case kInt4:
        case kInt8:
            return number<std::int64_t>(text, sql);
        case kBool:
            return std::int64_t{text == "t"};
        case kFloat4:
        case kFloat8:
            return number<double>(text, sql);
        case kNumeric: {
            // What sum() makes of whole numbers.
            std::int64_t whole = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
            if (error == std::errc{} && end == text.data() + text.size()) return whole;
            return number<double>(text, sql);
        }
        case kBytea: {
            auto bytes = text.starts_with("\\x") ? bytes_of(text.substr(2)) : std::nullopt;
            if (!bytes)
                throw SqlError({Errc::data_loss, "PostgreSQL gave bytes that are not in hex" + in_statement(sql)});
            return Blob{std::move(*bytes)};
        }
        default:
            return std::string(text);
    }
}

/// The shortest text that reads back as the same number.
std::string to_text(double value) {
    std::array<char, 64> buffer;
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return {buffer.data(), result.ptr};
}

}  // namespace

bool PostgresqlError::worth_retrying() const noexcept {
    return sqlstate == "40001" || sqlstate == "40P01" || (needs_new_connection() && !connection_lost);
}

bool PostgresqlError::needs_new_connection() const noexcept {
    // 0A000: a plan that a change of the schema has made wrong; 26000: a statement that a pooler prepared elsewhere.
    return connection_lost || sqlstate == "0A000" || sqlstate == "26000";
}

/// Runs `action` and turns libpqxx's exceptions into PostgresqlError.
template <class Action>
auto PostgresqlConnection::translated(std::string_view sql, Action action) {
    const auto fail = [&](std::string_view message, std::string state) -> PostgresqlError {
        const bool lost = connection_ == nullptr || !connection_->is_open();
        Meaning meaning = meaning_of(state);
        if (lost && meaning.code == Errc::internal)
            meaning = {Errc::unavailable, "; check that the server runs and may be reached"};
        std::string text = "PostgreSQL: " + safe_message(message, state);
        if (!state.empty()) text += " (SQLSTATE " + escape_for_terminal(state, 10) + ")";
        return {{meaning.code, text + in_statement(sql) + std::string(meaning.advice)}, std::move(state), lost};
    };
    try {
        return action();
        // In libpqxx 6 the rollback errors are no sql_error and carry no state, in 7 they are and do.
    } catch (const pqxx::serialization_failure& e) {
        throw fail(e.what(), "40001");
    } catch (const pqxx::deadlock_detected& e) {
        throw fail(e.what(), "40P01");
    } catch (const pqxx::transaction_rollback& e) {
        throw fail(e.what(), "40000");
    } catch (const pqxx::sql_error& e) {
        throw fail(e.what(), state_of(e));
    } catch (const pqxx::broken_connection& e) {
        // libpqxx throws it for every state of class 08, also for a wrong count of parameters, which is our own fault.
        const bool lost = connection_ == nullptr || !connection_->is_open();
        throw fail(e.what(), lost ? "" : "08P01");
    } catch (const SqlError&) {
        throw;
    } catch (const std::exception& e) {
        throw fail(e.what(), "");
    }
}

/// As translated(), for what the server has to answer in time.
template <class Action>
auto PostgresqlConnection::asked(std::string_view sql, Action action) {
    const auto in_time = question();
    try {
        return translated(sql, action);
    } catch (const PostgresqlError& e) {
        if (!in_time.late()) throw;
        throw PostgresqlError({Errc::unavailable, "PostgreSQL: the server did not answer in time" + in_statement(sql) +
                                                      "; look whether it or its disk hangs"},
                              "", true);
    }
}

PostgresqlConnection::PostgresqlConnection(const std::string& url, AnswerWatch& watch) : watch_(watch) {
    translated("", [&] { connection_ = std::make_unique<pqxx::connection>(url); });
    watched_.reset(::fcntl(connection_->sock(), F_DUPFD_CLOEXEC, 3));
    if (!watched_)
        throw PostgresqlError({Errc::resource_exhausted, "no descriptor is left for a connection to PostgreSQL"}, "",
                              false);
    settle_session();
}

void PostgresqlConnection::cut() noexcept { ::shutdown(watched_.get(), SHUT_RDWR); }

std::string PostgresqlConnection::show(const std::string& setting) {
    const pqxx::result result = execute_once("SHOW " + setting);
    return result.size() == 1 ? std::string(result[0][0].c_str()) : std::string();
}

void PostgresqlConnection::settle_session() {
    const auto refuse = [](Errc code, std::string message) {
        throw PostgresqlError({code, std::move(message)}, "", false);
    };
    if (connection_->server_version() < kOldestServer) {
        refuse(Errc::failed_precondition, "the PostgreSQL server has version " +
                                              std::to_string(connection_->server_version() / 10000) +
                                              "; 15 or newer is needed");
    }
    if (const auto encoding = show("server_encoding"); encoding != "UTF8") {
        refuse(Errc::failed_precondition,
               "the database's encoding is " + escape_for_terminal(encoding, 40) + "; create it with ENCODING 'UTF8'");
    }
    // A record counts as kept when COMMIT returns, so COMMIT has to mean that it is on disk.
    for (const char* setting : {"fsync", "synchronous_commit"}) {
        if (show(setting) == "off") {
            refuse(Errc::failed_precondition,
                   std::string("the PostgreSQL server runs with ") + setting +
                       "=off and may lose what it has confirmed; set it to on for this database and role");
        }
    }
    for (const char* sql :
         {"SET client_encoding = 'UTF8'", "SET search_path = usher, pg_temp", "SET statement_timeout = '30s'",
          "SET lock_timeout = '10s'", "SET idle_in_transaction_session_timeout = '60s'", "SET bytea_output = 'hex'",
          "SET extra_float_digits = 1", "SET standard_conforming_strings = on", "SET client_min_messages = 'warning'"})
        execute_once(sql);
    if (execute_once("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'usher'").empty()) {
        try {
            execute_once("CREATE SCHEMA IF NOT EXISTS usher AUTHORIZATION CURRENT_USER");
        } catch (const PostgresqlError& e) {
            // Another gateway may have made it between the look and the attempt.
            const bool raced = e.sqlstate == "23505" || e.sqlstate == "42P06";
            if (e.sqlstate == "42501") {
                refuse(Errc::permission_denied,
                       "the role may not create the schema \"usher\"; as the database's owner run: CREATE SCHEMA usher "
                       "AUTHORIZATION <the gateway's role>;");
            }
            if (!raced) throw;
        }
    }
    const auto rights = execute_once(
        "SELECT pg_catalog.has_schema_privilege('usher', 'USAGE') AND pg_catalog.has_schema_privilege('usher', "
        "'CREATE')");
    if (rights.size() != 1 || std::string_view(rights[0][0].c_str()) != "t") {
        refuse(Errc::permission_denied,
               "the role may not use the schema \"usher\"; as its owner run: GRANT USAGE, CREATE ON "
               "SCHEMA usher TO <the gateway's role>;");
    }
}

pqxx::result PostgresqlConnection::execute_once(std::string_view sql) {
    return asked(sql, [&] {
        pqxx::nontransaction work(*connection_);
        return work.exec(std::string(sql));
    });
}

const std::string& PostgresqlConnection::prepared(std::string_view sql) {
    auto found = cache_.find(sql);
    if (found == cache_.end()) {
        if (cache_.size() >= kMaxCachedStatements) {
            const auto oldest = std::min_element(cache_.begin(), cache_.end(), [](const auto& a, const auto& b) {
                return a.second.used < b.second.used;
            });
            connection_->unprepare(oldest->second.name);
            cache_.erase(oldest);
        }
        const std::string name = "usher_" + std::to_string(++uses_);
        prepare_now(*connection_, name, std::string(sql));
        found = cache_.emplace(std::string(sql), Prepared{name}).first;
    }
    found->second.used = ++uses_;
    return found->second.name;
}

pqxx::result PostgresqlConnection::execute(std::string_view sql, std::span<const Value> parameters) {
    // All in text format, with the type that the server infers: the same for both versions of libpqxx.
    std::vector<std::string> texts(parameters.size());
    std::vector<const char*> values(parameters.size(), nullptr);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (const auto* integer = std::get_if<std::int64_t>(&parameters[i])) {
            texts[i] = std::to_string(*integer);
        } else if (const auto* floating = std::get_if<double>(&parameters[i])) {
            texts[i] = to_text(*floating);
        } else if (const auto* blob = std::get_if<Blob>(&parameters[i])) {
            texts[i] = "\\x" + to_hex({reinterpret_cast<const std::uint8_t*>(blob->bytes.data()), blob->bytes.size()});
        } else if (const auto* text = std::get_if<std::string>(&parameters[i])) {
            values[i] = text->c_str();  // holds no NUL, which has been checked
            continue;
        } else {
            continue;
        }
        values[i] = texts[i].c_str();
    }
    return asked(sql, [&] {
        const std::string& name = prepared(sql);
        pqxx::nontransaction work(*connection_);
        return run_prepared(work, name, values);
    });
}

Rows to_rows(const pqxx::result& result, std::string_view sql) {
    const auto count = static_cast<std::size_t>(result.size());
    if (count > kMaxRows)
        throw SqlError({Errc::resource_exhausted, "too many rows" + in_statement(sql) + "; ask for fewer"});
    const auto columns = static_cast<std::size_t>(result.columns());
    std::vector<unsigned> types(columns);
    for (std::size_t c = 0; c < columns; ++c)
        types[c] = static_cast<unsigned>(result.column_type(static_cast<pqxx::row_size_type>(c)));
    Rows rows;
    rows.reserve(count);
    for (const auto& row : result) {
        std::vector<Value> values;
        values.reserve(columns);
        for (std::size_t c = 0; c < columns; ++c)
            values.push_back(to_value(row[static_cast<pqxx::row_size_type>(c)], types[c], sql));
        rows.emplace_back(std::move(values));
    }
    return rows;
}

}  // namespace usher::base::sql
