#include "audit/retention_store.hpp"

#include <map>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::Hold;
using audit::JournalRecord;
using audit::RetentionClass;
using audit::RetentionRun;
using audit::RetentionSetting;
using base::Errc;
using v1::AccessEventType;

namespace {

constexpr base::Microseconds day{86'400'000'000};
const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");

const audit::RecordRetention unrecorded = [](const audit::RetentionChange&) { return base::Result<void>{}; };

base::Uuid id(unsigned number) {
    base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000a0000");
    out.bytes[14] = static_cast<std::uint8_t>(number >> 8);
    out.bytes[15] = static_cast<std::uint8_t>(number);
    return out;
}

/// A store into which records of any age are shipped.
struct Aged {
    explicit Aged(TestDatabase& test) : database(open_store_database(test)), store(*database), retention(*database) {}

    void add(audit::JournalAppend append, std::int64_t days_ago) {
        const std::vector<JournalRecord> batch{
            {++sequence, noon - days_ago * day, append.type, append.access_id, std::move(append.payload)}};
        REQUIRE(store.ingest(gateway, batch).ok());
    }
    void add(const v1::AccessRecord& record, std::int64_t days_ago) { add(audit::encode(record), days_ago); }
    /// Opened, in progress, and closed an hour later.
    void add_access(unsigned number, std::int64_t days_ago, const std::string& username = "alice",
                    const std::string& app = "crm") {
        for (const auto event : {AccessEventType::OPENED, AccessEventType::PROGRESS, AccessEventType::CLOSED}) {
            auto record = access(id(number), event, 1, 2);
            record.set_username(username);
            record.set_app(app);
            set(*record.mutable_opened_at(), noon - days_ago * day);
            add(record, days_ago);
        }
    }
    void add_sign_in(std::int64_t days_ago, const std::string& username = "alice") {
        v1::SessionRecord record;
        record.set_event(v1::SessionRecord::Event::SIGNED_IN);
        record.set_username(username);
        add(audit::encode(record), days_ago);
    }
    void add_act(std::int64_t days_ago, const std::string& actor, const std::string& resource) {
        v1::AdminRecord record;
        record.set_actor(actor);
        record.set_resource(resource);
        add(audit::encode(record), days_ago);
    }

    void keep(const std::vector<audit::RetentionResource>& resources) {
        const auto applied = retention.apply(resources, "root", noon, unrecorded);
        if (!applied) FAIL(applied.error().message);
    }
    RetentionRun plan() {
        auto plan = retention.plan(noon, [] { return false; });
        if (!plan) FAIL(plan.error().message);
        return *plan;
    }
    /// Runs to the end, in batches of `size`.
    std::map<RetentionClass, std::uint64_t> run(std::size_t size = 5000) {
        auto planned = plan();
        planned.state = RetentionRun::State::running;
        REQUIRE(retention.begin(planned).ok());
        for (audit::RetentionStore::Progress progress; !progress.done;) {
            const auto removed = retention.remove(planned, size, progress);
            if (!removed) FAIL(removed.error().message);
            CHECK(progress.removed <= size);
        }
        planned.state = RetentionRun::State::complete;
        REQUIRE(retention.end(planned).ok());
        std::map<RetentionClass, std::uint64_t> out;
        const auto runs = retention.runs(1);
        REQUIRE(runs.ok());
        for (const auto& count : runs->at(0).counts)
            if (count.removed > 0) out[count.plan.retention_class] = count.removed;
        return out;
    }
    std::size_t events() {
        auto events = store.read_events(gateway, 0, 100'000);
        REQUIRE(events.ok());
        return events->size();
    }
    /// The numbers of the accesses that have a row.
    std::vector<unsigned> rows() {
        std::vector<unsigned> out;
        for (const auto& record : all_accesses(store)) {
            const auto found = *base::Uuid::parse(record.access_id());
            out.push_back(static_cast<unsigned>(found.bytes[14]) * 256 + found.bytes[15]);
        }
        std::sort(out.begin(), out.end());
        return out;
    }

    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    audit::RetentionStore retention;
    std::uint64_t sequence = 0;
};

const RetentionSetting year{RetentionClass::access, 183, 365};
using Removed = std::map<RetentionClass, std::uint64_t>;

}  // namespace

TEST_CASE("an access that is past its ceiling goes with all its events; younger and open ones stay") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        aged.add_access(1, 400);
        aged.add_access(2, 366);
        aged.add_access(3, 364);
        aged.add(access(id(4), AccessEventType::OPENED), 800);
        aged.add(access(id(4), AccessEventType::PROGRESS), 700);
        CHECK(aged.run().empty());  // nothing goes before somebody sets a ceiling
        aged.keep({year});
        const auto plan = aged.plan();
        CHECK(plan.counts.at(0).plan.removable == 2);
        CHECK(*plan.counts.at(0).plan.oldest_removable == noon - 400 * day);
        CHECK(aged.run() == Removed{{RetentionClass::access, 2}});
        CHECK(aged.rows() == std::vector<unsigned>{3, 4});
        CHECK(aged.events() == 5);
        CHECK(aged.run().empty());
        CHECK(*aged.store.watermark(gateway) == aged.sequence);
    });
}

