#include "gateway/limits/connection_limits.hpp"

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace std::chrono_literals;
using usher::base::IpAddress;
using usher::base::Microseconds;
using usher::base::MonoTime;
using usher::gateway::Config;
using namespace usher::gateway::limits;

namespace {
constexpr MonoTime start{Microseconds{5'000'000}};
IpAddress ip(const std::string& text) { return *IpAddress::parse(text); }

Config::Limits limits(std::size_t all, std::size_t each) {
    Config::Limits out;
    out.connections = all;
    out.connections_per_address = each;
    return out;
}

/// Connections that stay open, and what refused the last one.
struct Crowd {
    explicit Crowd(Config::Limits of) : counted(of) {}
    std::string come(const std::string& from) {
        auto entered = counted.enter(ip(from), start);
        if (const auto* limit = std::get_if<const char*>(&entered)) return *limit;
        slots.push_back(std::get<ConnectionSlot>(std::move(entered)));
        return {};
    }
    ConnectionLimits counted;
    std::deque<ConnectionSlot> slots;
};
}  // namespace

TEST_CASE("connections are bounded in all and by source, and a slot that goes makes room") {
    Crowd crowd(limits(4, 2));
    CHECK(crowd.come("192.0.2.1").empty());
    CHECK(crowd.come("192.0.2.1").empty());
    CHECK(crowd.come("192.0.2.1") == "connections_per_address");
    CHECK(crowd.come("192.0.2.2").empty());
    CHECK(crowd.come("192.0.2.3").empty());
    CHECK(crowd.come("192.0.2.4") == "connections");
    crowd.slots.pop_front();
    CHECK(crowd.counted.open() == 3);
    CHECK(crowd.come("192.0.2.1").empty());
    crowd.slots.clear();
    CHECK(crowd.counted.open() == 0);
}

TEST_CASE("addresses of one /64 are one source, and those of one /48 sixteen") {
    Crowd crowd(limits(1000, 2));
    CHECK(crowd.come("2001:db8::1").empty());
    CHECK(crowd.come("2001:db8::2").empty());
    CHECK(crowd.come("2001:db8::3") == "connections_per_address");
    for (int i = 1; i < 16; ++i)
        for (int j = 0; j < 2; ++j) CHECK(crowd.come("2001:db8:0:" + std::to_string(i) + "::1").empty());
    CHECK(crowd.come("2001:db8:0:99::1") == "connections_per_address");
    CHECK(crowd.come("2001:db8:1::1").empty());
}

TEST_CASE("handshakes have a rate; one that is refused is not counted as open") {
    Config::Limits of;
    of.handshakes_burst = 3;
    of.handshakes_per_second = 1;
    Crowd crowd(of);
    for (int i = 0; i < 3; ++i) CHECK(crowd.come("192.0.2.1").empty());
    CHECK(crowd.come("192.0.2.1") == "handshakes_per_second");
    CHECK(crowd.counted.open() == 3);
    CHECK(crowd.come("192.0.2.2").empty());
}

TEST_CASE("a slot that was moved is counted once") {
    Crowd crowd(limits(10, 10));
    REQUIRE(crowd.come("192.0.2.1").empty());
    auto moved = std::move(crowd.slots.front());
    crowd.slots.clear();
    CHECK(crowd.counted.open() == 1);
    { const auto gone = std::move(moved); }
    CHECK(crowd.counted.open() == 0);
}

TEST_CASE("many threads leave a count of zero") {
    Config::Limits of = limits(50, 1000);
    of.handshakes_burst = of.handshakes_per_second = 1'000'000;
    ConnectionLimits counted(of);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 2'000; ++i) {
                auto slot = counted.enter(ip("192.0.2." + std::to_string(t)), start);
                if (counted.open() > 50) std::abort();
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(counted.open() == 0);
}
