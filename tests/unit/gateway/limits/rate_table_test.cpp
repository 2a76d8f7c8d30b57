#include "gateway/limits/rate_table.hpp"

#include "catch.hpp"

using namespace std::chrono_literals;
using usher::base::IpAddress;
using usher::base::Microseconds;
using usher::base::MonoTime;
using usher::gateway::limits::RateTable;
using usher::gateway::limits::Source;

namespace {
constexpr MonoTime start{Microseconds{5'000'000}};
Source source(const std::string& text) { return Source(*IpAddress::parse(text)); }
int taken(RateTable& table, const std::string& from, MonoTime now, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += table.take(source(from), now);
    return count;
}
}  // namespace

TEST_CASE("a source has its burst at once, then its rate, and a quiet one has its burst again") {
    RateTable table(10, 5);
    CHECK(taken(table, "192.0.2.1", start, 100) == 10);
    CHECK(taken(table, "192.0.2.2", start, 100) == 10);  // the neighbour has its own
    CHECK(taken(table, "192.0.2.1", start + 199ms, 100) == 0);
    CHECK(taken(table, "192.0.2.1", start + 200ms, 100) == 1);
    CHECK(taken(table, "192.0.2.1", start + 1s, 100) == 4);
    CHECK(taken(table, "192.0.2.1", start + 1h, 100) == 10);
}

TEST_CASE("a source of IPv6 is its /64, and many of one /48 are bounded too") {
    RateTable table(10, 10);
    CHECK(taken(table, "2001:db8:1:1::1", start, 5) == 5);
    CHECK(taken(table, "2001:db8:1:1:ffff::2", start, 100) == 5);
    int rotated = 0;
    for (int i = 0; i < 1000; ++i) {
        rotated += taken(table, "2001:db8:2:" + std::to_string(i) + "::1", start, 1);
    }
    CHECK(rotated == 10 * Source::wide_factor);
    CHECK(taken(table, "2001:db8:3::1", start, 1) == 1);
}

TEST_CASE("an IPv4 address that is written as IPv6 is the same source") {
    RateTable table(3, 1);
    CHECK(taken(table, "192.0.2.1", start, 2) == 2);
    CHECK(taken(table, "::ffff:192.0.2.1", start, 9) == 1);
}

TEST_CASE("a refusal takes nothing") {
    RateTable table(1, 1);
    CHECK(taken(table, "192.0.2.1", start, 1000) == 1);
    CHECK(taken(table, "192.0.2.1", start + 1s, 1) == 1);
}

TEST_CASE("a flood of other sources does not grow the table and hardly forgives one that is over its rate") {
    RateTable table(10, 1, 1024);
    REQUIRE(table.buckets() == 1024);
    REQUIRE(taken(table, "198.51.100.1", start, 100) == 10);
    for (std::uint32_t i = 0; i < 200'000; ++i) (void)table.take(Source(IpAddress::v4(0x0a000000 + i)), start);
    CHECK(table.buckets() == 1024);
    CHECK(taken(table, "198.51.100.1", start, 100) == 0);  // every other one had used less than it
}
