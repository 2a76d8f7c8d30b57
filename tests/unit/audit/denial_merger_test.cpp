#include "audit/denial_merger.hpp"

#include <random>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::DenialMerger;

namespace {

v1::AccessRecord denial(const std::string& ip, const std::string& reason, const std::string& host = "h") {
    auto out = access(base::Uuid{}, v1::AccessEventType::DENIED);
    out.set_client_ip(ip);
    out.add_reasons(reason);
    out.set_destination_host(host);
    out.clear_username();
    return out;
}

base::MonoTime at(std::int64_t us) { return base::MonoTime{base::Microseconds{us}}; }

std::uint64_t counted(const v1::AccessRecord& record) { return std::max<std::uint64_t>(record.count(), 1); }

}  // namespace

TEST_CASE("the first denial passes, the rest of its second comes out as one with their count") {
    DenialMerger merger;
    REQUIRE(merger.offer(denial("192.0.2.1", "malformed"), at(0)));
    for (int i = 0; i < 9; ++i) CHECK_FALSE(merger.offer(denial("192.0.2.200", "malformed"), at(1000)));
    CHECK(merger.due(at(999'999)).empty());
    const auto due = merger.due(at(1'000'000));
    REQUIRE(due.size() == 1);
    CHECK(due[0].count() == 9);
    CHECK(merger.due(base::MonoTime::max()).empty());
    CHECK(merger.offer(denial("192.0.2.1", "malformed"), at(2'000'001)));
}

TEST_CASE("other networks, reasons and destinations are told apart") {
    DenialMerger merger;
    CHECK(merger.offer(denial("192.0.2.1", "a"), at(0)));
    CHECK(merger.offer(denial("192.0.3.1", "a"), at(0)));
    CHECK(merger.offer(denial("192.0.2.1", "b"), at(0)));
    CHECK(merger.offer(denial("192.0.2.1", "a", "other"), at(0)));
    CHECK(merger.offer(denial("2001:db8::1", "a"), at(0)));
    CHECK_FALSE(merger.offer(denial("2001:db8::ffff", "a"), at(0)));
    CHECK(merger.offer(denial("2001:db8:0:1::1", "a"), at(0)));
}

TEST_CASE("no denial is lost or counted twice, however many kinds there are") {
    std::mt19937_64 random(7);
    DenialMerger merger;
    std::uint64_t offered = 0, out = 0;
    std::int64_t now = 0;
    for (int i = 0; i < 60'000; ++i) {
        now += static_cast<std::int64_t>(random() % 200);
        // More kinds than there are keys, so that the coarser ones are used too.
        const std::string ip = "10." + std::to_string(random() % 20) + "." + std::to_string(random() % 200) + ".1";
        ++offered;
        if (auto record = merger.offer(denial(ip, random() % 2 ? "a" : "b"), at(now))) out += counted(*record);
        if (i % 500 == 0)
            for (const auto& record : merger.due(at(now))) out += counted(record);
    }
    for (const auto& record : merger.due(base::MonoTime::max())) out += counted(record);
    CHECK(out == offered);
}

TEST_CASE("a merged record says when the first and the last of its denials came") {
    DenialMerger merger;
    const auto when = [](std::int64_t us) {
        auto record = denial("192.0.2.1", "malformed");
        set(*record.mutable_opened_at(), noon + base::Microseconds{us});
        return record;
    };
    REQUIRE(merger.offer(when(0), at(0)));
    REQUIRE_FALSE(merger.offer(when(100), at(100)));
    REQUIRE_FALSE(merger.offer(when(200), at(200)));
    REQUIRE_FALSE(merger.offer(when(999'999), at(999'999)));
    const auto due = merger.due(at(1'000'000));
    REQUIRE(due.size() == 1);
    CHECK(due[0].count() == 3);
    CHECK(due[0].opened_at().nanos() == 100'000);
    CHECK(due[0].last_at().nanos() == 999'999'000);
}

TEST_CASE("a second ends exactly where it does, whether due() was called or not") {
    DenialMerger merger;
    REQUIRE(merger.offer(denial("192.0.2.1", "a"), at(0)));
    CHECK(merger.offer(denial("192.0.2.1", "a"), at(1'000'000)));
    CHECK_FALSE(merger.offer(denial("192.0.2.1", "a"), at(1'999'999)));
    CHECK(merger.due(at(1'999'999)).empty());
    REQUIRE(merger.due(at(2'000'000)).size() == 1);
    CHECK(merger.keys() == 0);
    CHECK(merger.offer(denial("192.0.2.1", "a"), at(2'000'000)));
}

TEST_CASE("a record that stands for many counts as many") {
    DenialMerger merger;
    REQUIRE(merger.offer(denial("192.0.2.1", "a"), at(0)));
    auto many = denial("192.0.2.1", "a");
    many.set_count(40);
    REQUIRE_FALSE(merger.offer(many, at(1)));
    REQUIRE_FALSE(merger.offer(denial("192.0.2.1", "a"), at(2)));
    const auto due = merger.due(base::MonoTime::max());
    REQUIRE(due.size() == 1);
    CHECK(due[0].count() == 41);
}

TEST_CASE("however many addresses and reasons there are, few keys are held and all is counted") {
    DenialMerger merger;
    std::uint64_t out = 0;
    for (int i = 0; i < 20'000; ++i) {
        const std::string ip = "10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".1";
        if (auto record = merger.offer(denial(ip, "reason-" + std::to_string(i)), at(i))) out += counted(*record);
        REQUIRE(merger.keys() <= DenialMerger::keys_max + DenialMerger::coarse_keys_max + 1);
    }
    for (const auto& record : merger.due(base::MonoTime::max())) out += counted(record);
    CHECK(out == 20'000);
    CHECK(merger.keys() == 0);
}

TEST_CASE("what stands for denials of many names none of them") {
    DenialMerger merger;
    std::size_t i = 0;
    const auto fill = [&](const std::string& reason, const std::string& host) {
        const std::string ip = "10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".1";
        ++i;
        auto record = denial(ip, reason, host);
        record.add_reasons("because of " + ip);
        record.set_client_port(4711);
        record.set_destination_ip("192.0.2.99");
        return merger.offer(std::move(record), at(0));
    };
    while (merger.keys() < DenialMerger::keys_max) REQUIRE(fill("fills", "h"));
    REQUIRE(fill("flood", "h"));  // the first of its coarse key
    for (int n = 0; n < 5; ++n) REQUIRE_FALSE(fill("flood", n == 3 ? "other" : "h"));
    const auto due = merger.due(base::MonoTime::max());
    REQUIRE(due.size() == 1);
    CHECK(due[0].count() == 5);
    REQUIRE(due[0].reasons_size() == 1);
    CHECK(due[0].reasons(0) == "flood");
    CHECK(due[0].client_ip().empty());
    CHECK(due[0].client_port() == 0);
    CHECK(due[0].destination_host().empty());
    CHECK(due[0].destination_ip() == "192.0.2.99");  // which they have in common
}

TEST_CASE("denials of somebody who is signed in are merged by session, and a coarser record names nobody") {
    DenialMerger merger;
    const auto limited = [](const std::string& account, const std::string& session, const std::string& host) {
        auto out = denial("192.0.2.1", "limit-tunnels_per_account", host);
        out.set_account_id(account);
        out.set_username(account + "-name");
        out.set_session_id(session);
        return out;
    };
    for (const char* session : {"s1", "s2"}) REQUIRE(merger.offer(limited("alice", session, "h"), at(0)));
    for (int i = 0; i < 5; ++i)
        for (const char* session : {"s1", "s2"}) REQUIRE_FALSE(merger.offer(limited("alice", session, "h"), at(1)));
    auto due = merger.due(at(1'000'000));
    REQUIRE(due.size() == 2);
    CHECK(due[0].session_id() != due[1].session_id());
    for (const auto& record : due) CHECK((record.count() == 5 && record.account_id() == "alice"));

    for (std::size_t i = 0; i < DenialMerger::keys_max; ++i)
        (void)merger.offer(limited("alice", "s1", "h" + std::to_string(i)), at(2'000'000));
    (void)merger.offer(limited("alice", "s1", "x"), at(2'000'000));  // the first of the coarser key
    (void)merger.offer(limited("alice", "s1", "y"), at(2'000'000));
    (void)merger.offer(limited("bob", "s9", "z"), at(2'000'000));
    due = merger.due(base::MonoTime::max());
    REQUIRE(due.size() == 1);
    CHECK(due[0].count() == 2);
    CHECK(due[0].account_id().empty());
    CHECK(due[0].username().empty());
    CHECK(due[0].session_id().empty());
}
