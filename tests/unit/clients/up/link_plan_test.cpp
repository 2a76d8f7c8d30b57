#include "clients/usher/up/link_plan.hpp"

#include <vector>

#include "catch.hpp"
#include "clients/usher/up/link_pulse.hpp"

using namespace std::chrono_literals;
using namespace usher::clients::agent;
using usher::base::MonoTime;
using Kind = LinkChoice::Kind;

namespace {
constexpr MonoTime now{100s};
constexpr MonoTime deadline{105s};
const LinkView open{true, false}, full{false, false}, going{false, true};

LinkChoice choose(const std::vector<LinkView>& links, bool dialing = false, const Backoff& backoff = Backoff{},
                  MonoTime at = now) {
    return choose_link(links, dialing, backoff, at, deadline);
}
}  // namespace

TEST_CASE("a wait before a new try doubles, is half left to chance, and is bounded") {
    Backoff backoff(1s, 8s);
    CHECK_FALSE(backoff.failing());
    CHECK(backoff.next() <= now);
    backoff.failed(now, 0.0);
    CHECK(backoff.next() == now + 500ms);
    backoff.failed(now, 0.5);
    CHECK(backoff.next() == now + 1500ms);
    for (int i = 0; i < 100; ++i) backoff.failed(now, 0.999);
    CHECK(backoff.next() > now + 7900ms);
    CHECK(backoff.next() < now + 8s);
    CHECK(backoff.failing());
    backoff.succeeded();
    CHECK(backoff.next() <= now);
    CHECK_FALSE(backoff.failing());
    backoff.failed(now, 0.0, true);
    CHECK(backoff.next() == now + 4s);
}

TEST_CASE("the first connection that takes a tunnel is used") {
    CHECK(choose({open}).kind == Kind::use);
    const auto third = choose({going, full, open, open});
    CHECK(third.kind == Kind::use);
    CHECK(third.index == 2);
    // Also while another is made, and past the deadline.
    CHECK(choose({open}, true, Backoff{}, deadline).kind == Kind::use);
}

TEST_CASE("a connection is made when there is none, or all are full or told to go, and one at a time") {
    CHECK(choose({}).kind == Kind::dial);
    CHECK(choose({full}).kind == Kind::dial);
    CHECK(choose({going}).kind == Kind::dial);
    CHECK(choose({full, full, full}).kind == Kind::dial);
    CHECK(choose({}, true).kind == Kind::wait);
}

TEST_CASE("there are never more connections than the bounds say") {
    const auto four = choose({full, full, full, full});
    CHECK(four.kind == Kind::wait);
    CHECK(four.until == deadline);
    CHECK(choose({full, full, full, full, going}).kind == Kind::wait);
    // A gateway that says GOAWAY again and again.
    CHECK(choose({going, going, going, going}).kind == Kind::wait);
    CHECK(choose({full, full, full, full}, false, Backoff{}, deadline).kind == Kind::busy);
    CHECK(choose({going, going, going, going}, false, Backoff{}, deadline).kind == Kind::busy);
}

TEST_CASE("a request waits for the next try only when that is in its time") {
    Backoff soon(2s);
    soon.failed(now, 0.0);
    const auto waits = choose({}, false, soon);
    CHECK(waits.kind == Kind::wait);
    CHECK(waits.until == now + 1s);
    CHECK(choose({}, false, soon, now + 1s).kind == Kind::dial);
    Backoff late;
    late.failed(now, 0.0, true);
    CHECK(choose({}, false, late).kind == Kind::unreachable);
    CHECK(choose({going}, false, late).kind == Kind::unreachable);
    // A connection that is full may have room again.
    CHECK(choose({full}, false, late).kind == Kind::wait);
    CHECK(choose({}, false, Backoff{}, deadline).kind == Kind::unreachable);
    CHECK(choose({}, true, Backoff{}, deadline).kind == Kind::unreachable);
}

TEST_CASE("a connection that has gone quiet is pinged, and given up without an answer") {
    using Act = LinkPulse::Act;
    LinkPulse pulse(now);
    CHECK(pulse.tick(now + 1h, false, false) == Act::nothing);  // nothing is expected of it
    CHECK(pulse.tick(now + 2s, true, true) == Act::nothing);
    CHECK(pulse.tick(now + 3s, true, true) == Act::ping);
    CHECK(pulse.tick(now + 4s, true, true) == Act::nothing);
    pulse.heard(now + 5s);
    CHECK(pulse.tick(now + 34s, false, true) == Act::nothing);
    CHECK(pulse.tick(now + 35s, false, true) == Act::ping);
    CHECK(pulse.tick(now + 44s, false, true) == Act::nothing);
    CHECK(pulse.tick(now + 45s, false, false) == Act::give_up);
}
