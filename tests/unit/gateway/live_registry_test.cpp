#include "gateway/live_registry.hpp"

#include <boost/asio/io_context.hpp>
#include <memory>
#include <set>

#include "catch.hpp"
#include "tests/unit/gateway/held_journal.hpp"

using namespace usher;
using namespace usher::gateway;

namespace {

auth::SessionPtr session(std::string id, std::string account) {
    auto made = std::make_shared<auth::Session>();
    made->id = std::move(id);
    made->account_id = std::move(account);
    return made;
}

/// Accesses by a letter each, in a registry.
struct Bench {
    base::ManualClock clock{base::from_micros(1'700'000'000'000'000)};
    boost::asio::io_context io{1};
    HeldJournal journal;
    EnforcementQueue orders;
    LiveRegistry registry;
    std::map<char, std::unique_ptr<LiveAccess>> accesses;

    ~Bench() {
        for (auto& [name, access] : accesses) registry.leave(*access);
    }
    void enter(char name, const auth::SessionPtr& of, const std::string& app) {
        AccessRecord record;
        record.set_app(app);
        record.set_username(std::string(1, name));
        auto access = std::make_unique<LiveAccess>(journal, clock, orders, io.get_executor(), record,
                                                   base::new_uuid(clock), of, base::Destination{"a.example", {}, 443});
        registry.enter(*access);
        accesses.emplace(name, std::move(access));
    }
    void leave(char name) {
        registry.leave(*accesses.at(name));
        accesses.erase(name);
    }
    /// The letters of those that are visited, in order.
    std::string visited(const auth::Affected& affected) {
        std::multiset<char> names;
        registry.each(affected, [&](LiveAccess& access) {
            for (const auto& [name, held] : accesses)
                if (held.get() == &access) names.insert(name);
        });
        return {names.begin(), names.end()};
    }
    std::string places() {
        std::set<char> names;
        for (std::size_t i = 0; i < registry.size(); ++i) {
            CHECK(registry.at(i).access->place() == i);
            for (const auto& [name, held] : accesses)
                if (held.get() == registry.at(i).access) names.insert(name);
        }
        return {names.begin(), names.end()};
    }
};

auth::Affected apps(std::vector<std::string> names) {
    auth::Affected affected;
    affected.apps = std::move(names);
    return affected;
}

}  // namespace

TEST_CASE("what is live is found by session, by account and by app") {
    Bench bench;
    const auto laptop = session("s-1", "alice"), phone = session("s-2", "alice"), other = session("s-3", "bob");
    bench.enter('a', laptop, "crm");
    bench.enter('b', laptop, "wiki");
    bench.enter('c', phone, "crm");
    bench.enter('d', other, "crm");

    CHECK(bench.visited(auth::Affected::session("s-1")) == "ab");
    CHECK(bench.visited(auth::Affected::session("s-2")) == "c");
    CHECK(bench.visited(auth::Affected::account("alice")) == "abc");
    CHECK(bench.visited(auth::Affected::account("bob")) == "d");
    CHECK(bench.visited(apps({"crm"})) == "acd");
    CHECK(bench.visited(apps({"wiki", "none"})) == "b");
    CHECK(bench.visited(auth::Affected::all()) == "abcd");
    CHECK(bench.visited({}).empty());
    CHECK(bench.visited(auth::Affected::account("carol")).empty());
    CHECK(bench.registry.of_session("s-1") == 2);
    CHECK(bench.registry.of_session("s-9") == 0);

    SECTION("who has left is found no more, and the others still are") {
        bench.leave('a');
        CHECK(bench.visited(auth::Affected::session("s-1")) == "b");
        CHECK(bench.visited(apps({"crm"})) == "cd");
        CHECK(bench.places() == "bcd");
        bench.leave('b');
        CHECK(bench.visited(auth::Affected::session("s-1")).empty());
        CHECK(bench.visited(auth::Affected::account("alice")) == "c");
        CHECK(bench.visited(apps({"wiki"})).empty());
        bench.leave('d');
        CHECK(bench.visited(auth::Affected::all()) == "c");
        CHECK(bench.places() == "c");
    }
    SECTION("a session that was read again is the same session, whoever of the two leaves first") {
        // As it comes from the database once more while an access stands on the former one. Nobody else holds them.
        const bool former_first = GENERATE(true, false);
        bench.enter('e', session("s-4", "carol"), "crm");
        bench.enter('f', session("s-4", "carol"), "crm");
        CHECK(bench.visited(auth::Affected::session("s-4")) == "ef");
        bench.leave(former_first ? 'e' : 'f');
        CHECK(bench.visited(auth::Affected::session("s-4")) == (former_first ? "f" : "e"));
        CHECK(bench.visited(auth::Affected::account("carol")) == (former_first ? "f" : "e"));
        bench.leave(former_first ? 'f' : 'e');
        CHECK(bench.visited(auth::Affected::account("carol")).empty());
        CHECK(bench.visited(auth::Affected::session("s-4")).empty());
    }
}

TEST_CASE("an access that moves nothing rests until its time, and whatever moves wakes it") {
    using namespace std::chrono_literals;
    Bench bench;
    const auto of = session("s1", "alice");
    bench.enter('a', of, "crm");
    bench.enter('b', of, "crm");
    auto& a = *bench.accesses.at('a');
    auto& b = *bench.accesses.at('b');
    const auto look_at = [&](LiveAccess& access) { return bench.registry.at(access.place()).look_at; };
    CHECK(look_at(a) == base::MonoTime::min());
    CHECK_FALSE(a.quiet());  // OPENED is not there yet
    a.open();
    b.open();
    bench.journal.answer(true);
    bench.journal.answer(true);
    CHECK(a.quiet());

    const auto pass = [&] {
        for (auto* access : {&a, &b}) bench.registry.at(access->place()).passed_at = bench.clock.mono();
    };
    a.tick(bench.clock.mono());
    const auto begun = bench.clock.mono();
    bench.registry.look_again(a, begun, begun + 5s);
    bench.registry.look_again(b, begun, begun + 5s);
    CHECK(look_at(a) == begun + 5s);
    // Passed by each second, as its worker does: what moves then was on record until a second ago.
    for (int i = 0; i < 20; ++i) {
        bench.clock.advance(1s);
        pass();
    }
    SECTION("by what it sends") {
        bench.clock.advance(500ms);
        a.count_up(7);
        CHECK(look_at(a) == base::MonoTime::min());
        CHECK_FALSE(a.quiet());
        CHECK(look_at(b) == begun + 5s);
        CHECK(a.tick(bench.clock.mono()));
        CHECK_FALSE(a.gated());
        CHECK(a.last_moved() == bench.clock.mono());
        // The bound counts from when it was passed by, and it is gated within it (LiveAccess::tick).
        bench.clock.advance(3'600ms);
        a.tick(bench.clock.mono());
        CHECK(a.gated());
    }
    SECTION("by an app that takes nothing") {
        a.set_stalled_up(true);
        CHECK(look_at(a) == base::MonoTime::min());
        CHECK_FALSE(a.quiet());
        a.set_stalled_up(false);
        CHECK(a.quiet());
    }
    SECTION("by a change after which what it waits for may be due sooner") {
        a.look_soon();
        CHECK(look_at(a) == base::MonoTime::min());
        CHECK(look_at(b) == begun + 5s);
        CHECK(a.quiet());
    }
    SECTION("not once it has left") {
        bench.registry.leave(a);
        a.count_down(1);
        CHECK(look_at(b) == begun + 5s);
        CHECK(bench.registry.at(b.place()).access == &b);
        bench.accesses.erase('a');
    }
}

TEST_CASE("a client that has gone is asked for only while its app takes nothing") {
    Bench bench;
    bench.enter('a', session("s1", "alice"), "crm");
    auto& a = *bench.accesses.at('a');
    int asked = 0;
    a.on_the_way([&](bool stalled) {
        asked += stalled;
        return LiveAccess::OnTheWay{0, 0, stalled};
    });
    CHECK_FALSE(a.client_is_gone());
    CHECK(asked == 0);
    a.set_stalled_up(true);
    CHECK(a.client_is_gone());
    CHECK(asked == 1);
    a.on_the_way(nullptr);
    CHECK_FALSE(a.client_is_gone());
}

TEST_CASE("an order is waited for by nobody but whoever takes it, once") {
    EnforcementQueue queue;
    unsigned obeyed = 0;
    std::vector<EnforcementQueue::Item> taken;
    queue.on_waiting([&] {
        ++obeyed;
        taken = queue.take();
    });
    queue.look();
    CHECK(obeyed == 0);
    base::ManualClock clock{base::from_micros(7)};
    queue.put({auth::Affected::session("s"), "s"}, clock, {});
    queue.put(Enforcement::of(auth::Affected::all()), clock, {});
    CHECK(queue.oldest() == 1);
    queue.look();
    CHECK(obeyed == 1);
    REQUIRE(taken.size() == 2);
    CHECK(taken[0].what.signed_out == "s");
    CHECK(taken[1].number == 2);
    CHECK(taken[1].what.affected.everybody);
    CHECK(queue.oldest() == 0);
    queue.look();
    CHECK(obeyed == 1);
    queue.put({}, clock, {});
    CHECK(queue.oldest() == 3);
}
