#include "audit/sinks/forwarding.hpp"

#include "tests/unit/audit/sinks/support.hpp"

using namespace usher;
using namespace usher::test;
using audit::sinks::Forwarding;

namespace {

struct Run {
    explicit Run(StoreWithRecords& records, const std::string& filter = "") : it(records), outlet(receiver) {
        restart(filter);
    }
    /// As a process that was killed would go on.
    void restart(const std::string& filter = "") {
        auto parsed = audit::Filter::parse(filter);
        if (!parsed) FAIL(parsed.error().message);
        forwarding = std::make_unique<Forwarding>(
            "siem", it.gateway, std::move(*parsed), it.store, it.cursors, outlet,
            Forwarding::Hooks{[this](std::size_t events) { delivered += events; },
                              [this](std::uint64_t sequence, const base::Error&) { told.push_back(sequence); },
                              [this](std::uint64_t records) { missing += records; }});
    }
    /// Until there is nothing more; returns in how many steps.
    std::size_t all() {
        for (std::size_t steps = 0;; ++steps) {
            auto forwarded = forwarding->forward_batch();
            if (!forwarded) FAIL(forwarded.error().message);
            if (*forwarded == 0) return steps;
        }
    }

    StoreWithRecords& it;
    FakeReceiver receiver;
    FakeOutlet outlet;
    std::unique_ptr<Forwarding> forwarding;
    std::size_t delivered = 0, missing = 0;
    std::vector<std::uint64_t> told;
};

}  // namespace

TEST_CASE("everything in the store is forwarded once, in order, and the cursor survives the process") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(1200);
        Run run(it);
        CHECK(run.all() == 2);
        CHECK(run.receiver.taken() == numbers(1, 1200));
        CHECK(run.delivered == 1200);
        CHECK(it.cursor() == 1200);
        CHECK_FALSE(run.forwarding->oldest());
        run.restart();
        CHECK(run.all() == 0);
        it.ship(3);
        run.all();
        CHECK(run.receiver.taken() == numbers(1, 1203));
    });
}

TEST_CASE("a receiver that is down moves nothing, and what it did not confirm is sent again") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(3);
        Run run(it);
        run.receiver.set_down("away");
        auto failed = run.forwarding->forward_batch();
        REQUIRE_FALSE(failed.ok());
        CHECK(failed.error().message == "away");
        CHECK(run.forwarding->receiver_failed());
        CHECK(it.cursor() == 0);
        CHECK(run.forwarding->oldest() == noon + base::Microseconds{1});
        run.receiver.set_down("");
        run.receiver.lose_answers(true);
        CHECK_FALSE(run.forwarding->forward_batch().ok());
        CHECK(it.cursor() == 0);
        run.receiver.lose_answers(false);
        run.restart();
        run.all();
        CHECK(run.receiver.taken() == std::vector<std::uint64_t>{1, 2, 3, 1, 2, 3});
        CHECK(it.cursor() == 3);
        CHECK(run.told.empty());
    });
}

TEST_CASE("records that the receiver refuses are found and parked, and the others go on") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(300);
        Run run(it);
        run.receiver.refuse({1, 150, 151, 300});
        run.all();
        std::vector<std::uint64_t> others = numbers(1, 300);
        std::erase_if(others, [](auto n) { return n == 1 || n == 150 || n == 151 || n == 300; });
        CHECK(run.receiver.taken() == others);
        CHECK(it.parked() == std::vector<std::uint64_t>{1, 150, 151, 300});
        CHECK(run.told == it.parked());
        CHECK(it.cursor() == 300);
        // Each costs the halvings of a batch, not a try of every record.
        CHECK(run.receiver.tries < 120);

        // Mended, and asked for: they come behind the others.
        run.receiver.refuse({151});
        REQUIRE(it.cursors.ask_retry("siem", std::nullopt, 0).ok());
        CHECK(*run.forwarding->retry_parked() == 4);
        CHECK(it.parked() == std::vector<std::uint64_t>{151});
        others.insert(others.end(), {1, 150, 300});
        CHECK(run.receiver.taken() == others);
        CHECK(*run.forwarding->retry_parked() == 0);
        CHECK(it.cursor() == 300);
    });
}

TEST_CASE("a receiver that is down during a retry leaves the record parked and asked for") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(2);
        Run run(it);
        run.receiver.refuse({1});
        run.all();
        REQUIRE(it.cursors.ask_retry("siem", it.gateway, 1).ok());
        run.receiver.refuse({});
        run.receiver.set_down("away");
        CHECK_FALSE(run.forwarding->retry_parked().ok());
        CHECK(it.parked() == std::vector<std::uint64_t>{1});
        run.receiver.set_down("");
        CHECK(*run.forwarding->retry_parked() == 1);
        CHECK(it.parked().empty());
    });
}

TEST_CASE("a record that cannot be read is parked in its place") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(2);
        it.ship_unreadable();
        it.ship(2);
        Run run(it);
        run.all();
        CHECK(run.receiver.taken() == std::vector<std::uint64_t>{1, 2, 4, 5});
        CHECK(it.parked() == std::vector<std::uint64_t>{3});
        REQUIRE(it.cursors.ask_retry("siem", it.gateway, 3).ok());
        CHECK(*run.forwarding->retry_parked() == 1);
        CHECK(it.parked() == std::vector<std::uint64_t>{3});
        CHECK(it.cursors.to_retry("siem", it.gateway, 10)->empty());
    });
}

TEST_CASE("what a filter leaves out is behind the cursor too") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(5);
        Run run(it, "sequence = 2 OR sequence = 4");
        run.all();
        CHECK(run.receiver.taken() == std::vector<std::uint64_t>{2, 4});
        CHECK(it.cursor() == 5);
        run.restart("username = \"nobody\"");
        it.ship(3);
        run.all();
        CHECK(run.receiver.tries == 1);
        CHECK(it.cursor() == 8);
    });
}

TEST_CASE("what retention removed before it was forwarded is told, except before a sink's first record") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(10);
        it.run("DELETE FROM audit_events WHERE sequence < 3");
        Run run(it);
        run.receiver.set_down("away");
        CHECK_FALSE(run.forwarding->forward_batch().ok());
        run.receiver.set_down("");
        run.receiver.refuse({4});
        run.all();
        CHECK(run.missing == 0);
        it.ship(10);
        it.run("DELETE FROM audit_events WHERE sequence = 12 OR sequence = 13 OR sequence = 4");
        run.all();
        CHECK(run.missing == 2);
        CHECK(it.cursor() == 20);
        // A parked one that is gone by now is forgotten, and told.
        REQUIRE(it.cursors.ask_retry("siem", std::nullopt, 0).ok());
        CHECK(*run.forwarding->retry_parked() == 1);
        CHECK(run.missing == 3);
        CHECK(it.parked().empty());
    });
}

TEST_CASE("another process that was further moves nothing back") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        it.ship(4);
        Run older(it), newer(it);
        older.receiver.set_down("away");
        CHECK_FALSE(older.forwarding->forward_batch().ok());
        newer.all();
        it.ship(2);
        newer.all();
        older.receiver.set_down("");
        older.all();
        CHECK(it.cursor() == 6);
    });
}