TEST_CASE("an access goes by its end, not by its start") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        aged.add(access(id(1), AccessEventType::OPENED), 500);
        aged.add(access(id(1), AccessEventType::CLOSED), 100);
        aged.keep({year});
        CHECK(aged.run().empty());
        CHECK(aged.events() == 2);
    });
}

TEST_CASE("each class goes by its own ceiling") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        aged.add_access(1, 400);
        aged.add(access(id(2), AccessEventType::DENIED), 400);
        aged.add_sign_in(400);
        aged.add_act(400, "root", "apps/crm");
        v1::SystemRecord started;
        started.set_event(v1::SystemRecord::Event::STARTED);
        aged.add(audit::encode(started), 400);
        aged.keep({RetentionSetting{RetentionClass::denial, 183, 183}});
        CHECK(aged.run() == Removed{{RetentionClass::denial, 1}});
        CHECK(aged.rows() == std::vector<unsigned>{1});
        aged.keep({RetentionSetting{RetentionClass::sign_in, 183, 399}});
        CHECK(aged.run() == Removed{{RetentionClass::sign_in, 1}});
        aged.keep({RetentionSetting{RetentionClass::administration, 365, 400}});
        CHECK(aged.run().empty());
        aged.keep({RetentionSetting{RetentionClass::administration, 365, 365}});
        CHECK(aged.run() == Removed{{RetentionClass::administration, 2}});
        CHECK(aged.events() == 3);
    });
}

TEST_CASE("a hold keeps what it names, two keep it until both have gone, and the plan says what each keeps") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        aged.add_access(1, 400, "alice", "crm");
        aged.add_access(2, 400, "bob", "crm");
        aged.add_access(3, 400, "alice", "wiki");
        aged.add_access(4, 500, "carol", "wiki");
        aged.add_sign_in(400, "Alice");
        aged.add_act(400, "root", "accounts/alice");
        aged.keep({year, RetentionSetting{RetentionClass::sign_in, 183, 365},
                   RetentionSetting{RetentionClass::administration, 365, 365},
                   Hold{"one", "2026-17", "alice", "", {}, {}, "", {}},
                   Hold{"two", "2026-18", "alice", "crm", {}, {}, "", {}},
                   Hold{"three", "", "", "", noon - 600 * day, noon - 450 * day, "", {}}});
        const auto plan = aged.plan();
        CHECK(plan.counts.at(0).plan.held == 3);
        CHECK(plan.counts.at(0).plan.removable == 1);
        std::map<std::string, std::uint64_t> kept;
        for (const auto& hold : plan.holds) kept[hold.hold] = hold.records;
        CHECK(kept == std::map<std::string, std::uint64_t>{{"one", 4}, {"two", 1}, {"three", 1}});
        CHECK(aged.run(1) == Removed{{RetentionClass::access, 1}});
        CHECK(aged.rows() == std::vector<unsigned>{1, 3, 4});

        REQUIRE(aged.retention.delete_hold("one", unrecorded).ok());
        CHECK(aged.run(2) ==
              Removed{{RetentionClass::access, 1}, {RetentionClass::sign_in, 1}, {RetentionClass::administration, 1}});
        CHECK(aged.rows() == std::vector<unsigned>{1, 4});
        REQUIRE(aged.retention.delete_hold("two", unrecorded).ok());
        CHECK(aged.run() == Removed{{RetentionClass::access, 1}});
        CHECK(aged.retention.delete_hold("two", unrecorded).error().code == Errc::not_found);
        CHECK(aged.rows() == std::vector<unsigned>{4});
    });
}

TEST_CASE("what cannot be read is kept while there is any hold, for nobody can say that none keeps it") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        auto broken = audit::encode(access(id(1), AccessEventType::CLOSED));
        broken.payload = "\xff\xff\xff";
        aged.add(broken, 400);
        aged.keep({year, Hold{"bob", "", "bob", "", {}, {}, "", {}}});
        CHECK(aged.run().empty());
        CHECK(aged.plan().counts.at(0).plan.held == 1);
        REQUIRE(aged.retention.delete_hold("bob", unrecorded).ok());
        CHECK(aged.run() == Removed{{RetentionClass::access, 1}});
        CHECK(aged.events() == 0);
    });
}

TEST_CASE("a run that ends between its batches has removed whole records, and the next one does the rest") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        for (unsigned i = 1; i <= 7; ++i) aged.add_access(i, 400 + i % 2);
        aged.keep({year});
        auto first = aged.plan();
        first.state = RetentionRun::State::running;
        REQUIRE(aged.retention.begin(first).ok());
        audit::RetentionStore::Progress progress;
        REQUIRE(aged.retention.remove(first, 3, progress).ok());
        CHECK(progress.removed == 3);
        CHECK(aged.rows().size() == 4);
        CHECK(aged.events() == 12);
        REQUIRE(aged.retention.end_interrupted(noon).ok());
        const auto runs = aged.retention.runs(10);
        REQUIRE(runs.ok());
        REQUIRE(runs->size() == 1);
        CHECK(runs->at(0).state == RetentionRun::State::interrupted);
        CHECK(runs->at(0).counts.at(0).removed == 3);
        CHECK(aged.run(3) == Removed{{RetentionClass::access, 4}});
        CHECK(aged.events() == 0);
    });
}

