#pragma once
#include <string>

namespace usher::audit {

/// The migration for those who ask: indexes for their questions, the views access_log, event_log and retention_log
/// (docs/store.md), and on PostgreSQL the role usher_reader, which may read these and nothing else. `names` are the
/// columns of accesses, each with a comma behind it.
std::string questions(bool postgresql, const std::string& names);

/// The view of accesses with further columns (", name" each) behind those it had.
std::string access_log_with(bool postgresql, const std::string& names, const std::string& more);

}  // namespace usher::audit
