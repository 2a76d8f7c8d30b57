#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using base::Microseconds;
using v1::AccessEventType;

namespace {

struct ShippedUpTo final : audit::Shipper {
    std::uint64_t sequence = 0;
    std::uint64_t shipped_sequence() const noexcept override { return sequence; }
    std::string last_error() const override { return {}; }
    bool wait_shipped(std::uint64_t, Microseconds) override { return true; }
};

}  // namespace

TEST_CASE("the store is behind by events, and by the time that the oldest of them has been on disk") {
    TestJournal test;
    ShippedUpTo shipper;
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).events == 0);
    CHECK_FALSE(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).age);
    for (int i = 0; i < 3; ++i) {
        test.append(access(base::new_uuid(test.clock), AccessEventType::OPENED));
        test.clock.advance(Microseconds{1'000'000});
    }
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).events == 3);
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).age == Microseconds{3'000'000});
    shipper.sequence = 2;
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).events == 1);
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).age == Microseconds{1'000'000});
    // A clock that was set back makes nothing negative.
    test.clock.step_utc(noon - Microseconds{3'600'000'000});
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).age == Microseconds{0});
    shipper.sequence = 3;
    CHECK(audit::shipping_lag(*test.journal, shipper, test.clock.utc()).events == 0);
}
