#include "base/clock.hpp"

#include <ctime>

namespace usher::base {
namespace {
std::int64_t read(clockid_t id) noexcept {
    timespec ts{};
    ::clock_gettime(id, &ts);
    return static_cast<std::int64_t>(ts.tv_sec) * 1'000'000 + ts.tv_nsec / 1000;
}
}  // namespace

UtcTime SystemClock::utc() const noexcept { return from_micros(read(CLOCK_REALTIME)); }
MonoTime SystemClock::mono() const noexcept { return MonoTime{Microseconds{read(CLOCK_BOOTTIME)}}; }

UtcTime ManualClock::utc() const noexcept {
    std::lock_guard lock(mutex_);
    return utc_;
}
MonoTime ManualClock::mono() const noexcept {
    std::lock_guard lock(mutex_);
    return mono_;
}
void ManualClock::advance(Microseconds by) {
    std::lock_guard lock(mutex_);
    utc_ += by;
    mono_ += by;
}
void ManualClock::step_utc(UtcTime to) {
    std::lock_guard lock(mutex_);
    utc_ = to;
}

}  // namespace usher::base
