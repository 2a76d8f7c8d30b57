// Every field with every operator, in memory and on both databases.
#include <algorithm>
#include <set>

#include "audit/access_fields.hpp"
#include "audit/filter.hpp"
#include "base/text.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::FieldType;
using audit::Filter;
using google::protobuf::FieldDescriptor;

namespace {

/// Sets the field `path` ("device.name") to the `level`th of three rising values; returns how a filter writes it.
std::string set_field(google::protobuf::Message& message, std::string_view path, const audit::FilterField& field,
                      int level) {
    const auto dot = path.find('.');
    const auto* reflection = message.GetReflection();
    const auto* found = message.GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
    if (found == nullptr) FAIL("no such field in the record: " << field.name);
    if (dot != std::string_view::npos)
        return set_field(*reflection->MutableMessage(&message, found), path.substr(dot + 1), field, level);
    switch (field.type) {
        case FieldType::text: {
            const std::string value = "v" + std::to_string(level);
            reflection->SetString(&message, found, value);
            return '"' + value + '"';
        }
        case FieldType::list: {
            const std::string value = "reason-" + std::to_string(level);
            reflection->AddString(&message, found, "first");
            reflection->AddString(&message, found, value + " and what decided");
            return '"' + value + '"';
        }
        case FieldType::integer:
            if (found->cpp_type() == FieldDescriptor::CPPTYPE_UINT64)
                reflection->SetUInt64(&message, found, 10 + static_cast<unsigned>(level));
            else if (found->cpp_type() == FieldDescriptor::CPPTYPE_UINT32)
                reflection->SetUInt32(&message, found, 10 + static_cast<unsigned>(level));
            else
                reflection->SetInt64(&message, found, 10 + level);
            return std::to_string(10 + level);
        case FieldType::boolean:
            reflection->SetBool(&message, found, level != 0);
            return level != 0 ? "true" : "false";
        case FieldType::enumeration:
            reflection->SetEnumValue(&message, found, level + 1);
            return found->enum_type()->FindValueByNumber(level + 1)->name();
        case FieldType::time: {
            const auto time = noon + base::Microseconds{level};
            set(*static_cast<google::protobuf::Timestamp*>(reflection->MutableMessage(&message, found)), time);
            return '"' + base::format_rfc3339(time) + '"';
        }
    }
    return "";
}

struct Expected {
    const char* op;
    std::set<int> levels;  ///< of the three, against the middle one
};

std::vector<Expected> expected_of(FieldType type) {
    switch (type) {
        case FieldType::list:
            return {{":", {1}}};
        case FieldType::enumeration:
            return {{"=", {1}}, {"!=", {0, 2}}};
        case FieldType::boolean:  // two values: the second and the third are the same
            return {{"=", {1, 2}}, {"!=", {0}}};
        default:
            break;
    }
    std::vector<Expected> out{{"=", {1}}, {"!=", {0, 2}}, {"<", {0}}, {"<=", {0, 1}}, {">", {2}}, {">=", {1, 2}}};
    if (type == FieldType::text) out.push_back({":", {1}});
    return out;
}

}  // namespace

TEST_CASE("each field of a filter is the record's field of that name, with each of its operators") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        for (const auto& field : audit::access_fields()) {
            // The store itself says what these are.
            if (field.filter.name == "gateway_id" || field.filter.name == "sequence" ||
                field.filter.name == "access_id")
                continue;
            const base::Uuid gateway = base::new_uuid(base::SystemClock());
            std::vector<v1::AccessRecord> records;
            std::vector<audit::JournalRecord> batch;
            std::string middle;
            for (int level = 0; level < 3; ++level) {
                v1::AccessRecord record;
                record.set_access_id(base::new_uuid(base::SystemClock()).to_string());
                record.set_gateway_id(gateway.to_string());
                auto value = set_field(record, field.filter.name, field.filter, level);
                if (level == 1) middle = std::move(value);
                batch.push_back(durable(static_cast<std::uint64_t>(level) + 1, record));
                records.push_back(std::move(record));
            }
            REQUIRE(store.ingest(gateway, batch).ok());
            for (const auto& [op, levels] : expected_of(field.filter.type)) {
                const std::string term = std::string(field.filter.name) + " " + op + " " + middle;
                INFO(term);
                auto filter = Filter::parse(term);
                if (!filter) FAIL(filter.error().message);
                std::set<int> matched, found;
                for (int level = 0; level < 3; ++level)
                    if (filter->matches(records[static_cast<std::size_t>(level)])) matched.insert(level);
                for (const auto& row : all_accesses(store, "gateway_id = \"" + gateway.to_string() + "\" AND " + term))
                    for (int level = 0; level < 3; ++level)
                        if (records[static_cast<std::size_t>(level)].access_id() == row.access_id())
                            found.insert(level);
                CHECK(matched == levels);
                CHECK(found == levels);
            }
        }
    });
}

