#include "audit/journal/file_journal.hpp"
#include "catch.hpp"
#include "tests/unit/audit/journal/fake_disk.hpp"
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
    auto progress = access(progressed, AccessEventType::PROGRESS, 100, 200);
    progress.set_duration_us(5'000'000);
    test.clock.step_utc(noon - base::Microseconds{3'600'000'000});  // changes no duration
    test.append(progress);
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
            CHECK(event.access().duration_us() == 5'000'000);
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

TEST_CASE("killed at any moment of it, the next start does the rest and closes none twice") {
    using audit::journal::FileJournal;
    using audit::journal::testing::FakeDisk;
    constexpr int accesses = 5;
    unsigned half_way = 0, cuts = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        bool reached = true;
        for (std::uint64_t cut = 0; reached; ++cut) {
            INFO("power cut " << cut << ", seed " << seed);
            FakeDisk disk;
            base::ManualClock clock(noon);
            audit::JournalOptions options;
            options.directory = "journal";
            options.segment_bytes = 64 * 1024;
            const auto open = [&] { return FileJournal::open(options, clock, disk); };
            {
                auto journal = open();
                REQUIRE(journal.ok());
                for (int i = 0; i < accesses; ++i) {
                    const auto id = base::new_uuid(clock);
                    REQUIRE((*journal)->append_and_wait(audit::encode(access(id, AccessEventType::OPENED))).ok());
                    clock.advance(base::Microseconds{1'000'000});
                    auto progress = access(id, AccessEventType::PROGRESS, 10, 20);
                    REQUIRE((*journal)->append_and_wait(audit::encode(progress)).ok());
                }
            }
            disk.cut_power_after(cut);
            if (auto journal = open()) {
                const auto closed = audit::close_crashed(**journal);
                CHECK(closed.ok() != disk.power_is_off());
            }
            reached = disk.power_is_off();
            cuts += reached;
            disk.restore_power(seed * 100 + cut);

            auto journal = open();
            if (!journal) FAIL(journal.error().message);
            const auto rest = audit::close_crashed(**journal);
            REQUIRE(rest.ok());
            half_way += *rest > 0 && *rest < accesses;
            std::map<std::string, int> closes;
            for (const auto& event : events(**journal)) {
                if (event.access().event() != AccessEventType::CLOSED) continue;
                ++closes[event.access().access_id()];
                CHECK(event.access().close_reason() == CloseReason::GATEWAY_CRASHED);
                CHECK(event.access().bytes_uncertain());
                CHECK(event.access().bytes_up() == 10);
                CHECK(event.access().bytes_down() == 20);
            }
            CHECK(closes.size() == accesses);
            for (const auto& [id, times] : closes) CHECK(times == 1);
            CHECK((*journal)->status().open_accesses == 0);
        }
    }
    CHECK(cuts > 20);
    CHECK(half_way > 5);  // or the cuts fell elsewhere and this shows nothing
}

TEST_CASE("an access whose last event cannot be read is closed with what is known, and no more") {
    TestJournal test;
    const auto id = base::new_uuid(test.clock);
    REQUIRE(test.journal->append_and_wait({audit::RecordType::access_opened, id, "\xff\xff"}).ok());
    test.open();
    REQUIRE(*audit::close_crashed(*test.journal) == 1);
    const auto last = test.journal->read(1, 1, 1 << 20);
    REQUIRE(last.ok());
    const auto event = audit::decode(test.journal->gateway_id(), last->front()).value();
    CHECK(event.access().access_id() == id.to_string());
    CHECK(event.access().event() == AccessEventType::CLOSED);
    CHECK(event.access().close_reason() == CloseReason::GATEWAY_CRASHED);
    CHECK(event.access().bytes_uncertain());
    CHECK(event.access().kind() == v1::AccessKind::UNSPECIFIED);
    CHECK_FALSE(event.access().has_opened_at());
    CHECK(event.access().closed_at().seconds() == base::to_micros(noon) / 1'000'000);
    test.open();
    CHECK(*audit::close_crashed(*test.journal) == 0);
}

TEST_CASE("the closed row in the store is that of the recovery") {
    for_each_backend([](TestDatabase& database_of_test) {
        auto database = open_store_database(database_of_test);
        audit::Store store(*database);
        TestJournal test;
        const auto id = base::new_uuid(test.clock);
        test.append(access(id, AccessEventType::OPENED));
        test.clock.advance(base::Microseconds{2'500'000});
        auto progress = access(id, AccessEventType::PROGRESS, 3, 4);
        progress.set_duration_us(2'500'000);
        test.append(progress);
        test.open();
        REQUIRE(*audit::close_crashed(*test.journal) == 1);
        auto shipper = audit::Shipper::start(*test.journal, store, base::SystemClock());
        REQUIRE(shipper->wait_shipped(test.journal->durable_sequence(), base::Microseconds{20'000'000}));
        const auto rows = all_accesses(store, "close_reason = GATEWAY_CRASHED AND bytes_uncertain = true");
        REQUIRE(rows.size() == 1);
        CHECK(rows[0].bytes_up() == 3);
        CHECK(rows[0].duration_us() == 2'500'000);
        CHECK(all_accesses(store).size() == 1);
    });
}
