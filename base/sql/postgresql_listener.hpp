#pragma once
#include <memory>
#include <string>

#include "base/sql/database.hpp"

namespace usher::base::sql {

/// Where Transaction::notify() speaks.
inline constexpr std::string_view kChangesChannel = "usher_changes";

/// Connects to the checked `url` and listens. Throws SqlError.
std::unique_ptr<Listener> listen_on(const std::string& url);

}  // namespace usher::base::sql
