#pragma once
#include <optional>
#include <string>

#include "base/clock.hpp"

namespace usher::gateway {

/// Finds out when the wall clock was set. What follows from time follows from the monotonic clock; the wall clock is a
/// label, and an auditor has to know where the labels jump. Pure; of one thread.
class ClockWatch {
public:
    /// Less than this is what synchronizing does all day (ADVERSARIES §3.2.9).
    static constexpr base::Microseconds step_min{500'000};
    /// Both clocks are read one after the other; further apart than this they cannot be compared.
    static constexpr base::Microseconds reading_max{100'000};

    /// One reading: the wall clock between two of the monotonic one.
    struct Reading {
        base::MonoTime before;
        base::UtcTime wall;
        base::MonoTime after;
        static Reading of(const base::Clock& clock) noexcept;
    };

    /// By how much the wall clock was set since the last look, forward (positive) or back; nullopt when it was not, or
    /// when it cannot be told, which the next look then does.
    std::optional<base::Microseconds> look(const Reading& reading) noexcept;

private:
    struct Pair {
        base::UtcTime wall;
        base::MonoTime mono;
    };
    std::optional<Pair> last_;
};

/// "the wall clock was set forward by 3600.000 s".
std::string describe_step(base::Microseconds step);

}  // namespace usher::gateway
