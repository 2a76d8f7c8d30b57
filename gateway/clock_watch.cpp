#include "gateway/clock_watch.hpp"

namespace usher::gateway {

ClockWatch::Reading ClockWatch::Reading::of(const base::Clock& clock) noexcept {
    Reading reading;
    reading.before = clock.mono();
    reading.wall = clock.utc();
    reading.after = clock.mono();
    return reading;
}

std::optional<base::Microseconds> ClockWatch::look(const Reading& reading) noexcept {
    const base::Microseconds apart = reading.after - reading.before;
    if (apart > reading_max) return std::nullopt;
    const Pair now{reading.wall, reading.before + apart / 2};
    const std::optional<Pair> last = last_;
    last_ = now;
    if (!last) return std::nullopt;
    const base::Microseconds step = (now.wall - last->wall) - (now.mono - last->mono);
    if (step < step_min && step > -step_min) return std::nullopt;
    return step;
}

std::string describe_step(base::Microseconds step) {
    const bool back = step.count() < 0;
    const auto milliseconds = (back ? -step.count() : step.count()) / 1000;
    std::string fraction = std::to_string(milliseconds % 1000);
    fraction.insert(0, 3 - fraction.size(), '0');
    return std::string("the wall clock was set ") + (back ? "back" : "forward") + " by " +
           std::to_string(milliseconds / 1000) + "." + fraction + " s";
}

}  // namespace usher::gateway
