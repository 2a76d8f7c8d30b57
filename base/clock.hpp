#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>

namespace usher::base {

/// Wall-clock time, UTC, in microseconds since 1970. A label for people and records; it may step.
using UtcTime = std::chrono::sys_time<std::chrono::microseconds>;
using Microseconds = std::chrono::microseconds;

/// Time since boot in microseconds (CLOCK_BOOTTIME: goes on in suspend, never steps). For durations and deadlines.
struct BootEpoch {
    using duration = std::chrono::microseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<BootEpoch>;
    static constexpr bool is_steady = true;
};
using MonoTime = BootEpoch::time_point;

/// Where time comes from. Passed in, so that tests own it. Thread-safe.
class Clock {
public:
    virtual ~Clock() = default;
    virtual UtcTime utc() const noexcept = 0;
    virtual MonoTime mono() const noexcept = 0;
};

class SystemClock final : public Clock {
public:
    UtcTime utc() const noexcept override;
    MonoTime mono() const noexcept override;
};

/// A clock that stands still until it is moved. For tests.
class ManualClock final : public Clock {
public:
    explicit ManualClock(UtcTime start) : utc_(start) {}
    UtcTime utc() const noexcept override;
    MonoTime mono() const noexcept override;
    /// Moves both clocks on.
    void advance(Microseconds by);
    /// Steps the wall clock only, as an operator or NTP would.
    void step_utc(UtcTime to);

private:
    mutable std::mutex mutex_;
    UtcTime utc_;
    MonoTime mono_{Microseconds{1'000'000}};
};

/// Microseconds since 1970, the form in which times are stored.
constexpr std::int64_t to_micros(UtcTime t) noexcept { return t.time_since_epoch().count(); }
constexpr UtcTime from_micros(std::int64_t us) noexcept { return UtcTime{Microseconds{us}}; }

}  // namespace usher::base
