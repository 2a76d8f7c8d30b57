// What comes from outside reaches the store as it is, and can neither stop it nor change it.
#include <random>

#include "audit/access_fields.hpp"
#include "audit/store.hpp"
#include "base/text.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::JournalRecord;
using v1::AccessEventType;

namespace {

const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");

base::Uuid id(unsigned number) {
    base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000a0000");
    out.bytes[15] = static_cast<std::uint8_t>(number);
    return out;
}

void ingest(audit::Store& store, const std::vector<JournalRecord>& batch) {
    const auto done = store.ingest(gateway, batch);
    if (!done) FAIL(done.error().message);
}

/// Text that no database makes smaller.
std::string noise(std::size_t bytes) {
    std::mt19937_64 random(3);
    std::string out(bytes, ' ');
    for (auto& c : out) c = static_cast<char>('!' + random() % 90);
    return out;
}

std::string in_quotes(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
    return out + "\"";
}

}  // namespace

TEST_CASE("very large texts stop nothing and come back whole") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        auto record = access(id(1), AccessEventType::DENIED);
        const std::string large = noise(150'000);
        record.set_username(large);
        record.set_app(large);
        record.set_destination_host(large);
        record.add_reasons(large);
        ingest(store, {durable(1, record), durable(2, access(id(2), AccessEventType::DENIED))});
        const auto rows = all_accesses(store);
        REQUIRE(rows.size() == 2);
        CHECK(rows[0].username() == large);
        CHECK(rows[0].reasons(0) == large);
        // The columns hold the beginning, and a filter sees what they hold.
        const std::string begins = "username : " + in_quotes(large.substr(0, 900));
        CHECK(all_accesses(store, begins).size() == 1);
        CHECK(audit::Filter::parse(begins)->matches(record));
        const std::string end = "username : " + in_quotes(large.substr(large.size() - 900));
        CHECK(all_accesses(store, end).empty());
        CHECK_FALSE(audit::Filter::parse(end)->matches(record));
    });
}

TEST_CASE("a text is cut between characters") {
    for (const std::size_t before : {1021u, 1022u, 1023u, 1024u, 1025u}) {
        v1::AccessRecord record;
        record.set_username(std::string(before, 'x') + "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
        for (const auto& field : audit::access_fields()) {
            if (field.filter.name != "username") continue;
            const auto text = std::get<std::string>(field.read(record));
            CHECK(base::is_utf8(text));
            CHECK(text.size() <= audit::field_text_bytes_max);
            CHECK(text.size() > audit::field_text_bytes_max - 4);
        }
    }
}

TEST_CASE("a NUL in a text, which no database takes, stops nothing") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        auto record = access(id(1), AccessEventType::DENIED);
        const std::string nul("a\0b", 3);
        record.set_username(nul);
        record.mutable_device()->set_name(nul);
        record.add_reasons(nul);
        ingest(store, {durable(1, record), durable(2, access(id(2), AccessEventType::DENIED))});
        const auto rows = all_accesses(store);
        REQUIRE(rows.size() == 2);
        CHECK(rows[0].username() == nul);
        for (const char* filter : {"username = \"a\xef\xbf\xbd"
                                   "b\"",
                                   "reasons : \"a\xef\xbf\xbd"
                                   "b\""}) {
            CHECK(all_accesses(store, filter).size() == 1);
            CHECK(audit::Filter::parse(filter)->matches(record));
        }
    });
}

TEST_CASE("figures beyond what a column holds are its largest") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        auto record = access(id(1), AccessEventType::CLOSED, UINT64_MAX, 1ull << 63);
        record.mutable_closed_at()->set_seconds(INT64_MAX);
        record.mutable_revoked_at()->set_seconds(INT64_MIN);
        ingest(store, {durable(1, record)});
        for (const char* filter : {"bytes_up > 1000", "bytes_down = 9223372036854775807",
                                   "closed_at > \"9999-01-01T00:00:00Z\"", "revoked_at < \"1970-01-01T00:00:00Z\""}) {
            INFO(filter);
            CHECK(all_accesses(store, filter).size() == 1);
            CHECK(audit::Filter::parse(filter)->matches(record));
        }
        CHECK(all_accesses(store)[0].bytes_up() == UINT64_MAX);
    });
}

