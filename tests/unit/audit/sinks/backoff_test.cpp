#include "audit/sinks/backoff.hpp"

#include "catch.hpp"

using usher::audit::sinks::Backoff;
using usher::base::Microseconds;

TEST_CASE("a receiver that fails is tried less and less often, up to a bound, and at once again when it is back") {
    Backoff backoff;
    Microseconds whole = Backoff::first;
    for (int i = 0; i < 20; ++i) {
        Backoff other = backoff;
        const auto least = other.next(0), most = backoff.next(1023);
        CHECK(least == whole / 2);
        CHECK(most == whole);
        whole = std::min(whole * 2, Backoff::last);
    }
    CHECK(backoff.next(1023) == Backoff::last);
    backoff.reset();
    CHECK(backoff.next(1023) == Backoff::first);
}

TEST_CASE("the random part spreads over half of the wait") {
    for (const std::uint32_t random : {0U, 1U, 500U, 1023U, 1024U, 4294967295U}) {
        const auto wait = Backoff().next(random);
        CHECK(wait >= Backoff::first / 2);
        CHECK(wait <= Backoff::first);
    }
    CHECK(Backoff().next(100) != Backoff().next(900));
}
