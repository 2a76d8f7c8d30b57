#include "gateway/dial/resolver.hpp"

#include <algorithm>
#include <chrono>
#include <list>

#include "catch.hpp"
#include "dial/dns_server.hpp"
#include "dial/run.hpp"

using namespace std::chrono_literals;
using usher::base::Errc;
using usher::base::IpAddress;
using usher::gateway::dial::Resolver;
using usher::gateway::dial::ResolverOptions;
using usher::test::DnsServer;
using usher::test::run;
using Addresses = std::vector<IpAddress>;
using Resolved = usher::base::Result<Addresses>;

namespace {

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

struct Fixture {
    boost::asio::io_context io;
    usher::base::ManualClock clock{usher::base::from_micros(0)};
    DnsServer server{io, [this](const std::string& name) { return answer(name); }};
    std::unique_ptr<Resolver> resolver;
    Addresses current{ip("10.0.0.1")};
    std::uint32_t ttl_s = 0;

    std::optional<DnsServer::Answer> answer(const std::string& name) const {
        if (name.starts_with("silent")) return std::nullopt;
        if (name.starts_with("absent")) return DnsServer::Answer{3, {}, 0};
        if (name.starts_with("broken")) return DnsServer::Answer{2, {}, 0};
        if (name.starts_with("empty")) return DnsServer::Answer{};
        return DnsServer::Answer{0, current, ttl_s};
    }

    explicit Fixture(ResolverOptions options = {}) {
        options.servers = {server.address()};
        auto made = Resolver::create(io, clock, options);
        REQUIRE(made);
        resolver = std::move(*made);
    }

    Resolved resolve(const std::string& name, usher::base::Microseconds timeout = 5s) {
        return run(io, resolver->resolve(name, timeout));
    }
};

}  // namespace

TEST_CASE("a name resolves to its addresses of both families") {
    Fixture f;
    f.current = {ip("10.0.0.1"), ip("fd12::1"), ip("10.0.0.2"), ip("10.0.0.1")};
    auto resolved = f.resolve("app.example");
    REQUIRE(resolved);
    std::sort(resolved->begin(), resolved->end());
    CHECK(*resolved == Addresses{ip("10.0.0.1"), ip("10.0.0.2"), ip("fd12::1")});
    CHECK(f.server.questions("app.example") == 2);
}

TEST_CASE("the hosts file comes before the servers") {
    Fixture f;
    const auto resolved = f.resolve("localhost");
    REQUIRE(resolved);
    CHECK(std::find(resolved->begin(), resolved->end(), ip("127.0.0.1")) != resolved->end());
    CHECK(f.server.questions("localhost") == 0);
}

TEST_CASE("a name means itself, whatever search domains there are") {
    Fixture f;
    CHECK(f.resolve("absent").error().code == Errc::not_found);
    CHECK(f.server.questions("absent") == 2);
    CHECK(f.resolve("single"));
}

TEST_CASE("each failure of a name has its code") {
    Fixture f({.attempt_timeout = 20ms});
    CHECK(f.resolve("absent.example").error().code == Errc::not_found);
    CHECK(f.resolve("empty.example").error().code == Errc::not_found);
    CHECK(f.resolve("broken.example").error().code == Errc::unavailable);
    CHECK(f.resolve("silent.example").error().code == Errc::deadline_exceeded);
    CHECK(f.resolver->queries_in_flight() == 0);
}

TEST_CASE("a silent server holds nobody longer than the deadline, and no other name") {
    Fixture f;
    usher::test::Task<Resolved> silent;
    usher::test::start(f.io, silent, f.resolver->resolve("silent.example", 300ms));
    CHECK(f.resolve("app.example"));
    CHECK_FALSE(silent.done());
    usher::test::run_until(f.io, [&] { return silent.done(); });
    REQUIRE(silent.value);
    CHECK(silent.value->error().code == Errc::deadline_exceeded);
    CHECK(f.resolver->queries_in_flight() == 1);  // c-ares goes on asking within its own bound
}

