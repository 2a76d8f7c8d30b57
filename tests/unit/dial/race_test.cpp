#include "gateway/dial/race.hpp"

#include "catch.hpp"

using namespace std::chrono_literals;
using usher::base::Microseconds;
using usher::base::MonoTime;
using usher::gateway::dial::Race;
using Kind = Race::Step::Kind;

namespace {
constexpr MonoTime start{Microseconds{5'000'000}};

void check_begins(Race& race, MonoTime now, std::size_t address) {
    const auto step = race.next(now);
    REQUIRE(step.kind == Kind::begin);
    CHECK(step.address == address);
    CHECK_FALSE(step.give_up);
}
void check_waits(Race& race, MonoTime now, MonoTime until) {
    const auto step = race.next(now);
    REQUIRE(step.kind == Kind::wait);
    CHECK(step.wake == until);
}
}  // namespace

TEST_CASE("a race begins with the first address and waits for it") {
    Race race(2, start, 10s);
    check_begins(race, start, 0);
    check_waits(race, start, start + 250ms);
    check_waits(race, start + 249ms, start + 250ms);
}

TEST_CASE("a silent address is joined by the next one after a quarter of a second") {
    Race race(3, start, 10s);
    check_begins(race, start, 0);
    check_begins(race, start + 250ms, 1);
    check_waits(race, start + 250ms, start + 500ms);
    check_begins(race, start + 520ms, 2);
    check_waits(race, start + 520ms, start + 10s);
}

TEST_CASE("an address that fails is followed at once, and the delay counts from there") {
    Race race(3, start, 10s);
    check_begins(race, start, 0);
    race.failed(0, start + 10ms);
    check_begins(race, start + 10ms, 1);
    check_waits(race, start + 10ms, start + 260ms);
    check_begins(race, start + 260ms, 2);
    race.failed(2, start + 270ms);
    check_waits(race, start + 270ms, start + 10s);  // address 1 is still under way
    race.failed(1, start + 280ms);
    CHECK(race.next(start + 280ms).kind == Kind::lost);
}

TEST_CASE("the time is for all addresses together") {
    Race race(16, start, 600ms);
    check_begins(race, start, 0);
    check_begins(race, start + 250ms, 1);
    check_begins(race, start + 500ms, 2);
    check_waits(race, start + 500ms, start + 600ms);
    CHECK(race.next(start + 600ms).kind == Kind::timeout);
}

TEST_CASE("a race that is over in time says that all failed, not that the time is over") {
    Race race(1, start, 100ms);
    check_begins(race, start, 0);
    race.failed(0, start + 100ms);
    CHECK(race.next(start + 100ms).kind == Kind::lost);
}

TEST_CASE("of many silent addresses the oldest attempt gives way to the next") {
    Race race(6, start, 10s);
    MonoTime now = start;
    for (std::size_t i = 0; i < 4; ++i, now += 250ms) check_begins(race, now, i);
    auto step = race.next(now);
    REQUIRE(step.kind == Kind::begin);
    CHECK(step.address == 4);
    CHECK(step.give_up == 0u);
    race.failed(0, now);  // a late word of one that was given up changes nothing
    check_waits(race, now, now + 250ms);
    now += 250ms;
    step = race.next(now);
    REQUIRE(step.kind == Kind::begin);
    CHECK(step.address == 5);
    CHECK(step.give_up == 1u);
    check_waits(race, now, start + 10s);
}

TEST_CASE("a race without addresses is lost, and one without time never begins") {
    CHECK(Race(0, start, 10s).next(start).kind == Kind::lost);
    CHECK(Race(2, start, 0s).next(start).kind == Kind::timeout);
}
