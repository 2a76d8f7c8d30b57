#include "audit/filter.hpp"

#include <random>

#include "audit/access_fields.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::Filter;
using v1::AccessEventType;

namespace {

std::string error_of(std::string_view text) {
    const auto filter = Filter::parse(text);
    return filter.ok() ? "accepted" : filter.error().message;
}

bool holds(const std::string& text, const v1::AccessRecord& record) {
    const auto filter = Filter::parse(text);
    if (!filter.ok()) FAIL(text << ": " << filter.error().message);
    return filter->matches(record);
}

using Random = std::mt19937_64;

template <std::size_t N>
const char* one_of(Random& random, const char* const (&words)[N]) {
    return words[random() % N];
}

constexpr const char* texts[] = {"",     "alice", "Alice", "a%",       "a_ice",     "'",
                                 "a\"b", "a\\b",  "%",     "\xc3\xa4", "alice; --", "lice"};

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
    return out + "\"";
}

std::string random_term(Random& random) {
    constexpr const char* compare[] = {"=", "!=", "<", "<=", ">", ">="};
    constexpr const char* equal[] = {"=", "!="};
    constexpr const char* text_fields[] = {"username", "app", "department", "device.os", "destination_host", "policy"};
    constexpr const char* number_fields[] = {"bytes_up", "bytes_down", "sequence", "destination_port", "count"};
    constexpr const char* numbers[] = {"0", "1", "2", "1000", "4294967295", "9223372036854775807"};
    constexpr const char* times[] = {"\"2025-06-15T15:06:40Z\"", "\"1970-01-01T00:00:00Z\"",
                                     "\"2025-06-15T15:06:40.000001Z\"", "\"2100-01-01T00:00:00Z\""};
    switch (random() % 7) {
        case 0:
            return std::string(one_of(random, text_fields)) + " " + one_of(random, compare) + " " +
                   quoted(one_of(random, texts));
        case 1:
            return std::string(one_of(random, text_fields)) + " : " + quoted(one_of(random, texts));
        case 2:
            return std::string(one_of(random, number_fields)) + " " + one_of(random, compare) + " " +
                   one_of(random, numbers);
        case 3:
            return std::string(random() % 2 ? "opened_at " : "closed_at ") + one_of(random, compare) + " " +
                   one_of(random, times);
        case 4:
            return std::string("event ") + one_of(random, equal) + (random() % 2 ? " CLOSED" : " DENIED");
        case 5:
            return "reasons : " + quoted(one_of(random, texts));
        default:
            return std::string("bytes_uncertain ") + one_of(random, equal) + (random() % 2 ? " true" : " false");
    }
}

std::string random_filter(Random& random, unsigned depth) {
    if (depth == 0 || random() % 3 == 0) return random_term(random);
    switch (random() % 4) {
        case 0:
            return "NOT (" + random_filter(random, depth - 1) + ")";
        case 1:
            return "(" + random_filter(random, depth - 1) + ")";
        case 2:
            return random_filter(random, depth - 1) + " OR " + random_filter(random, depth - 1);
        default:
            return random_filter(random, depth - 1) + " AND " + random_filter(random, depth - 1);
    }
}

v1::AccessRecord random_record(Random& random, std::uint64_t number) {
    const base::Uuid id = [&] {
        base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000b0000");
        out.bytes[15] = static_cast<std::uint8_t>(number);
        return out;
    }();
    auto out = access(id, random() % 2 ? AccessEventType::CLOSED : AccessEventType::DENIED);
    out.set_username(one_of(random, texts));
    out.set_app(one_of(random, texts));
    out.set_department(one_of(random, texts));
    out.set_policy(one_of(random, texts));
    out.set_destination_host(one_of(random, texts));
    out.mutable_device()->set_os(one_of(random, texts));
    constexpr std::uint64_t figures[] = {0, 1, 2, 999, 1000, 9'223'372'036'854'775'807ull};
    out.set_bytes_up(figures[random() % 6]);
    out.set_bytes_down(figures[random() % 6]);
    out.set_destination_port(static_cast<std::uint32_t>(random() % 3));
    if (random() % 2) set(*out.mutable_closed_at(), noon + base::Microseconds{static_cast<std::int64_t>(random() % 3)});
    for (unsigned i = random() % 3; i > 0; --i) out.add_reasons(one_of(random, texts));
    out.set_bytes_uncertain(random() % 2);
    out.set_sequence(number);
    return out;
}

}  // namespace

