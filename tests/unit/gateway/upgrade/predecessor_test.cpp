#include "gateway/upgrade/predecessor.hpp"

#include <future>

#include "../held_journal.hpp"
#include "catch.hpp"
#include "link_pair.hpp"

using namespace usher;
using gateway::upgrade::Link;
using gateway::upgrade::Message;
using gateway::upgrade::Predecessor;

namespace {

/// The newer process's end with its predecessor, and the older process's end, which the test plays.
struct Fixture {
    Fixture() {
        Message::Hello hello;
        hello.set_version("1.2.3");  // and no process, so that none is killed
        std::vector<audit::JournalRecord> open(2);
        open[0].access_id.bytes.front() = 1;
        open[1].access_id.bytes.front() = 2;
        predecessor = std::make_unique<Predecessor>(newer, hello, std::move(open), journal, clock, [] {});
    }

    /// What the older process hears next, but for how the journal is.
    Message heard() {
        for (;;) {
            auto received = older->receive(soon);
            REQUIRE(received);
            if (!received->message.has_health()) return received->message;
        }
    }
    void answer(const Message& question, std::uint64_t count) {
        Message message;
        message.mutable_answer()->set_number(question.question().number());
        message.mutable_answer()->set_count(count);
        REQUIRE(older->send(message));
    }

    base::ManualClock clock{base::from_micros(1'000'000)};
    HeldJournal journal;
    LinkPair link;
    std::shared_ptr<Link> newer = std::move(link.one);
    std::unique_ptr<Link> older = std::move(link.other);
    std::unique_ptr<Predecessor> predecessor;
};

}  // namespace

TEST_CASE("an order that is given before the predecessor listens is in force there when it returns") {
    Fixture f;
    f.predecessor->session_ended("s-1");
    auto cut = std::async(std::launch::async, [&] { return f.predecessor->enforce(7, ""); });
    // What the older process hears first is what it waits for; the order comes after it.
    Message serving;
    serving.mutable_serving();
    REQUIRE(f.newer->send(serving));
    f.predecessor->start();
    CHECK(f.heard().has_serving());
    const auto asked = f.heard();
    REQUIRE(asked.question().has_enforce());
    CHECK(asked.question().enforce().directory_version() == 7);
    REQUIRE(asked.question().enforce().ended_sessions_size() == 1);
    CHECK(asked.question().enforce().ended_sessions(0) == "s-1");
    f.answer(asked, 3);
    CHECK(cut.get() == 3);
    f.older.reset();
}

TEST_CASE("before a predecessor has told its tunnels, those that are open on record count") {
    Fixture f;
    REQUIRE(f.predecessor->status());
    CHECK(f.predecessor->status()->tunnels == 2);
    CHECK(f.predecessor->status()->version == "1.2.3");
    f.predecessor->start();
    CHECK(f.predecessor->status()->tunnels == 2);
    f.older.reset();
    CHECK(f.predecessor->wait_ended(soon));
    CHECK_FALSE(f.predecessor->status());
    CHECK(f.journal.held.size() == 2);  // closed, each of them
}

TEST_CASE("whoever has asked a predecessor that stays is let go, and the link is as it was") {
    Fixture f;
    auto cut = std::async(std::launch::async, [&] { return f.predecessor->enforce(7, ""); });
    f.predecessor->release();
    CHECK(cut.get() == 0);
    CHECK_FALSE(f.predecessor->status());
    f.predecessor.reset();
    REQUIRE(f.newer->send(failed("why")));
    CHECK(f.heard().failed().reason() == "why");
    CHECK(f.journal.held.empty());
}

TEST_CASE("what a predecessor has open is counted over all sessions, or not known once it is silent") {
    Fixture f;
    const std::vector<std::string> sessions{"s-1", "s-2"};
    const auto count_by = [&](base::Microseconds limit) {
        return std::async(std::launch::async, [&, by = std::chrono::steady_clock::now() + limit] {
            return f.predecessor->count_accesses(sessions, by);
        });
    };
    f.predecessor->start();
    auto counted = count_by(soon);
    for (const std::uint64_t theirs : {3, 4}) {
        const auto asked = f.heard();
        CHECK(asked.question().count_accesses() == sessions[theirs - 3]);
        f.answer(asked, theirs);
    }
    CHECK(counted.get() == std::optional<std::uint64_t>(7));

    // What it says of one is not what it has.
    counted = count_by(std::chrono::milliseconds(100));
    f.answer(f.heard(), 3);
    CHECK(counted.get() == std::nullopt);
    f.heard();
    // Nobody waits for it again so soon, or asks it.
    CHECK(count_by(soon).get() == std::nullopt);
    auto cut = std::async(std::launch::async, [&] { return f.predecessor->enforce(7, ""); });
    const auto asked = f.heard();
    REQUIRE(asked.question().has_enforce());
    f.answer(asked, 1);
    CHECK(cut.get() == 1);
    f.older.reset();
}
