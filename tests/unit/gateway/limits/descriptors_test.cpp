#include "gateway/limits/descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "catch.hpp"

using usher::gateway::limits::descriptor_is_free_below;
using usher::gateway::limits::Descriptors;

TEST_CASE("a part of the descriptors is out of clients' reach, and a part of the rest is for apps") {
    const auto small = Descriptors::of(256);
    CHECK(small.dial_below == 192);
    CHECK(small.accept_below == 168);
    const auto large = Descriptors::of(1 << 20);
    CHECK(large.dial_below == (1 << 20) - 64);
    CHECK(large.accept_below < large.dial_below);
    for (int limit = 1; limit < 5'000; ++limit) {
        const auto each = Descriptors::of(limit);
        REQUIRE(each.accept_below >= 0);
        REQUIRE(each.accept_below <= each.dial_below);
        REQUIRE(each.dial_below <= limit);
    }
}

TEST_CASE("a start with too few descriptors says how many and what to do") {
    CHECK(Descriptors::of(40'064).shortage(20'000).empty());
    const auto text = Descriptors::of(1024).shortage(20'000);
    CHECK(text.find("20000") != std::string::npos);
    CHECK(text.find("40064") != std::string::npos);
    CHECK(text.find("1024") != std::string::npos);
    CHECK(text.find("LimitNOFILE") != std::string::npos);
}

TEST_CASE("whether a descriptor is free below a bound is told by the number of the next one") {
    const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(next >= 0);
    ::close(next);
    CHECK(descriptor_is_free_below(next + 1));
    CHECK_FALSE(descriptor_is_free_below(next));
}
