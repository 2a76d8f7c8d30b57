#include "gateway/upgrade/handover_journal.hpp"

#include <optional>

#include "../held_journal.hpp"
#include "catch.hpp"

using namespace usher;
using audit::JournalAppend;
using audit::RecordType;
using base::Errc;
using base::Result;
using gateway::upgrade::HandoverJournal;

namespace {

constexpr base::Microseconds stall{2'000'000};

struct Fixture {
    Fixture() {
        auto first = std::make_unique<HeldJournal>();
        own = first.get();
        journal = std::make_unique<HandoverJournal>(std::move(first), clock, stall, 3);
    }

    /// What becomes of the append; nullopt for now.
    std::shared_ptr<std::optional<Result<std::uint64_t>>> append(const std::string& payload,
                                                                 RecordType type = RecordType::access_opened) {
        auto outcome = std::make_shared<std::optional<Result<std::uint64_t>>>();
        JournalAppend record;
        record.type = type;
        record.payload = payload;
        journal->append(std::move(record), [outcome](Result<std::uint64_t> result) {
            REQUIRE_FALSE(outcome->has_value());  // once
            *outcome = std::move(result);
        });
        return outcome;
    }
    void follow() {
        journal->follow([this](std::uint64_t number, const JournalAppend& record) {
            sent.emplace_back(number, record.payload);
            return true;
        });
    }

    base::ManualClock clock{base::from_micros(1'000'000)};
    HeldJournal* own;
    std::unique_ptr<HandoverJournal> journal;
    std::vector<std::pair<std::uint64_t, std::string>> sent;
};

}  // namespace

TEST_CASE("a journal that is here is just the journal") {
    Fixture f;
    const auto outcome = f.append("a");
    REQUIRE(f.own->held.size() == 1);
    f.own->answer(true);
    REQUIRE(outcome->has_value());
    CHECK((*outcome)->ok());
    CHECK(f.journal->durable_sequence() == 1);
}

TEST_CASE("what is appended on the way waits, and goes in its order") {
    Fixture f;
    f.journal->freeze();
    const auto a = f.append("a"), b = f.append("b");
    CHECK_FALSE(a->has_value());
    SECTION("to the process that took over") {
        f.follow();
        REQUIRE(f.sent.size() == 2);
        CHECK(f.sent[0].second == "a");
        CHECK(f.sent[1].second == "b");
        const auto c = f.append("c");
        REQUIRE(f.sent.size() == 3);
        f.journal->answer(f.sent[1].first, std::uint64_t{8});
        f.journal->answer(f.sent[0].first, std::uint64_t{7});
        f.journal->answer(f.sent[0].first, std::uint64_t{7});  // said twice: nobody waits any more
        f.journal->answer(4711, std::uint64_t{9});
        CHECK(b->value().ok());
        CHECK(a->value().ok());
        CHECK_FALSE(c->has_value());
        CHECK(f.journal->durable_sequence() == 8);
        f.journal->answer(f.sent[2].first, base::Error{Errc::unavailable, "the disk is full"});
        REQUIRE(c->has_value());
        CHECK(c->value().error().message == "the disk is full");
        CHECK(f.journal->wait_answered(base::Microseconds{0}));
    }
    SECTION("back, when nobody took over") {
        auto again = std::make_unique<HeldJournal>();
        auto* const held = again.get();
        f.journal->thaw(std::move(again));
        REQUIRE(held->held.size() == 2);
        CHECK(held->held[0].record.payload == "a");
        held->answer(true);
        CHECK(a->value().ok());
        f.append("c");
        CHECK(held->held.size() == 2);
    }
    SECTION("nowhere, when nobody has the journal") {
        f.follow();
        f.journal->fail("gone");
        CHECK(a->value().error().message == "gone");
        CHECK(b->value().error().code == Errc::unavailable);
        const auto late = f.append("c", RecordType::access_closed);
        CHECK(late->value().error().message == "gone");
        CHECK_FALSE(f.journal->status().healthy);
        CHECK(f.journal->status().problem == "gone");
    }
}

TEST_CASE("what waits is bounded, but what closes an access is never refused for it") {
    Fixture f;
    f.journal->freeze();
    for (int i = 0; i < 3; ++i) CHECK_FALSE(f.append("x")->has_value());
    CHECK(f.append("x")->value().error().code == Errc::resource_exhausted);
    CHECK_FALSE(f.append("x", RecordType::access_closed)->has_value());
    CHECK(f.journal->status().queued == 4);
}

TEST_CASE("a journal that does not answer is not a healthy one") {
    Fixture f;
    f.journal->freeze();
    CHECK(f.journal->status().healthy);
    SECTION("an append that waits for too long") {
        f.append("x");
        f.clock.advance(stall);
        CHECK(f.journal->status().healthy);
        f.clock.advance(base::Microseconds{1});
        CHECK_FALSE(f.journal->status().healthy);
        f.follow();
        f.journal->answer(f.sent[0].first, std::uint64_t{1});
        CHECK(f.journal->status().healthy);
    }
    SECTION("a process that says nothing") {
        f.follow();
        f.clock.advance(stall + base::Microseconds{1});
        CHECK_FALSE(f.journal->status().healthy);
        f.journal->set_health(true, {});
        CHECK(f.journal->status().healthy);
        f.journal->set_health(false, "its disk is full");
        CHECK_FALSE(f.journal->status().healthy);
        CHECK(f.journal->status().problem == "its disk is full");
    }
}
