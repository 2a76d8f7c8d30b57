#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace date {
class time_zone;
}

namespace usher::auth {

/// Hours of the week by the clocks of one place: "mon-fri 08:00-18:00 Asia/Shanghai". Immutable; cheap to copy.
class TimeWindow {
public:
    /// DAYS FROM-TO ZONE, one space between them. DAYS: "daily", or days and ranges of days of one week, rising, such
    /// as "mon-wed,fri". FROM and TO: HH:MM, TO at most 24:00 and not part of the window; a TO before FROM is on the
    /// next day, and the window belongs to the day on which it begins. ZONE: a name of the tz database. nullopt when
    /// malformed, or when this machine's tz database does not know the zone.
    static std::optional<TimeWindow> parse(std::string_view text);

    /// The canonical text, which parse() reads back.
    std::string to_string() const;

    /// Whether the clocks of the zone stand within the window. About 0.2 us; allocates nothing. What the clocks skip in
    /// spring is never within, what they show twice in autumn is so twice.
    bool contains(base::UtcTime time) const;

    friend bool operator==(const TimeWindow&, const TimeWindow&) = default;

private:
    TimeWindow() = default;
    bool has(unsigned day) const noexcept { return (days_ >> day & 1) != 0; }

    std::uint8_t days_ = 0;  ///< bit 0 is Monday
    std::uint16_t from_minute_ = 0, to_minute_ = 0;
    const date::time_zone* zone_ = nullptr;  ///< of the tz database, which lives as long as the process
};

}  // namespace usher::auth
