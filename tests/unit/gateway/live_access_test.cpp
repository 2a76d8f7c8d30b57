#include "gateway/live_access.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "catch.hpp"
#include "gateway/record.hpp"
#include "tests/unit/gateway/held_journal.hpp"

namespace asio = boost::asio;
using namespace usher;
using namespace usher::gateway;
using usher::v1::AccessEventType;

namespace {

struct Bench {
    base::ManualClock clock{base::from_micros(1'700'000'000'000'000)};
    asio::io_context io{1};
    HeldJournal journal;
    EnforcementQueue orders;
    std::optional<LiveAccess> access;

    Bench() {
        AccessRecord record;
        record.set_username("alice");
        record.set_app("crm");
        access.emplace(journal, clock, orders, io.get_executor(), record, base::new_uuid(clock), nullptr,
                       base::Destination{"crm.corp.example", {}, 443});
    }
    /// Lets what has been posted run; no wait.
    void settle() {
        io.restart();
        io.poll();
    }
    void open() {
        std::optional<bool> opened;
        start_open(opened);
        journal.answer(true);
        settle();
        REQUIRE(opened == true);
    }
    void start_open(std::optional<bool>& opened) {
        access->open();
        asio::co_spawn(
            io, [this, &opened]() -> asio::awaitable<void> { opened = co_await access->durable(); }, asio::detached);
        settle();
    }
    AccessRecord last() { return (journal.held.empty() ? journal.answered : journal.held).back().access(); }
};

}  // namespace

TEST_CASE("an access is open only when its record is durable") {
    Bench bench;
    std::optional<bool> opened;
    bench.start_open(opened);
    REQUIRE(bench.journal.held.size() == 1);
    CHECK(bench.last().event() == AccessEventType::OPENED);
    CHECK_FALSE(opened);
    bench.journal.answer(true);
    bench.settle();
    CHECK(opened == true);
}

TEST_CASE("an access whose record was refused leaves no end behind") {
    Bench bench;
    std::optional<bool> opened;
    bench.start_open(opened);
    bench.journal.answer(false);
    bench.settle();
    CHECK(opened == false);
    bench.access.reset();
    CHECK(bench.journal.held.empty());
}

TEST_CASE("an access that nobody closed is closed by its end, once, with its figures") {
    Bench bench;
    bench.open();
    bench.access->count_up(5);
    bench.access->count_down(7);
    bench.clock.advance(base::Microseconds{1'500'000});
    bench.access.reset();
    REQUIRE(bench.journal.held.size() == 1);
    const auto closed = bench.last();
    CHECK(closed.event() == AccessEventType::CLOSED);
    CHECK(closed.close_reason() == CloseReason::CLIENT_ERROR);
    CHECK(closed.bytes_up() == 5);
    CHECK(closed.bytes_down() == 7);
    CHECK(closed.duration_us() == 1'500'000);
}

TEST_CASE("a cut's reason wins over what the sockets say afterwards, and only the first cut counts") {
    Bench bench;
    bench.open();
    unsigned stops = 0;
    bench.access->on_cut([&] { ++stops; });
    bench.access->cut(CloseReason::REVOKED);
    bench.access->cut(CloseReason::IDLE_TIMEOUT);
    CHECK(stops == 1);
    bench.access->close(CloseReason::CLIENT_ERROR);
    CHECK(bench.last().close_reason() == CloseReason::REVOKED);
    CHECK(bench.last().has_revoked_at());
}

TEST_CASE("a cut says since when it was in force, when it was, and how much passed in between") {
    Bench bench;
    bench.open();
    bench.access->count_up(100);
    const auto ordered = bench.clock.utc();
    bench.orders.put({}, bench.clock, {});
    bench.access->count_up(5);
    bench.access->count_down(7);
    bench.clock.advance(base::Microseconds{30});
    const auto order = bench.orders.take().front();
    bench.access->cut(CloseReason::REVOKED, {order.at, order.number});
    bench.clock.advance(base::Microseconds{1'000});
    bench.access->close(CloseReason::CLIENT_ERROR);
    CHECK(get_time(bench.last().revoked_at()) == ordered);
    CHECK(get_time(bench.last().closed_at()) == ordered + base::Microseconds{30});
    CHECK(bench.last().bytes_after_revocation() == 12);
    CHECK(bench.last().bytes_up() + bench.last().bytes_down() == 112);
}

TEST_CASE("what passed beside an order that was about somebody else is not counted for the next one") {
    Bench bench;
    bench.open();
    bench.orders.put({}, bench.clock, {});
    bench.access->count_up(5);
    bench.orders.take();
    SECTION("a cut without an order") {
        bench.access->cut(CloseReason::REVOKED);
        bench.access->close(CloseReason::CLIENT_ERROR);
        CHECK(bench.last().has_revoked_at());
        CHECK_FALSE(bench.last().has_bytes_after_revocation());
    }
    SECTION("one on the next order, beside which nothing passed") {
        bench.orders.put({}, bench.clock, {});
        const auto order = bench.orders.take().front();
        bench.access->cut(CloseReason::REVOKED, {order.at, order.number});
        bench.access->close(CloseReason::CLIENT_ERROR);
        CHECK(bench.last().has_bytes_after_revocation());
        CHECK(bench.last().bytes_after_revocation() == 0);
    }
    SECTION("one on the next order, beside which something did") {
        bench.orders.put({}, bench.clock, {});
        bench.access->count_up(1);
        const auto order = bench.orders.take().front();
        bench.access->cut(CloseReason::REVOKED, {order.at, order.number});
        bench.access->close(CloseReason::CLIENT_ERROR);
        CHECK(bench.last().bytes_after_revocation() == 1);
    }
}

TEST_CASE("what a cut says is no more than the figures, and its moments are within the access") {
    Bench bench;
    bench.orders.put({}, bench.clock, {});
    bench.clock.advance(base::Microseconds{10});
    bench.access.reset();
    bench.journal.answer(true);
    // An order about somebody else waits already when the access begins.
    AccessRecord record;
    record.set_app("crm");
    bench.access.emplace(bench.journal, bench.clock, bench.orders, bench.io.get_executor(), record,
                         base::new_uuid(bench.clock), nullptr, base::Destination{"crm.corp.example", {}, 443});
    bench.open();
    bench.access->count_down(100);
    bench.access->on_cut([&] { bench.access->undelivered_down(60); });
    bench.clock.step_utc(bench.clock.utc() - std::chrono::hours{1});
    const auto order = bench.orders.take().front();
    bench.access->cut(CloseReason::REVOKED, {order.at, order.number});
    bench.access->close(CloseReason::CLIENT_ERROR);
    CHECK(bench.last().bytes_down() == 40);
    CHECK(bench.last().bytes_after_revocation() == 40);
    CHECK(get_time(bench.last().revoked_at()) == get_time(bench.last().opened_at()));
    CHECK(get_time(bench.last().closed_at()) >= get_time(bench.last().revoked_at()));
}

TEST_CASE("half the unlogged bound makes one PROGRESS, the whole bound stops the relay until it is durable") {
    Bench bench;
    bench.open();
    bench.access->count_up(progress_after_bytes - 1);
    CHECK(bench.journal.held.empty());
    bench.access->count_up(1);
    REQUIRE(bench.journal.held.size() == 1);
    CHECK(bench.last().event() == AccessEventType::PROGRESS);
    CHECK(bench.last().bytes_up() == progress_after_bytes);

    bench.access->count_down(progress_after_bytes - 1);
    CHECK(bench.journal.held.size() == 1);
    CHECK_FALSE(bench.access->gated());
    bench.access->count_down(1);
    CHECK(bench.access->gated());

    bool through = false;
    asio::co_spawn(
        bench.io,
        [&]() -> asio::awaitable<void> {
            co_await bench.access->gate();
            through = true;
        },
        asio::detached);
    bench.settle();
    CHECK_FALSE(through);
    bench.journal.answer(true);
    bench.settle();
    CHECK(through);
    CHECK_FALSE(bench.access->gated());
}

TEST_CASE("PROGRESS tells what has arrived, and never less than the one before") {
    Bench bench;
    bench.open();
    LiveAccess::OnTheWay on_the_way{1000, 1};
    bench.access->on_the_way([&](bool) { return on_the_way; });
    bench.access->count_up(900);
    bench.access->count_down(700);
    bench.clock.advance(progress_after_time);
    bench.access->tick(bench.clock.mono());
    REQUIRE(bench.journal.held.size() == 1);
    CHECK(bench.last().bytes_up() == 0);
    CHECK(bench.last().bytes_down() == 699);
    bench.journal.answer(true);
    bench.settle();

    on_the_way = {0, 500};
    bench.clock.advance(progress_after_time);
    bench.access->tick(bench.clock.mono());
    REQUIRE(bench.journal.held.size() == 1);
    CHECK(bench.last().bytes_up() == 900);
    CHECK(bench.last().bytes_down() == 699);
    bench.journal.answer(true);
    bench.settle();

    // Nothing more arrives: there is nothing to tell, and the relay goes on.
    for (int i = 0; i < 10; ++i) {
        bench.clock.advance(base::Microseconds{1'000'000});
        bench.access->tick(bench.clock.mono());
    }
    CHECK(bench.journal.held.empty());
    CHECK_FALSE(bench.access->gated());
    bench.access->close(CloseReason::CLIENT_CLOSED);
    CHECK(bench.last().bytes_up() == 900);
    CHECK(bench.last().bytes_down() == 700);
}

TEST_CASE("what is on the way for ever makes no more PROGRESS than what moves") {
    Bench bench;
    bench.open();
    bench.access->on_the_way([](bool) { return LiveAccess::OnTheWay{1u << 30, 1u << 30}; });
    bench.access->count_down(gate_after_bytes);
    CHECK(bench.access->gated());
    REQUIRE(bench.journal.held.size() == 1);
    bench.journal.answer(true);
    bench.settle();
    CHECK(bench.access->gated());
    CHECK(bench.journal.held.empty());
}

TEST_CASE("a byte that is unlogged for too long stops the relay until it is durable") {
    Bench bench;
    bench.open();
    bench.access->count_up(1);
    bench.clock.advance(progress_after_time);
    bench.access->tick(bench.clock.mono());
    REQUIRE(bench.journal.held.size() == 1);
    CHECK_FALSE(bench.access->gated());
    // The disk takes its time.
    bench.clock.advance(unlogged_time_max - progress_after_time);
    bench.access->tick(bench.clock.mono());
    CHECK(bench.access->gated());
    bench.journal.answer(true);
    bench.settle();
    CHECK_FALSE(bench.access->gated());
    bench.clock.advance(unlogged_time_max * 3);
    bench.access->tick(bench.clock.mono());
    CHECK_FALSE(bench.access->gated());
}

TEST_CASE("a journal that fails gates the relay and is tried again by the tick") {
    Bench bench;
    bench.open();
    bench.access->count_up(progress_after_bytes);
    bench.journal.answer(false);
    bench.settle();
    CHECK(bench.access->journal_failed());
    CHECK(bench.access->gated());
    bench.access->tick(bench.clock.mono());
    REQUIRE(bench.journal.held.size() == 1);
    bench.journal.answer(true);
    bench.settle();
    CHECK_FALSE(bench.access->gated());
}

TEST_CASE("time makes a PROGRESS when bytes moved, and a heartbeat when none did") {
    Bench bench;
    bench.open();
    bench.access->count_up(1);
    CHECK(bench.access->tick(bench.clock.mono()));
    CHECK(bench.journal.held.empty());
    bench.clock.advance(progress_after_time);
    CHECK_FALSE(bench.access->tick(bench.clock.mono()));
    REQUIRE(bench.journal.held.size() == 1);
    bench.journal.answer(true);
    bench.settle();
    bench.clock.advance(heartbeat_after - base::Microseconds{1});
    bench.access->tick(bench.clock.mono());
    CHECK(bench.journal.held.empty());
    bench.clock.advance(base::Microseconds{1});
    bench.access->tick(bench.clock.mono());
    CHECK(bench.journal.held.size() == 1);
}

TEST_CASE("an answer that comes after the access has gone touches nothing") {
    Bench bench;
    bench.open();
    bench.access->count_up(progress_after_bytes);
    bench.access.reset();
    while (!bench.journal.held.empty()) bench.journal.answer(true);
    bench.settle();
    CHECK(bench.journal.answered.back().access().event() == AccessEventType::CLOSED);
}

TEST_CASE("what was not delivered is taken off and said to be uncertain, and never goes below zero") {
    Bench bench;
    bench.open();
    bench.access->count_down(100);
    bench.access->undelivered_down(30);
    CHECK(bench.access->bytes_down() == 70);
    bench.access->undelivered_down(500);
    CHECK(bench.access->bytes_down() == 0);
    bench.access->close(CloseReason::REVOKED);
    CHECK(bench.last().bytes_uncertain());
}

TEST_CASE("the end says what OPENED said, and what has changed since") {
    Bench bench;
    bench.access->record().set_destination_ip("192.0.2.1");
    bench.access->record().add_reasons("policy staff");
    std::optional<bool> durable;
    bench.start_open(durable);
    bench.access->record().set_destination_ip("192.0.2.2");  // before it is durable, and after it
    bench.journal.answer(true);
    bench.settle();
    REQUIRE(durable == true);
    const auto opened = bench.journal.answered.back().access();
    CHECK(opened.destination_ip() == "192.0.2.1");
    bench.access->record().set_verdict(usher::v1::Verdict::FAILED);
    bench.access->record().add_reasons("connection-refused");
    bench.access->count_up(progress_after_bytes);
    const auto progress = bench.last();
    bench.journal.answer(true);
    bench.settle();
    bench.clock.advance(base::Microseconds{2'000'000});
    bench.access->close(CloseReason::APP_UNREACHABLE);

    auto expected = opened;
    expected.set_destination_ip("192.0.2.2");
    expected.set_verdict(usher::v1::Verdict::FAILED);
    expected.add_reasons("connection-refused");
    expected.set_bytes_up(progress_after_bytes);
    expected.set_event(AccessEventType::PROGRESS);
    CHECK(progress.SerializeAsString() == expected.SerializeAsString());
    expected.set_event(AccessEventType::CLOSED);
    expected.set_duration_us(2'000'000);
    expected.set_close_reason(CloseReason::APP_UNREACHABLE);
    *expected.mutable_closed_at() = opened.opened_at();
    expected.mutable_closed_at()->set_seconds(opened.opened_at().seconds() + 2);
    CHECK(bench.last().SerializeAsString() == expected.SerializeAsString());
    CHECK(bench.access->app() == "crm");
}

TEST_CASE("two directions that wait for the journal do not wake each other") {
    Bench bench;
    bench.open();
    bench.access->count_up(gate_after_bytes);
    unsigned through = 0;
    for (int direction = 0; direction < 2; ++direction)
        asio::co_spawn(
            bench.io,
            [&]() -> asio::awaitable<void> {
                co_await bench.access->gate();
                ++through;
            },
            asio::detached);
    bench.io.restart();
    std::size_t turns = 0;
    while (turns < 100 && bench.io.poll_one() > 0) ++turns;
    CHECK(turns < 10);
    CHECK(through == 0);
    bench.journal.answer(true);
    bench.settle();
    CHECK(through == 2);
}
