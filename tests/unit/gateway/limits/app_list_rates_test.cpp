#include "gateway/limits/app_list_rates.hpp"

#include "catch.hpp"

using namespace std::chrono_literals;
using usher::base::Microseconds;
using usher::base::MonoTime;
using usher::gateway::limits::AppListRates;

namespace {

constexpr MonoTime start{Microseconds{5'000'000}};

Microseconds take(AppListRates& rates, const std::string& session, const std::string& account, MonoTime now) {
    usher::auth::Session asks;
    asks.id = session;
    asks.account_id = account;
    return rates.take(asks, now);
}

int taken(AppListRates& rates, const std::string& session, const std::string& account, MonoTime now, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += take(rates, session, account, now) == Microseconds{0};
    return count;
}

}  // namespace

TEST_CASE("a session has its burst of lists at once, then its rate, and is told how long to wait") {
    AppListRates rates(5, 30);
    CHECK(taken(rates, "s1", "alice", start, 100) == 5);
    CHECK(take(rates, "s1", "alice", start) == 2s);
    CHECK(take(rates, "s1", "alice", start + 500ms) == 1500ms);
    CHECK(take(rates, "s1", "alice", start + 2s) == Microseconds{0});
    CHECK(take(rates, "s1", "alice", start + 2s) == 2s);
    CHECK(taken(rates, "s1", "alice", start + 1h, 100) == 5);
}

TEST_CASE("other sessions of an account have a rate of their own, and all of them together eight times as much") {
    AppListRates rates(5, 30);
    CHECK(taken(rates, "s1", "alice", start, 100) == 5);
    CHECK(taken(rates, "s2", "alice", start, 100) == 5);
    int all = 10;
    for (int i = 3; i < 100; ++i) all += taken(rates, "s" + std::to_string(i), "alice", start, 100);
    CHECK(all == 5 * AppListRates::account_factor);
    CHECK(take(rates, "new", "alice", start) == 250ms);
    CHECK(take(rates, "new", "alice", start + 250ms) == Microseconds{0});
    CHECK(taken(rates, "b1", "bob", start, 100) == 5);  // nobody else is touched
}

TEST_CASE("a refusal takes nothing, neither of the session nor of the account") {
    AppListRates rates(1, 60);
    CHECK(taken(rates, "s1", "alice", start, 1000) == 1);
    CHECK(taken(rates, "s1", "alice", start + 1s, 1) == 1);
    int others = 0;
    for (int i = 2; i < 100; ++i) others += taken(rates, "s" + std::to_string(i), "alice", start + 1s, 1);
    CHECK(others == AppListRates::account_factor - 1);
}

TEST_CASE("buckets that are full again are forgotten, others are not") {
    AppListRates rates(2, 60);
    for (int i = 0; i < 100'000; ++i) {
        const std::string number = std::to_string(i);
        REQUIRE(take(rates, "s" + number, "a" + number, start + 1ms * i) == Microseconds{0});
        // A second's worth is in use: 1,000 of each.
        REQUIRE(rates.size() <= 5'000);
    }
    CHECK(taken(rates, "s99999", "a99999", start + 99'999ms, 10) == 1);
}
