#pragma once
#include <string>

namespace usher::audit {

/// The migration that cuts PostgreSQL's tables of accesses into days. `columns` are those of accesses with their types,
/// one a line with a comma, `names` the same without.
std::string days_on_postgresql(const std::string& columns, const std::string& names);
/// What of it SQLite has too.
extern const char* const days_on_sqlite;

}  // namespace usher::audit
