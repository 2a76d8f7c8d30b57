#include "gateway/clock_watch.hpp"

#include "catch.hpp"

using namespace usher;
using base::Microseconds;
using gateway::ClockWatch;

namespace {
const base::UtcTime noon = base::from_micros(1'700'000'000'000'000);
}

TEST_CASE("a wall clock that goes with the monotonic one, or is nudged, was not set") {
    base::ManualClock clock(noon);
    ClockWatch watch;
    for (int i = 0; i < 100; ++i) {
        CHECK_FALSE(watch.look(ClockWatch::Reading::of(clock)));
        clock.advance(Microseconds{1'000'000});
        clock.step_utc(clock.utc() + Microseconds{i % 2 == 0 ? 499'000 : -499'000});
    }
}

TEST_CASE("a step is found once, with its size and direction, however long nobody looked") {
    base::ManualClock clock(noon);
    ClockWatch watch;
    CHECK_FALSE(watch.look(ClockWatch::Reading::of(clock)));
    clock.advance(Microseconds{5'000'000'000});
    clock.step_utc(clock.utc() + Microseconds{3'600'000'000});
    CHECK(watch.look(ClockWatch::Reading::of(clock)) == Microseconds{3'600'000'000});
    CHECK_FALSE(watch.look(ClockWatch::Reading::of(clock)));
    clock.step_utc(clock.utc() - Microseconds{500'000});
    CHECK(watch.look(ClockWatch::Reading::of(clock)) == Microseconds{-500'000});
    CHECK_FALSE(watch.look(ClockWatch::Reading::of(clock)));
}

TEST_CASE("clocks that were read too far apart are not compared, and the step is found at the next look") {
    base::ManualClock clock(noon);
    ClockWatch watch;
    CHECK_FALSE(watch.look(ClockWatch::Reading::of(clock)));
    clock.step_utc(noon + Microseconds{10'000'000});
    auto late = ClockWatch::Reading::of(clock);
    late.after += Microseconds{600'000};
    CHECK_FALSE(watch.look(late));
    CHECK(watch.look(ClockWatch::Reading::of(clock)) == Microseconds{10'000'000});
}

TEST_CASE("a step is told in seconds and milliseconds") {
    CHECK(gateway::describe_step(Microseconds{3'600'000'000}) == "the wall clock was set forward by 3600.000 s");
    CHECK(gateway::describe_step(Microseconds{-507'900}) == "the wall clock was set back by 0.507 s");
}
