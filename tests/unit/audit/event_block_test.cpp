// What those who follow share of the events that one of them has read.
#include "audit/event_block.hpp"

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::EventBlock;
using audit::NamedFilter;
using v1::AccessEventType;

namespace {

const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");

NamedFilter filter(const std::string& text) {
    auto parsed = audit::Filter::parse(text);
    if (!parsed) FAIL(parsed.error().message);
    return {text, *parsed};
}

/// From `first` on, of "even" and "odd" in turns.
std::vector<audit::JournalRecord> records(std::uint64_t first, std::uint64_t last) {
    const base::ManualClock clock(noon);
    std::vector<audit::JournalRecord> out;
    for (auto sequence = first; sequence <= last; ++sequence) {
        auto record = access(base::new_uuid(clock), AccessEventType::DENIED);
        record.set_username(sequence % 2 == 0 ? "even" : "odd");
        out.push_back(durable(sequence, record));
    }
    return out;
}

}  // namespace

TEST_CASE("a block holds events as they are sent, less the cursor") {
    const auto all = records(8, 11);
    const auto block = EventBlock::make(gateway, 7, all, filter(""));
    REQUIRE(block);
    CHECK(block->first() == 8);
    CHECK(block->last() == 11);
    for (std::size_t place = 0; place < block->size(); ++place) {
        v1::AuditEvent event;
        REQUIRE(event.ParseFromString(std::string(block->body(place))));
        CHECK(event.cursor().empty());
        auto expected = audit::decode(gateway, all[place]);
        REQUIRE(expected.ok());
        event.set_cursor(expected->cursor());
        CHECK(event.SerializeAsString() == expected->SerializeAsString());
        CHECK(block->recorded_at(place) == all[place].recorded_at);
    }
}

TEST_CASE("a block ends before a gap and before what cannot be read, and is none where that comes first") {
    auto all = records(8, 12);
    CHECK_FALSE(EventBlock::make(gateway, 6, all, filter("")));
    CHECK_FALSE(EventBlock::make(gateway, 7, {}, filter("")));
    all[3].payload = "\xff\xff";
    CHECK(EventBlock::make(gateway, 7, all, filter(""))->last() == 10);
    CHECK_FALSE(EventBlock::make(gateway, 10, {all.begin() + 3, all.end()}, filter("")));
    all.erase(all.begin() + 1);
    CHECK(EventBlock::make(gateway, 7, all, filter(""))->last() == 8);
}

TEST_CASE("each filter of a block picks its own, and equal texts share the answer") {
    const auto block = EventBlock::make(gateway, 0, records(1, 6), filter("username = \"odd\""));
    REQUIRE(block);
    const auto odd = block->matching(filter("username = \"odd\""));
    CHECK(*odd == std::vector<std::uint32_t>{0, 2, 4});
    CHECK(*block->matching(filter("username = \"even\"")) == std::vector<std::uint32_t>{1, 3, 5});
    CHECK(*block->matching(filter("")) == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5});
    CHECK(block->matching(filter("type = admin"))->empty());
    CHECK(block->matching(filter("username = \"odd\"")) == odd);
    // More than are kept are answered too.
    for (int i = 0; i < 100; ++i)
        CHECK(block->matching(filter("username = \"even\" AND bytes_up < " + std::to_string(i + 1)))->size() == 3);
}

TEST_CASE("what is made of a block is made once for each of the last keys, and counted while somebody has it") {
    struct Number : EventBlock::Made {
        Number(audit::MadeBytes all, int n) : Made(std::move(all)), number(n) { grow(1000); }
        int number;
    };
    const auto counted = std::make_shared<std::atomic<std::size_t>>(0);
    auto block = EventBlock::make(gateway, 0, records(1, 1), filter(""), counted);
    REQUIRE(block);
    const std::size_t answer = *counted;
    int made = 0;
    const auto get = [&](const std::string& key) {
        return std::static_pointer_cast<const Number>(block->made(
            key, [&](audit::MadeBytes all) { return std::make_shared<const Number>(std::move(all), ++made); }));
    };
    CHECK(get("a")->number == 1);
    auto second = get("b");
    CHECK(second->number == 2);
    CHECK(get("a")->number == 1);
    for (int i = 0; i < 30; ++i) get("c" + std::to_string(i));
    CHECK(*counted == answer + 32'000);
    // The one that was used least lately goes.
    CHECK(get("b")->number == 2);
    CHECK(get("d")->number == 33);
    CHECK(*counted == answer + 32'000);
    CHECK(get("d")->number == 33);
    CHECK(get("b")->number == 2);
    CHECK(get("a")->number == 34);
    CHECK(get("b")->number == 2);
    // What somebody has goes with that one.
    block->forget_made();
    CHECK(*counted == 1000);
    CHECK(get("b")->number == 35);
    second.reset();
    block.reset();
    CHECK(*counted == 0);
}

TEST_CASE("answers are kept for the last texts, and counted") {
    const auto counted = std::make_shared<std::atomic<std::size_t>>(0);
    auto block = EventBlock::make(gateway, 0, records(1, 6), filter(""), counted);
    REQUIRE(block);
    std::size_t bound = 0;
    for (int i = 0; i < 200; ++i) {
        const auto text = std::string(4000, ' ') + "bytes_up < " + std::to_string(i + 1);
        CHECK(block->matching(filter(text)) == block->matching(filter(text)));
        if (i == 31) bound = *counted;
    }
    CHECK(bound > 31 * 4000);
    CHECK(*counted <= bound + 32 * 100);
    block.reset();
    CHECK(*counted == 0);
}