TEST_CASE("an operator that a field does not have is refused, with its column") {
    for (const auto& field : audit::filter_fields()) {
        for (const char* op : {"=", "!=", "<", "<=", ">", ">=", ":"}) {
            const auto allowed = expected_of(field.type);
            if (std::any_of(allowed.begin(), allowed.end(), [&](const auto& e) { return e.op == std::string(op); }))
                continue;
            const std::string name(field.name);
            const auto refused = Filter::parse(name + " " + op + " 1");
            REQUIRE_FALSE(refused.ok());
            CHECK(refused.error().message ==
                  "filter:1:" + std::to_string(name.size() + 2) + ": '" + op + "' cannot be used with '" + name + "'");
        }
    }
}

TEST_CASE("an unknown field is answered with the fields there are") {
    const auto refused = Filter::parse("app = \"x\" AND frobnicated = 1");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == base::Errc::invalid_argument);
    CHECK(refused.error().message.starts_with("filter:1:15: unknown field 'frobnicated'; the fields are access_id "));
    for (const auto& field : audit::filter_fields())
        CHECK(refused.error().message.find(std::string(field.name)) != std::string::npos);
}

TEST_CASE("a mistake's text cannot take over a terminal") {
    for (const char* text : {"app = \"\x1b[2J", "\x1b[2J", "\xe2\x80\xae = 1", "app = \x07"}) {
        const auto refused = Filter::parse(text);
        REQUIRE_FALSE(refused.ok());
        for (const char c : refused.error().message) CHECK((c >= ' ' && c < 0x7f));
    }
}

TEST_CASE("the greatest filter there may be runs on both databases") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::string wide, deep = "reasons : \"x\"";
        for (int i = 0; i < 64; ++i) wide += (i == 0 ? "" : i % 2 ? " OR " : " AND ") + std::string("reasons : \"x\"");
        for (int i = 0; i < 15; ++i) deep = i % 2 ? "NOT " + deep : "(" + deep + ")";
        CHECK(all_accesses(store, wide).empty());
        CHECK(all_accesses(store, deep).empty());
    });
}

TEST_CASE("of sign-ins and administrative acts the user can be asked for") {
    v1::AuditEvent event;
    event.mutable_session()->set_username("alice");
    event.mutable_session()->set_client_ip("192.0.2.1");
    const auto matches = [&](const char* text) { return Filter::parse(text)->matches(event); };
    CHECK(matches("username = \"alice\" AND client_ip : \"192.0.2.\""));
    CHECK_FALSE(matches("username = \"bob\""));
    CHECK(matches("type = session AND NOT app = \"crm\""));
    event.mutable_admin()->set_actor("alice");
    CHECK(matches("username = \"alice\""));
    CHECK(matches("client_ip = \"\""));  // of the machine itself
    event.mutable_admin()->set_client_ip("192.0.2.9");
    CHECK(matches("client_ip = \"192.0.2.9\""));
    event.mutable_system()->set_detail("alice");
    CHECK_FALSE(matches("username = \"alice\""));
    CHECK(matches("type = system"));
    CHECK(matches("type != access"));
}