TEST_CASE("an access without a proper id is an event and no row, so that pages go on") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::vector<JournalRecord> batch;
        std::uint64_t sequence = 0;
        for (const char* wrong : {"", "1", "zzzzzzzz-0000-7000-8000-000000000001", "01A0", "'"}) {
            auto record = access(id(1), AccessEventType::DENIED);
            record.set_access_id(wrong);
            batch.push_back(durable(++sequence, record));
        }
        for (unsigned i = 1; i <= 20; ++i) batch.push_back(durable(++sequence, access(id(i), AccessEventType::DENIED)));
        ingest(store, batch);
        CHECK(all_accesses(store).size() == 20);
        CHECK(store.read_events(gateway, 0, 100)->size() == 25);
    });
}

TEST_CASE("accesses from before 1970 are paged like others") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::vector<JournalRecord> batch;
        for (unsigned i = 1; i <= 20; ++i) {
            auto record = access(id(i), AccessEventType::DENIED);
            set(*record.mutable_opened_at(), base::from_micros(-60'000'000 + std::int64_t{i} * 1'000'000));
            batch.push_back(durable(i, record));
        }
        ingest(store, batch);
        CHECK(all_accesses(store).size() == 20);
    });
}

TEST_CASE("a range of time has its first moment and not its last") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::vector<JournalRecord> batch;
        for (unsigned i = 1; i <= 20; ++i) {
            auto record = access(id(i), AccessEventType::CLOSED, i);
            set(*record.mutable_opened_at(), noon + base::Microseconds{i});
            batch.push_back(durable(i, record));
        }
        ingest(store, batch);
        const auto found = all_accesses(
            store, "opened_at >= " + in_quotes(base::format_rfc3339(noon + base::Microseconds{5})) +
                       " AND opened_at < " + in_quotes(base::format_rfc3339(noon + base::Microseconds{9})));
        REQUIRE(found.size() == 4);
        CHECK(found.front().bytes_up() == 5);
        CHECK(found.back().bytes_up() == 8);
    });
}

TEST_CASE("a tail finds the first event at or after a time, on both sides of a microsecond") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        CHECK(store.sequence_before(gateway, noon)->has_value() == false);
        std::vector<JournalRecord> batch;
        for (unsigned i = 1; i <= 9; ++i) batch.push_back(durable(i, access(id(i), AccessEventType::DENIED)));
        ingest(store, batch);
        CHECK(store.sequence_before(gateway, noon).value() == std::optional<std::uint64_t>(0));
        CHECK(store.sequence_before(gateway, noon + base::Microseconds{4}).value() == std::optional<std::uint64_t>(3));
        CHECK(store.sequence_before(gateway, noon + base::Microseconds{9}).value() == std::optional<std::uint64_t>(8));
        CHECK(store.sequence_before(gateway, noon + base::Microseconds{10})->has_value() == false);
        CHECK(store.sequence_before(id(9), noon)->has_value() == false);
    });
}

