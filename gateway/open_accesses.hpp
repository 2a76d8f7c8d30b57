#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/clock.hpp"

namespace usher::gateway {

/// How many accesses stand on the sessions, in all that serves them: the workers, and the process of before an upgrade.
/// None where that is not known within `limit` (of real time). Blocks; never from a worker. Thread-safe.
using CountOpenAccesses =
    std::function<std::optional<std::uint64_t>(std::span<const std::string> session_ids, base::Microseconds limit)>;

/// What whoever shows it beside other things waits for it: most of the time it takes a turn of each worker.
inline constexpr base::Microseconds count_open_limit{500'000};

}  // namespace usher::gateway
