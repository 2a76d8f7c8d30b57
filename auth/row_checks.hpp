#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/validate.hpp"
#include "base/sql/database.hpp"

/// What reading and writing the directory's rows have in common. All throw base::sql::SqlError.
namespace usher::auth::rows {

/// The row could not have been written here.
[[noreturn]] inline void corrupt(std::string_view table, std::string_view key, std::string_view problem) {
    throw base::sql::SqlError({base::Errc::data_loss, "the database's row " + std::string(table) + " '" +
                                                          std::string(key) + "' " + std::string(problem) +
                                                          "; it was not written by this program"});
}

/// Whether it is a time that this program writes, of the years 1970 to 9999: reckoning with any other could overflow.
constexpr bool is_time(std::int64_t us) noexcept { return us >= 0 && us <= 253'402'300'799'999'999; }

/// A row that passes the same checks as new input, and is not changed by them, could have been written here.
template <class T>
void must_be_canonical(std::string_view table, std::string_view key, const T& value) {
    T copy = value;
    if (auto ok = canonicalize(copy); !ok) corrupt(table, key, "is not valid: " + ok.error().message);
    if (!(copy == value)) corrupt(table, key, "is not in canonical form");
}

/// Positions count from zero without a gap, in order.
template <class T>
void append_at(std::string_view table, std::string_view key, std::vector<T>& list, std::int64_t position, T value) {
    if (position != static_cast<std::int64_t>(list.size())) corrupt(table, key, "has a list with a gap");
    list.push_back(std::move(value));
}

inline void must_change_one(const base::sql::Transaction& transaction, std::string_view what) {
    if (transaction.changed_rows() != 1) {
        throw base::sql::SqlError(
            {base::Errc::internal, std::string(what) + ": the row that was read in this transaction is not there"});
    }
}

}  // namespace usher::auth::rows