TEST_CASE("an answer is kept for its time and no longer") {
    Fixture f;
    f.ttl_s = 30;
    REQUIRE(f.resolve("app.example"));
    f.current = {ip("10.0.0.9")};
    f.clock.advance(29s);
    CHECK(*f.resolve("app.example") == Addresses{ip("10.0.0.1")});
    CHECK(f.server.questions("app.example") == 2);
    f.clock.advance(1s);
    CHECK(*f.resolve("app.example") == Addresses{ip("10.0.0.9")});

    f.ttl_s = 86'400;
    REQUIRE(f.resolve("long.example"));
    f.clock.advance(60s);
    REQUIRE(f.resolve("long.example"));
    CHECK(f.server.questions("long.example") == 4);

    f.ttl_s = 0;
    REQUIRE(f.resolve("fleeting.example"));
    REQUIRE(f.resolve("fleeting.example"));
    CHECK(f.server.questions("fleeting.example") == 4);
}

TEST_CASE("the cache and the queries in flight are bounded") {
    Fixture f({.queries = 3, .cache = {.names = 4}});
    f.ttl_s = 60;
    for (int i = 0; i < 20; ++i) REQUIRE(f.resolve("app" + std::to_string(i) + ".example"));
    CHECK(f.resolver->cached_names() == 4);

    std::list<usher::test::Task<Resolved>> tasks;
    for (int i = 0; i < 3; ++i) {
        usher::test::start(f.io, tasks.emplace_back(), f.resolver->resolve("silent" + std::to_string(i), 5s));
    }
    usher::test::run_until(f.io, [&] { return f.resolver->queries_in_flight() == 3; });
    CHECK(f.resolve("other.example").error().code == Errc::resource_exhausted);
    CHECK(f.resolve("app19.example"));  // known, so nobody is asked
    f.resolver.reset();
    usher::test::run_until(
        f.io, [&] { return std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task.done(); }); });
}

TEST_CASE("more than sixteen addresses are cut") {
    Fixture f;
    f.current.clear();
    for (std::uint32_t i = 0; i < 30; ++i) f.current.push_back(IpAddress::v4(0x0a000000 + i));
    CHECK(f.resolve("app.example")->size() == 16);
}

TEST_CASE("a resolution can be cancelled, and its late answer harms nobody") {
    Fixture f({.attempt_timeout = 20ms});
    usher::test::Task<Resolved> task;
    usher::test::start(f.io, task, f.resolver->resolve("silent.example", 5s));
    usher::test::run_until(f.io, [&] { return f.server.questions("silent.example") > 0; });
    task.cancel.emit(boost::asio::cancellation_type::terminal);
    usher::test::run_until(f.io, [&] { return task.done(); });
    REQUIRE(task.value);
    CHECK(task.value->error().code == Errc::unavailable);
    usher::test::run_until(f.io, [&] { return f.resolver->queries_in_flight() == 0; });
}

TEST_CASE("a resolver may go while names are waited for") {
    Fixture f;
    usher::test::Task<Resolved> task;
    usher::test::start(f.io, task, f.resolver->resolve("silent.example", 5s));
    usher::test::run_until(f.io, [&] { return f.server.questions("silent.example") > 0; });
    f.resolver.reset();
    usher::test::run_until(f.io, [&] { return task.done(); });
    REQUIRE(task.value);
    CHECK(task.value->error().code == Errc::unavailable);
}

TEST_CASE("an io_context may go while names are waited for") {
    usher::base::ManualClock clock{usher::base::from_micros(0)};
    usher::test::Task<Resolved> task;
    auto io = std::make_unique<boost::asio::io_context>();
    auto server = std::make_unique<DnsServer>(*io, [](const std::string&) { return std::nullopt; });
    ResolverOptions options;
    options.servers = {server->address()};
    auto resolver = std::move(Resolver::create(*io, clock, options)).value();
    usher::test::start(*io, task, resolver->resolve("silent.example", 5s));
    usher::test::run_until(*io, [&] { return server->questions("silent.example") > 0; });
    resolver.reset();
    server.reset();
    io.reset();
    CHECK_FALSE(task.done());
}