TEST_CASE("no value of a filter reaches the statement's text") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        const std::vector<std::string> attempts{
            "' OR '1'='1", "'; DROP TABLE accesses; --",       "\") OR 1=1 --", "$1",    "%", "_",
            "\\",          "alice' UNION SELECT 1,'a','b' --", "E'\\x27'",      "/* */", "?1"};
        ingest(store, {durable(1, access(id(1), AccessEventType::CLOSED))});
        std::uint64_t sequence = 1;
        for (const auto& attempt : attempts) {
            INFO(attempt);
            for (const char* field : {"username = ", "app : ", "department = ", "reasons : ", "device.name : "})
                CHECK(all_accesses(store, field + in_quotes(attempt)).empty());
            CHECK(all_accesses(store, "NOT username = " + in_quotes(attempt)).size() == sequence);
            std::vector<base::sql::Value> parameters;
            const auto where =
                audit::Filter::parse("username = " + in_quotes(attempt) + " OR reasons : " + in_quotes(attempt))
                    ->to_sql(parameters);
            CHECK(where.find_first_of("'\"\\;%?/") == std::string::npos);
            CHECK(parameters.size() == 3);
            // And where a record holds it, only that record is found.
            auto record = access(id(static_cast<unsigned>(++sequence)), AccessEventType::CLOSED);
            record.set_department(attempt);
            ingest(store, {durable(sequence, record)});
            const auto found = all_accesses(store, "department = " + in_quotes(attempt));
            REQUIRE(found.size() == 1);
            CHECK(found[0].access_id() == record.access_id());
        }
    });
}

TEST_CASE("an event that comes again late does not undo a newer one") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        const std::vector<JournalRecord> batch{durable(1, access(id(1), AccessEventType::OPENED)),
                                               durable(2, access(id(1), AccessEventType::PROGRESS, 5, 6)),
                                               durable(3, access(id(1), AccessEventType::CLOSED, 7, 8))};
        const AccessEventType::Value after[] = {AccessEventType::OPENED, AccessEventType::PROGRESS,
                                                AccessEventType::CLOSED};
        for (std::size_t i = 0; i < batch.size(); ++i) {
            ingest(store, {batch[i]});
            REQUIRE(all_accesses(store).size() == 1);
            CHECK(all_accesses(store)[0].event() == after[i]);
        }
        // As if the database had lost the watermark and nothing else.
        const auto lost = database->transaction([](base::sql::Transaction& tx) -> base::Result<void> {
            tx.execute("DELETE FROM audit_shipping");
            return {};
        });
        REQUIRE(lost.ok());
        for (std::size_t i = 0; i < batch.size(); ++i) {
            ingest(store, {batch[i]});
            const auto rows = all_accesses(store);
            REQUIRE(rows.size() == 1);
            CHECK(rows[0].event() == AccessEventType::CLOSED);
            CHECK(rows[0].bytes_up() == 7);
            CHECK(rows[0].sequence() == 3);
        }
        CHECK(store.read_events(gateway, 0, 100)->size() == 3);
    });
}

TEST_CASE("another gateway cannot rewrite an access by its id") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        ingest(store, {durable(1, access(id(1), AccessEventType::CLOSED, 7, 8))});
        std::vector<JournalRecord> forged;
        for (unsigned i = 1; i <= 3; ++i) forged.push_back(durable(i, access(id(1), AccessEventType::CLOSED, 0, 0)));
        REQUIRE(store.ingest(id(99), forged).ok());
        const auto rows = all_accesses(store);
        REQUIRE(rows.size() == 1);
        CHECK(rows[0].bytes_up() == 7);
        CHECK(rows[0].gateway_id() == gateway.to_string());
    });
}

TEST_CASE("reading events is bounded by bytes, and gives one at least") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::vector<JournalRecord> batch;
        for (unsigned i = 1; i <= 10; ++i) {
            auto record = access(id(i), AccessEventType::DENIED);
            record.add_reasons(std::string(100'000, 'r'));
            batch.push_back(durable(i, record));
        }
        ingest(store, batch);
        CHECK(store.read_events(gateway, 0, 100)->size() == 10);
        CHECK(store.read_events(gateway, 0, 100, 1)->size() == 1);
        const auto some = store.read_events(gateway, 4, 100, 350'000);
        REQUIRE(some.ok());
        REQUIRE(some->size() == 3);
        CHECK(some->front().sequence == 5);
        CHECK(store.read_events(gateway, 0, 2, 350'000)->size() == 2);
        CHECK(store.read_events(gateway, 10, 2, 350'000)->empty());
    });
}
