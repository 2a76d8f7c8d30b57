#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/sql/backend.hpp"

namespace usher::base::sql {

/// One connection to an SQLite file, with its prepared statements. Not thread-safe: its owner holds a mutex. Everything
/// throws SqlError.
class SqliteConnection {
public:
    /// `path` exists, checked by the caller.
    SqliteConnection(const std::string& path, bool read_only);
    ~SqliteConnection();
    SqliteConnection(const SqliteConnection&) = delete;
    SqliteConnection& operator=(const SqliteConnection&) = delete;

    Rows execute(std::string_view sql, std::span<const Value> parameters);
    /// Without keeping the statement; gives the first column of the first row as text, "" if there is none.
    std::string execute_once(std::string_view sql);
    std::int64_t changed_rows() const noexcept { return sqlite3_changes64(db_.get()); }
    bool in_transaction() const noexcept { return sqlite3_get_autocommit(db_.get()) == 0; }
    std::size_t cached_statements() const noexcept { return cache_.size(); }

private:
    struct CloseDb {
        void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
    };
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;
    struct Cached {
        Statement statement;
        std::uint64_t used = 0;
        /// For each of SQLite's places, from 1 on, the number n of its "$n".
        std::vector<std::uint16_t> places;
        std::size_t parameters = 0;  ///< the highest n
    };
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
    };

    [[noreturn]] void fail(int code, std::string_view sql) const;
    Statement prepare(std::string_view sql, unsigned flags);
    static void read_places(Cached& cached, std::string_view sql);
    Cached& cached(std::string_view sql);
    void bind(const Cached& cached, std::string_view sql, std::span<const Value> parameters);
    Rows step_all(sqlite3_stmt* statement, std::string_view sql);

    std::unique_ptr<sqlite3, CloseDb> db_;
    using Cache = std::unordered_map<std::string, Cached, TextHash, std::equal_to<>>;
    Cache cache_;
    Cache::value_type* last_ = nullptr;  ///< what was used last: a batch runs one statement many times
    std::uint64_t uses_ = 0;
};

}  // namespace usher::base::sql
