#include "wire/http2/budget.hpp"

#include <chrono>

#include "catch.hpp"

using usher::base::MonoTime;
using usher::wire::http2::Budget;

TEST_CASE("a budget lets a burst through, then so many a second") {
    Budget budget(10, 4);
    MonoTime now{std::chrono::seconds{5}};
    const auto spend_all = [&] {
        int count = 0;
        while (budget.spend(now)) ++count;
        return count;
    };
    CHECK(spend_all() == 10);
    now += std::chrono::seconds{1};
    CHECK(spend_all() == 4);
    // Looked at often, it loses no fraction.
    int count = 0;
    for (int i = 0; i < 1000; ++i) {
        now += std::chrono::milliseconds{1};
        if (budget.spend(now)) ++count;
    }
    CHECK(count == 4);
    now += std::chrono::hours{1};
    CHECK(spend_all() == 10);
    budget.refund(3);
    CHECK(spend_all() == 3);
    now -= std::chrono::hours{2};  // a clock that goes back gives nothing and takes nothing
    CHECK(spend_all() == 0);
}
