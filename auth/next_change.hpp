#pragma once
#include <optional>

#include "auth/directory.hpp"
#include "base/clock.hpp"

namespace usher::auth {

/// The first moment behind `now` at which time_matters() although nothing is changed: an account's validity begins or
/// ends, or, where a policy has time windows, a minute begins. Nullopt: there is none.
std::optional<base::UtcTime> next_time_that_matters(const DirectorySnapshot& directory, base::UtcTime now) noexcept;

/// From `now` to `next`, nothing where that is over; at most `longest`, however far away it is (a validity may end in
/// the year 9999), and that where there is none.
base::Microseconds time_until(std::optional<base::UtcTime> next, base::UtcTime now,
                              base::Microseconds longest) noexcept;

}  // namespace usher::auth
