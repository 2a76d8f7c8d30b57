#include "gateway/dial/name_cache.hpp"

#include "catch.hpp"

using namespace std::chrono_literals;
using usher::base::IpAddress;
using usher::base::Microseconds;
using usher::base::MonoTime;
using usher::gateway::dial::NameCache;
using Addresses = std::vector<IpAddress>;

namespace {
constexpr MonoTime start{Microseconds{5'000'000}};
const Addresses one{IpAddress::v4(0x0a000001)};
std::string name(int i) { return "app" + std::to_string(i) + ".example"; }
}  // namespace

TEST_CASE("an answer is held for its time, at most for the bound, and not at all without one") {
    NameCache cache({.ttl_max = 60s});
    cache.remember("a", one, 10s, start);
    cache.remember("b", one, 1h, start);
    cache.remember("c", one, 0s, start);
    CHECK(cache.find("a", start + 9s) == one);
    CHECK_FALSE(cache.find("a", start + 10s));
    CHECK(cache.find("b", start + 59s) == one);
    CHECK_FALSE(cache.find("b", start + 60s));
    CHECK_FALSE(cache.find("c", start));
    CHECK(cache.size() == 0);
}

TEST_CASE("that a name does not exist is held for a short time, until it is known better") {
    NameCache cache({.absent_ttl = 5s});
    cache.remember_absent("a", start);
    CHECK(cache.find("a", start + 4s) == Addresses{});
    CHECK_FALSE(cache.find("a", start + 5s));
    cache.remember_absent("a", start);
    cache.remember("a", one, 10s, start + 1s);
    CHECK(cache.find("a", start + 1s) == one);
    cache.remember_absent("a", start + 2s);
    CHECK(cache.find("a", start + 2s) == Addresses{});
}

TEST_CASE("a flood of names that do not exist drives out no answer") {
    NameCache cache({.names = 4, .absent_names = 8});
    for (int i = 0; i < 4; ++i) cache.remember(name(i), one, 60s, start);
    for (int i = 100; i < 1100; ++i) cache.remember_absent(name(i), start);
    CHECK(cache.size() == 12);
    for (int i = 0; i < 4; ++i) CHECK(cache.find(name(i), start) == one);
    CHECK(cache.find(name(1099), start) == Addresses{});
}

TEST_CASE("a full cache takes new answers in the place of others, expired ones first where they are near") {
    NameCache cache({.names = 4});
    for (int i = 0; i < 1000; ++i) {
        cache.remember(name(i), one, 60s, start);
        REQUIRE(cache.size() <= 4);
        REQUIRE(cache.find(name(i), start) == one);
    }
    cache.remember("short", one, 1s, start);
    for (int i = 0; i < 4; ++i) cache.remember(name(i), one, 60s, start + 2s);
    CHECK_FALSE(cache.find("short", start + 2s));
    cache.remember(name(0), one, 60s, start + 3s);  // held already: nobody has to go
    CHECK(cache.size() == 4);
}