TEST_CASE("a hold that is set while a run is under way keeps what has not gone yet") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        for (unsigned i = 1; i <= 4; ++i) aged.add_access(i, 400);
        aged.keep({year});
        auto run = aged.plan();
        run.state = RetentionRun::State::running;
        REQUIRE(aged.retention.begin(run).ok());
        audit::RetentionStore::Progress progress;
        REQUIRE(aged.retention.remove(run, 1, progress).ok());
        aged.keep({Hold{"late", "", "alice", "", {}, {}, "", {}}});
        while (!progress.done) REQUIRE(aged.retention.remove(run, 1, progress).ok());
        CHECK(aged.rows().size() == 3);
    });
}

TEST_CASE("classes and holds are applied all or none, on record before they hold") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        std::vector<std::string> acts;
        const audit::RecordRetention record = [&](const audit::RetentionChange& change) -> base::Result<void> {
            acts.push_back(change.action + " " + change.resource + " " + change.after_json);
            return {};
        };
        const Hold hold{"case-17", "2026-17", "alice", "", noon, {}, "", {}};
        const auto first = aged.retention.apply({year, hold}, "root", noon, record);
        REQUIRE(first.ok());
        CHECK(*first == std::vector{audit::RetentionOutcome::created, audit::RetentionOutcome::created});
        REQUIRE(acts.size() == 2);
        CHECK(acts[0] == "retention_class.apply retention_classes/access {\"min_days\":183,\"max_days\":365}");
        CHECK(acts[1].starts_with("hold.apply holds/case-17 {\"case\":\"2026-17\",\"account\":\"alice\""));
        const auto again = aged.retention.apply({year, hold}, "other", noon + day, record);
        CHECK(*again == std::vector{audit::RetentionOutcome::unchanged, audit::RetentionOutcome::unchanged});
        CHECK(acts.size() == 2);
        CHECK(aged.retention.holds()->at(0).created_by == "root");

        const auto refused = aged.retention.apply(
            {RetentionSetting{RetentionClass::access, 183, 400}, RetentionSetting{RetentionClass::denial, 10, {}}},
            "root", noon, record);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().message.starts_with("resources[1].min_days: is 10 days"));
        CHECK(aged.retention.classes()->at(0).setting == year);
        const auto no_record = [](const audit::RetentionChange&) -> base::Result<void> {
            return {Errc::unavailable, "the journal is full"};
        };
        CHECK_FALSE(
            aged.retention.apply({RetentionSetting{RetentionClass::access, 183, 400}}, "root", noon, no_record).ok());
        CHECK_FALSE(aged.retention.delete_hold("case-17", no_record).ok());
        CHECK_FALSE(aged.retention.reset_class(RetentionClass::access, no_record).ok());
        CHECK(aged.retention.classes()->at(0).setting == year);
        CHECK(aged.retention.holds()->size() == 1);
        REQUIRE(aged.retention.reset_class(RetentionClass::access, record).ok());
        CHECK_FALSE(aged.retention.classes()->at(0).updated_at);
    });
}

TEST_CASE("a hold that would keep everything, or nothing, is refused") {
    const auto why = [](const Hold& hold) {
        const auto valid = audit::validate(hold);
        return valid ? std::string() : valid.error().message;
    };
    CHECK(why({"a", "", "alice", "", {}, {}, "", {}}).empty());
    CHECK(why({"a", "17", "", "", {}, {}, "", {}}).starts_with("name: the hold would keep every record"));
    CHECK(why({"a", "", "", "", noon, noon, "", {}}).starts_with("until: "));
    CHECK(why({"A", "", "alice", "", {}, {}, "", {}}).starts_with("name: "));
    CHECK(why({"a", "", "al\x1b[2Jice", "", {}, {}, "", {}}).starts_with("account: "));
    CHECK(why({"a", "", "alice", "not an app", {}, {}, "", {}}).starts_with("app: "));
    CHECK(why({"a", std::string(201, 'x'), "alice", "", {}, {}, "", {}}).starts_with("case: "));
}

TEST_CASE("a setting in the store that undercuts the floor removes nothing") {
    for_each_backend([](TestDatabase& test) {
        Aged aged(test);
        aged.add_access(1, 400);
        REQUIRE(aged.database
                    ->transaction([](base::sql::Transaction& tx) -> base::Result<void> {
                        tx.execute(
                            "INSERT INTO retention_classes (name, min_days, max_days, updated_at) VALUES "
                            "('access', 1, 2, 0)");
                        return {};
                    })
                    .ok());
        const auto plan = aged.retention.plan(noon, [] { return false; });
        REQUIRE_FALSE(plan.ok());
        CHECK(plan.error().code == Errc::data_loss);
        CHECK(aged.events() == 3);
    });
}
