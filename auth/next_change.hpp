#pragma once
#include <optional>

#include "auth/directory.hpp"
#include "base/clock.hpp"

namespace usher::auth {

/// The first moment behind `now` at which time_matters() although nothing is changed: an account's validity begins or
/// ends, or, where a policy has time windows, a minute begins. Nullopt: there is none.
std::optional<base::UtcTime> next_time_that_matters(const DirectorySnapshot& directory, base::UtcTime now) noexcept;

}  // namespace usher::auth
