#include "audit/denial_merger.hpp"

#include <random>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::DenialMerger;

namespace {

v1::AccessRecord denial(const std::string& ip, const std::string& reason, const std::string& host = "h") {
    auto out = access(base::Uuid{}, v1::AccessEventType::DENIED);
    out.set_client_ip(ip);
    out.add_reasons(reason);
    out.set_destination_host(host);
    out.clear_username();
    return out;
}

base::MonoTime at(std::int64_t us) { return base::MonoTime{base::Microseconds{us}}; }

std::uint64_t counted(const v1::AccessRecord& record) { return std::max<std::uint64_t>(record.count(), 1); }

}  // namespace

TEST_CASE("the first denial passes, the rest of its second comes out as one with their count") {
    DenialMerger merger;
    REQUIRE(merger.offer(denial("192.0.2.1", "malformed"), at(0)));
    for (int i = 0; i < 9; ++i) CHECK_FALSE(merger.offer(denial("192.0.2.200", "malformed"), at(1000)));
    CHECK(merger.due(at(999'999)).empty());
    const auto due = merger.due(at(1'000'000));
    REQUIRE(due.size() == 1);
    CHECK(due[0].count() == 9);
    CHECK(merger.due(base::MonoTime::max()).empty());
    CHECK(merger.offer(denial("192.0.2.1", "malformed"), at(2'000'001)));
}

TEST_CASE("other networks, reasons and destinations are told apart") {
    DenialMerger merger;
    CHECK(merger.offer(denial("192.0.2.1", "a"), at(0)));
    CHECK(merger.offer(denial("192.0.3.1", "a"), at(0)));
    CHECK(merger.offer(denial("192.0.2.1", "b"), at(0)));
    CHECK(merger.offer(denial("192.0.2.1", "a", "other"), at(0)));
    CHECK(merger.offer(denial("2001:db8::1", "a"), at(0)));
    CHECK_FALSE(merger.offer(denial("2001:db8::ffff", "a"), at(0)));
    CHECK(merger.offer(denial("2001:db8:0:1::1", "a"), at(0)));
}

TEST_CASE("no denial is lost or counted twice, however many kinds there are") {
    std::mt19937_64 random(7);
    DenialMerger merger;
    std::uint64_t offered = 0, out = 0;
    std::int64_t now = 0;
    for (int i = 0; i < 60'000; ++i) {
        now += static_cast<std::int64_t>(random() % 200);
        // More kinds than there are keys, so that the coarser ones are used too.
        const std::string ip = "10." + std::to_string(random() % 20) + "." + std::to_string(random() % 200) + ".1";
        ++offered;
        if (auto record = merger.offer(denial(ip, random() % 2 ? "a" : "b"), at(now))) out += counted(*record);
        if (i % 500 == 0)
            for (const auto& record : merger.due(at(now))) out += counted(record);
    }
    for (const auto& record : merger.due(base::MonoTime::max())) out += counted(record);
    CHECK(out == offered);
}
