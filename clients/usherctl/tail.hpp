#pragma once
#include <algorithm>
#include <chrono>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "clients/usherctl/settings.hpp"

namespace usher::clients::control {

struct TailOptions {
    bool follow = false;
    std::string since;  ///< a duration back from now, or RFC 3339; empty: now when following, else an hour back
    std::string after;  ///< a cursor
    std::string filter;
    std::string format = "table";  ///< or json, ocsf
};

/// Prints events as they come. Following, a tunnel or a gateway that goes away is reached again, from the last cursor
/// on, so that no event is lost and none is shown twice; standard error says so. Returns when the stream ends (not
/// following). Throws Failure.
void tail(const Settings& settings, const TailOptions& options);

/// "1h" -> an hour before `now`; RFC 3339 as it is.
base::Result<base::UtcTime> parse_since(std::string_view text, base::UtcTime now);

/// The time to wait before the next try: 0.2 s, doubled up to 5 s, and 0.2 s again once something came.
class Backoff {
public:
    std::chrono::milliseconds next() noexcept {
        const auto wait = wait_;
        wait_ = std::min(wait_ * 2, longest);
        return wait;
    }
    void reset() noexcept { wait_ = shortest; }

private:
    static constexpr std::chrono::milliseconds shortest{200};
    static constexpr std::chrono::milliseconds longest{5000};
    std::chrono::milliseconds wait_ = shortest;
};

}  // namespace usher::clients::control