TEST_CASE("what memory says of a filter, both databases say too") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        Random random(20260101);
        std::vector<audit::JournalRecord> batch;
        std::vector<v1::AccessRecord> records;
        const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");
        for (std::uint64_t i = 1; i <= 60; ++i) {
            auto record = random_record(random, i);
            record.set_gateway_id(gateway.to_string());
            batch.push_back(durable(i, record));
            records.push_back(std::move(record));
        }
        REQUIRE(store.ingest(gateway, batch).ok());
        unsigned some = 0;
        for (unsigned round = 0; round < 250; ++round) {
            const std::string text = random_filter(random, 3);
            INFO(text);
            auto filter = Filter::parse(text);
            if (!filter.ok()) FAIL(filter.error().message);
            std::vector<std::string> expected, found;
            for (const auto& record : records)
                if (filter->matches(record)) expected.push_back(record.access_id());
            for (const auto& record : all_accesses(store, text)) found.push_back(record.access_id());
            std::sort(found.begin(), found.end());
            std::sort(expected.begin(), expected.end());
            REQUIRE(found == expected);
            some += !expected.empty() && expected.size() < records.size();
        }
        CHECK(some > 100);  // most filters must have told records apart, or this shows nothing
    });
}

TEST_CASE("a mistake is answered with its column and what was meant") {
    CHECK(error_of("") == "accepted");
    CHECK(error_of("app = \"\\n\"") != "accepted");
    CHECK(error_of("app = \"\xff\"") != "accepted");
    for (const auto& [text, word] : std::vector<std::pair<std::string, std::string>>{
             {"ap = \"x\"", "filter:1:1: unknown field 'ap'; did you mean 'app'?"},
             {"app == \"x\"", "filter:1:6: expected a value"},
             {"app = x", "filter:1:7: expected a text in double quotes, found 'x'"},
             {"app = \"x", "filter:1:7: a text without its closing quote"},
             {"bytes_up = \"1\"", "filter:1:12: expected a whole number, found '1'"},
             {"bytes_up = 99999999999999999999", "filter:1:12: expected a whole number, found '99999999999999999999'"},
             {"bytes_up = -1", "filter:1:12: expected a whole number, found '-1'"},
             {"event = OPEN", "filter:1:9: expected one of UNSPECIFIED OPENED PROGRESS CLOSED DENIED; found 'OPEN'"},
             {"event < CLOSED", "filter:1:7: '<' cannot be used with 'event'"},
             {"opened_at > \"yesterday\"",
              "filter:1:13: expected a time such as \"2026-11-23T10:00:00Z\", found 'yesterday'"},
             {"(app = \"x\"", "filter:1:11: expected ')'"},
             {"app = \"x\")", "filter:1:10: expected AND, OR or the end, found ')'"},
             {"app = \"x\" AND", "filter:1:14: expected a field, found ''"},
             {"NOT", "filter:1:4: expected a field, found ''"},
             {"app = \"x\" app = \"y\"", "filter:1:11: expected AND, OR or the end, found 'app'"},
         }) {
        INFO(text);
        const std::string message = error_of(text);
        CHECK(message != "accepted");
        CHECK(message == word);
    }
}

TEST_CASE("size, number of terms and depth are bounded") {
    CHECK(error_of(std::string(5000, ' ') + "app = \"x\"") != "accepted");
    std::string many = "count = 1";
    for (int i = 0; i < 64; ++i) many += " AND count = 1";
    CHECK(error_of(many) != "accepted");
    CHECK(error_of(std::string(17, '(') + "count = 1" + std::string(17, ')')) != "accepted");
    std::string nots;
    for (int i = 0; i < 1000; ++i) nots += "NOT ";
    CHECK(error_of(nots + "count = 1") != "accepted");
}

TEST_CASE("OR binds tighter than AND, and NOT tightest") {
    auto record = access(base::Uuid{}, AccessEventType::CLOSED);
    CHECK(holds("app = \"no\" AND app = \"crm\" OR username = \"alice\"", record) == false);
    CHECK(holds("(app = \"no\" AND app = \"crm\") OR username = \"alice\"", record));
    CHECK(holds("NOT app = \"no\" AND username = \"alice\"", record));
}

TEST_CASE("events that are no accesses have three fields") {
    v1::AuditEvent event;
    event.mutable_admin()->set_actor("root");
    const auto matches = [&](const char* text) { return Filter::parse(text)->matches(event); };
    CHECK(matches(""));
    CHECK(matches("type = admin"));
    CHECK_FALSE(matches("type = access"));
    CHECK_FALSE(matches("app = \"crm\""));
    CHECK_FALSE(matches("bytes_up = 0"));
}
