#pragma once
#include <memory>
#include <string>

#include "base/sql/answer_watch.hpp"
#include "base/sql/database.hpp"

namespace usher::base::sql {

/// Where Transaction::notify() speaks.
inline constexpr std::string_view kChangesChannel = "usher_changes";

/// Connects to the checked `url` and listens. Throws SqlError. `watch` outlives the listener.
std::unique_ptr<Listener> listen_on(const std::string& url, AnswerWatch& watch);

}  // namespace usher::base::sql
