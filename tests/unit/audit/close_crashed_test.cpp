#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using v1::AccessEventType;
using v1::CloseReason;

namespace {

std::vector<v1::AuditEvent> events(audit::Journal& journal) {
    std::vector<v1::AuditEvent> out;
    const auto records = journal.read(0, 1000, 1 << 20);
    REQUIRE(records.ok());
    for (const auto& record : *records) out.push_back(audit::decode(journal.gateway_id(), record).value());
    return out;
}

}  // namespace

TEST_CASE("what a crash left open is closed with the last durable figures, once") {
    TestJournal test;
    const auto open = base::new_uuid(test.clock), progressed = base::new_uuid(test.clock),
               done = base::new_uuid(test.clock);
    test.append(access(open, AccessEventType::OPENED));
    test.append(access(progressed, AccessEventType::OPENED));
    test.append(access(done, AccessEventType::OPENED));
    test.clock.advance(base::Microseconds{5'000'000});
    test.append(access(progressed, AccessEventType::PROGRESS, 100, 200));
    test.append(access(done, AccessEventType::CLOSED, 7, 8));
    test.open();
    test.clock.advance(base::Microseconds{60'000'000});

    const auto closed = audit::close_crashed(*test.journal);
    REQUIRE(closed.ok());
    CHECK(*closed == 2);
    unsigned found = 0;
    for (const auto& event : events(*test.journal)) {
        if (event.access().close_reason() != CloseReason::GATEWAY_CRASHED) continue;
        ++found;
        CHECK(event.access().event() == AccessEventType::CLOSED);
        CHECK(event.access().bytes_uncertain());
        CHECK(event.access().username() == "alice");
        if (event.access().access_id() == progressed.to_string()) {
            CHECK(event.access().bytes_up() == 100);
            CHECK(event.access().bytes_down() == 200);
            // It was alive at its last event for certain, and not a minute later.
            CHECK(event.access().closed_at().seconds() - event.access().opened_at().seconds() == 5);
        } else {
            CHECK(event.access().access_id() == open.to_string());
        }
    }
    CHECK(found == 2);

    const auto before = test.journal->durable_sequence();
    test.open();
    CHECK(*audit::close_crashed(*test.journal) == 0);
    CHECK(events(*test.journal).size() >= before);
    unsigned again = 0;
    for (const auto& event : events(*test.journal))
        again += event.access().close_reason() == CloseReason::GATEWAY_CRASHED;
    CHECK(again == 2);
}

TEST_CASE("a start after an orderly stop closes nothing") {
    TestJournal test;
    const auto id = base::new_uuid(test.clock);
    test.append(access(id, AccessEventType::OPENED));
    test.append(access(id, AccessEventType::CLOSED));
    test.open();
    CHECK(*audit::close_crashed(*test.journal) == 0);
}