TEST_CASE("a server that cannot be read fails at the start") {
    boost::asio::io_context io;
    usher::base::ManualClock clock{usher::base::from_micros(0)};
    ResolverOptions options;
    options.servers = {"not-an-address"};
    const auto made = Resolver::create(io, clock, options);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Errc::invalid_argument);
}

TEST_CASE("a name is asked for once, however many wait for it") {
    Fixture f;
    std::list<usher::test::Task<Resolved>> tasks;
    for (int i = 0; i < 100; ++i) {
        usher::test::start(f.io, tasks.emplace_back(), f.resolver->resolve("app.example", 5s));
    }
    usher::test::run_until(
        f.io, [&] { return std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task.done(); }); });
    for (const auto& task : tasks) CHECK(**task.value == f.current);
    CHECK(f.server.questions("app.example") == 2);
}

TEST_CASE("that a name does not exist is kept for a short time") {
    Fixture f;
    CHECK_FALSE(f.resolve("absent.example"));
    CHECK(f.resolve("absent.example").error().code == Errc::not_found);
    CHECK(f.server.questions("absent.example") == 2);
    f.clock.advance(5s);
    CHECK_FALSE(f.resolve("absent.example"));
    CHECK(f.server.questions("absent.example") == 4);
    // What failed for another reason is asked again at once.
    CHECK_FALSE(f.resolve("broken.example"));
    const int before = f.server.questions("broken.example");
    CHECK_FALSE(f.resolve("broken.example"));
    CHECK(f.server.questions("broken.example") > before);
}

TEST_CASE("a family that is silent delays the other one by no more than the resolution delay") {
    for (const bool v6_silent : {true, false}) {
        Fixture f({.attempt_timeout = 2s});
        f.server.stay_silent(v6_silent);
        f.current = {ip("10.0.0.1"), ip("fd12::1")};
        const auto begun = std::chrono::steady_clock::now();
        const auto resolved = f.resolve("app.example");
        CHECK(std::chrono::steady_clock::now() - begun < 1s);
        REQUIRE(resolved);
        CHECK(*resolved == Addresses{ip(v6_silent ? "10.0.0.1" : "fd12::1")});
        CHECK(f.resolver->queries_in_flight() == 1);  // the other family is still asked for
        CHECK(*f.resolve("app.example") == *resolved);
    }
}

TEST_CASE("a name server that is silent costs those who ask first, and nobody after them") {
    boost::asio::io_context io;
    usher::base::ManualClock clock{usher::base::from_micros(0)};
    DnsServer dead(io, [](const std::string&) { return std::nullopt; });
    DnsServer alive(io, [](const std::string&) { return DnsServer::Answer{0, {ip("10.0.0.1")}, 0}; });
    ResolverOptions options;
    options.servers = {dead.address(), alive.address()};
    options.attempt_timeout = 300ms;
    auto resolver = std::move(Resolver::create(io, clock, options)).value();
    REQUIRE(run(io, resolver->resolve("first.example", 5s)));
    const int asked = dead.questions("first.example");
    CHECK(asked > 0);
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) {
        const auto name = "app" + std::to_string(i) + ".example";
        REQUIRE(run(io, resolver->resolve(name, 5s)));
        CHECK(dead.questions(name) == 0);
    }
    CHECK(std::chrono::steady_clock::now() - begun < 3s);  // 20 times 300 ms would be six
}

TEST_CASE("each name that is looked up is told of, with its outcome") {
    using Outcome = ResolverOptions::Outcome;
    std::vector<Outcome> outcomes;
    Fixture f({.on_outcome = [&](Outcome outcome) { outcomes.push_back(outcome); }});
    f.ttl_s = 60;
    for (const char* name : {"app.example", "app.example", "absent.example", "broken.example"}) (void)f.resolve(name);
    CHECK(outcomes == std::vector{Outcome::answered, Outcome::cached, Outcome::absent, Outcome::failed});
}
