#include "audit/sinks/sinks.hpp"

#include "audit/sinks/syslog_outlet.hpp"
#include "tests/unit/audit/sinks/support.hpp"

using namespace usher;
using namespace usher::test;
using audit::sinks::Settings;
using audit::sinks::Sinks;

namespace {

Settings named(const std::string& name) {
    Settings settings;
    settings.name = name;
    settings.host = "logs.example";
    settings.port = 6514;
    return settings;
}

/// Two sinks with a receiver each.
struct TwoSinks {
    explicit TwoSinks(TestDatabase& test) : it(test) { start(); }
    void start() {
        auto made = Sinks::start(
            {named("a"), named("b")}, dependencies(),
            [this](const Settings& s) -> base::Result<std::unique_ptr<audit::sinks::Outlet>> {
                return std::unique_ptr<audit::sinks::Outlet>(std::make_unique<FakeOutlet>(s.name == "a" ? a : b));
            });
        if (!made) FAIL(made.error().message);
        sinks = std::move(*made);
    }
    Sinks::Dependencies dependencies() {
        return {it.gateway,
                *it.database,
                it.store,
                it.clock,
                [this] { return it.shipped.load(); },
                [this](const std::string&, std::uint64_t events) { delivered += events; },
                [this](const std::string&) { ++failures; }};
    }
    audit::sinks::Status status(const std::string& name) const {
        for (const auto& each : sinks->status())
            if (each.settings.name == name) return each;
        FAIL("no such sink");
        return {};
    }

    StoreWithRecords it;
    FakeReceiver a, b;
    std::atomic<std::uint64_t> delivered{0}, failures{0};
    std::unique_ptr<Sinks> sinks;
};

constexpr base::Microseconds long_wait{60'000'000};

}  // namespace

TEST_CASE("a sink that is down costs the other one nothing, and comes up to it when it is back") {
    SqliteTestDatabase test;
    TwoSinks two(test);
    two.b.set_down("away");
    two.it.ship(50);
    eventually([&] { return two.status("a").forwarded_sequence == 50; });
    CHECK(two.a.taken() == numbers(1, 50));
    eventually([&] { return !two.status("b").error.empty(); });
    two.it.clock.advance(base::Microseconds{90'000'000});
    const auto behind = two.status("b");
    CHECK(behind.error == "away");
    CHECK(behind.failing_since);
    CHECK(behind.lag_records == 50);
    REQUIRE(behind.lag);
    CHECK(*behind.lag >= base::Microseconds{89'000'000});
    CHECK(behind.failures > 0);
    CHECK_FALSE(two.sinks->wait_forwarded(50, long_wait));  // at once: it would wait in vain
    two.b.set_down("");
    eventually([&] { return two.status("b").forwarded_sequence == 50; });
    eventually([&] { return two.status("b").error.empty(); });
    CHECK(two.b.taken() == numbers(1, 50));
    CHECK(two.status("b").lag_records == 0);
    CHECK_FALSE(two.status("b").lag);
    CHECK(two.sinks->wait_forwarded(50, long_wait));
    CHECK(two.delivered == 100);
    CHECK(two.failures > 0);
}

TEST_CASE("a receiver that asks to be left alone is, and a stop does not wait for that") {
    SqliteTestDatabase test;
    TwoSinks two(test);
    two.a.pause = base::Microseconds{1'200'000};  // longer than the first two waits without it
    two.a.set_down("busy");
    two.it.ship(1);
    eventually([&] { return two.a.times().size() >= 3; });
    const auto times = two.a.times();
    CHECK(times[1] - times[0] >= std::chrono::milliseconds(1'200));
    CHECK(times[2] - times[1] >= std::chrono::milliseconds(1'200));
    two.a.pause = base::Microseconds{3'600'000'000};
    eventually([&] { return two.a.times().size() >= 4; });
    two.sinks->stop();
}

TEST_CASE("after a stop the next process goes on where the last one was") {
    SqliteTestDatabase test;
    TwoSinks two(test);
    two.it.ship(5);
    REQUIRE(two.sinks->wait_forwarded(5, long_wait));
    two.sinks->stop();
    two.it.ship(5);
    two.start();
    REQUIRE(two.sinks->wait_forwarded(10, long_wait));
    CHECK(two.a.taken() == numbers(1, 10));
    CHECK(two.b.taken() == numbers(1, 10));
}

TEST_CASE("a parked record is counted, and tried again when somebody asks") {
    SqliteTestDatabase test;
    TwoSinks two(test);
    two.a.refuse({2});
    two.it.ship(3);
    REQUIRE(two.sinks->wait_forwarded(3, long_wait));
    eventually([&] { return two.status("a").parked == 1; });
    CHECK(two.status("b").parked == 0);
    two.a.refuse({});
    REQUIRE(two.sinks->store().ask_retry("a", std::nullopt, 0).ok());
    two.sinks->look_for_retries();
    eventually([&] { return two.status("a").parked == 0; });
    CHECK(two.a.taken() == std::vector<std::uint64_t>{1, 3, 2});
}

TEST_CASE("a sink whose filter or files are wrong does not start") {
    SqliteTestDatabase test;
    StoreWithRecords it(test);
    const auto error_of = [&](const Settings& settings) {
        Sinks::Dependencies dependencies{it.gateway,
                                         *it.database,
                                         it.store,
                                         it.clock,
                                         [] { return 0U; },
                                         [](const std::string&, std::uint64_t) {},
                                         [](const std::string&) {}};
        auto started = Sinks::start({settings}, std::move(dependencies),
                                    [](const Settings& s) { return audit::sinks::make_syslog_outlet(s, "gw"); });
        return started ? std::string() : started.error().message;
    };
    auto settings = named("siem");
    settings.ca = "/nonexistent/ca.pem";
    CHECK(error_of(settings).starts_with(
        "the sink 'siem': 'ca': /nonexistent/ca.pem: no certificates can be read from it: "));
    settings.filter = "nonsense";
    CHECK(error_of(settings).starts_with("the sink 'siem': filter:1:1:"));
}
