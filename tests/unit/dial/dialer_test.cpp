#include "gateway/dial/dialer.hpp"

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iterator>
#include <set>
#include <string>

#include "catch.hpp"
#include "dial/dns_server.hpp"
#include "dial/run.hpp"
#include "gateway/dial/half_open.hpp"

using namespace std::chrono_literals;
using boost::asio::ip::tcp;
using usher::base::Cidr;
using usher::base::Destination;
using usher::base::IpAddress;
using usher::test::DnsServer;
using namespace usher::gateway::dial;

namespace {

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

Destination literal(const char* address, std::uint16_t port) { return {ip(address).to_string(), ip(address), port}; }

DialRules loopback_rules() { return {{*Cidr::parse("127.0.0.0/8"), *Cidr::parse("::1")}, nullptr}; }

tcp::endpoint loopback(const char* address, std::uint16_t port = 0) {
    return {boost::asio::ip::make_address(address), port};
}

struct Fixture {
    boost::asio::io_context io;
    usher::base::ManualClock clock{usher::base::from_micros(0)};
    std::vector<IpAddress> addresses;
    int answered = 0;
    std::function<void()> before_answer = [] {};
    DnsServer server{io, [this](const std::string& name) -> std::optional<DnsServer::Answer> {
                         if (name.starts_with("silent")) return std::nullopt;
                         if (name.starts_with("absent")) return DnsServer::Answer{3, {}, 0};
                         if (name.starts_with("broken")) return DnsServer::Answer{2, {}, 0};
                         ++answered;
                         before_answer();
                         return DnsServer::Answer{0, addresses, 0};
                     }};
    std::unique_ptr<Resolver> resolver = make_resolver();
    Dialer dialer{io, *resolver};

    std::unique_ptr<Resolver> make_resolver() {
        ResolverOptions options;
        options.servers = {server.address()};
        return std::move(Resolver::create(io, clock, options)).value();
    }
    DialOutcome dial(Destination destination, DialRules rules, DialTimeouts timeouts = {}) {
        return usher::test::run(io, dialer.dial(std::move(destination), std::move(rules), timeouts));
    }
};

void check_error(const DialOutcome& outcome, DialErrorKind kind, std::string_view reason) {
    REQUIRE(std::holds_alternative<DialError>(outcome));
    CHECK(std::get<DialError>(outcome).kind == kind);
    CHECK(std::get<DialError>(outcome).reason == reason);
}

int option(tcp::socket& socket, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(socket.native_handle(), level, name, &value, &size) == 0);
    return value;
}

/// A listener whose queue of connections is full, so that a further one gets no answer.
struct FullListener {
    explicit FullListener(boost::asio::io_context& io) : acceptor(io), fillers() {
        acceptor.open(tcp::v4());
        acceptor.bind(loopback("127.0.0.1"));
        acceptor.listen(0);
        for (int i = 0; i < 4; ++i) {
            auto& filler = fillers.emplace_back(io);
            filler.open(tcp::v4());
            filler.native_non_blocking(true);
            // Asio's own connect() would wait for the answer that is not to come.
            const auto endpoint = acceptor.local_endpoint();
            const int started =
                ::connect(filler.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size()));
            REQUIRE((started == 0 || errno == EINPROGRESS));
        }
    }
    std::uint16_t port() const { return acceptor.local_endpoint().port(); }
    tcp::acceptor acceptor;
    std::vector<tcp::socket> fillers;
};

}  // namespace

TEST_CASE("an address that is allowed is connected to, with the options of an application's connection") {
    Fixture f;
    tcp::acceptor acceptor(f.io, loopback("127.0.0.1"));
    const auto port = acceptor.local_endpoint().port();
    auto outcome = f.dial(literal("127.0.0.1", port), loopback_rules());
    REQUIRE(std::holds_alternative<Dialed>(outcome));
    auto& dialed = std::get<Dialed>(outcome);
    CHECK(dialed.address == ip("127.0.0.1"));
    CHECK(dialed.port == port);
    CHECK(dialed.socket.remote_endpoint() == acceptor.local_endpoint());
    CHECK(dialed.socket.non_blocking());
    CHECK(option(dialed.socket, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option(dialed.socket, SOL_SOCKET, SO_KEEPALIVE) == 1);
    // Not the same for all of them; the peer is given up within a minute in any case.
    const auto idle = option(dialed.socket, IPPROTO_TCP, TCP_KEEPIDLE);
    CHECK(idle >= 20);
    CHECK(idle <= 30);
    const auto whole = idle + 3 * option(dialed.socket, IPPROTO_TCP, TCP_KEEPINTVL);
    CHECK(whole == 60);
    CHECK(option(dialed.socket, IPPROTO_TCP, TCP_KEEPCNT) == 3);
    CHECK(option(dialed.socket, IPPROTO_TCP, TCP_USER_TIMEOUT) == 60'000);
}

TEST_CASE("a vanished peer is given up at the limit by every socket, and not probed by all at once") {
    boost::asio::io_context io;
    std::vector<tcp::socket> sockets;
    std::set<int> silences;
    for (int i = 0; i < 12; ++i) {
        auto& socket = sockets.emplace_back(io);
        socket.open(tcp::v4());
        REQUIRE(set_half_open_limit(socket.native_handle(), usher::base::Microseconds{60'000'000}) == 0);
        const auto idle = option(socket, IPPROTO_TCP, TCP_KEEPIDLE);
        silences.insert(idle);
        CHECK(idle >= 20);
        CHECK(idle <= 30);
        // The kernel ends it at the first probe that is due at or behind this.
        CHECK(option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT) == 60'000);
        CHECK(idle + 3 * option(socket, IPPROTO_TCP, TCP_KEEPINTVL) == 60);
    }
    CHECK(silences.size() == 4);
}

TEST_CASE("a literal is judged like any address") {
    Fixture f;
    tcp::acceptor acceptor(f.io, loopback("127.0.0.1"));
    const auto port = acceptor.local_endpoint().port();
    check_error(f.dial(literal("127.0.0.1", port), {}), DialErrorKind::address_refused, "loopback-address");
    check_error(f.dial(literal("::ffff:127.0.0.1", port), {}), DialErrorKind::address_refused, "loopback-address");
    check_error(f.dial(literal("0.0.0.0", port), loopback_rules()), DialErrorKind::address_refused,
                "unspecified-address");
    auto rules = loopback_rules();
    rules.own_listeners = std::make_shared<const OwnListeners>(OwnListeners{{{ip("127.0.0.1"), port}}, {}});
    check_error(f.dial(literal("127.0.0.1", port), rules), DialErrorKind::address_refused, "own-listener");
    acceptor.non_blocking(true);
    boost::system::error_code error;
    acceptor.accept(error);
    CHECK(error == boost::asio::error::would_block);
}

TEST_CASE("a port where nobody listens refuses") {
    Fixture f;
    std::uint16_t port = 0;
    {
        tcp::acceptor acceptor(f.io, loopback("127.0.0.1"));
        port = acceptor.local_endpoint().port();
    }
    const auto outcome = f.dial(literal("127.0.0.1", port), loopback_rules());
    check_error(outcome, DialErrorKind::connection_refused, "connection-refused");
    CHECK(std::get<DialError>(outcome).address == ip("127.0.0.1"));
}

TEST_CASE("an application that does not answer is given up in time") {
    Fixture f;
    FullListener full(f.io);
    check_error(f.dial(literal("127.0.0.1", full.port()), loopback_rules(), {.connect = 100ms}),
                DialErrorKind::connect_timeout, "connect-timeout");
}

TEST_CASE("a silent address costs a quarter of a second, and leaves nothing behind") {
    Fixture f;
    FullListener full(f.io);
    tcp::acceptor second(f.io, loopback("127.0.0.2", full.port()));
    f.addresses = {ip("127.0.0.1"), ip("127.0.0.2")};
    const auto descriptors = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
    (void)usher::test::run(f.io, f.resolver->resolve("app.example", 1s));  // its socket is open from here on
    const auto before = descriptors();
    {
        const auto begun = std::chrono::steady_clock::now();
        const auto outcome = f.dial({"app.example", {}, full.port()}, loopback_rules(), {.connect = 10s});
        const auto took = std::chrono::steady_clock::now() - begun;
        REQUIRE(std::holds_alternative<Dialed>(outcome));
        CHECK(std::get<Dialed>(outcome).address == ip("127.0.0.2"));
        CHECK(took >= 250ms);
        CHECK(took < 1s);
    }
    CHECK(descriptors() == before);
}

TEST_CASE("a name of many black holes holds four descriptors and not one more") {
    Fixture f;
    FullListener full(f.io);
    DialRules rules = loopback_rules();
    const auto endpoint = std::get<CheckedEndpoint>(check_address(ip("127.0.0.1"), full.port(), loopback_rules()));
    const auto descriptors = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
    const auto before = descriptors();
    std::ptrdiff_t most = 0;
    usher::test::Task<DialOutcome> task;
    usher::test::start(f.io, task, f.dialer.connect_any(std::vector(12, endpoint), 2s));
    usher::test::run_until(f.io, [&] {
        most = std::max(most, descriptors() - before);
        return task.done();
    });
    check_error(*task.value, DialErrorKind::connect_timeout, "connect-timeout");
    CHECK(most == 4);
    CHECK(descriptors() == before);
}

TEST_CASE("an address that refuses costs nothing") {
    Fixture f;
    tcp::acceptor second(f.io, loopback("127.0.0.2"));
    f.addresses = {ip("127.0.0.1"), ip("127.0.0.2")};
    const auto begun = std::chrono::steady_clock::now();
    const auto outcome = f.dial({"app.example", {}, second.local_endpoint().port()}, loopback_rules());
    REQUIRE(std::holds_alternative<Dialed>(outcome));
    CHECK(std::get<Dialed>(outcome).address == ip("127.0.0.2"));
    CHECK(std::chrono::steady_clock::now() - begun < 250ms);
}

TEST_CASE("the first address wins where both families answer") {
    Fixture f;
    tcp::acceptor v4(f.io, loopback("127.0.0.1"));
    tcp::acceptor v6(f.io, loopback("::1", v4.local_endpoint().port()));
    f.addresses = {ip("127.0.0.1"), ip("::1")};
    const auto outcome = f.dial({"app.example", {}, v4.local_endpoint().port()}, loopback_rules());
    REQUIRE(std::holds_alternative<Dialed>(outcome));
    CHECK(std::get<Dialed>(outcome).address == ip("::1"));
    v4.non_blocking(true);
    boost::system::error_code error;
    v4.accept(error);
    CHECK(error == boost::asio::error::would_block);
}

TEST_CASE("an application has descriptors only below the bound") {
    Fixture f;
    tcp::acceptor acceptor(f.io, loopback("127.0.0.1"));
    Dialer reserved(f.io, *f.resolver, {.descriptors_below = 3});
    const auto destination = literal("127.0.0.1", acceptor.local_endpoint().port());
    check_error(usher::test::run(f.io, reserved.dial(destination, loopback_rules(), {})), DialErrorKind::limits,
                "out-of-descriptors-or-ports");
}

TEST_CASE("a name is resolved, and its refused addresses are passed over") {
    Fixture f;
    tcp::acceptor acceptor(f.io, loopback("127.0.0.2"));
    const auto port = acceptor.local_endpoint().port();
    f.addresses = {ip("169.254.169.254"), ip("224.0.0.1"), ip("127.0.0.2")};
    const auto outcome = f.dial({"app.example", {}, port}, loopback_rules());
    REQUIRE(std::holds_alternative<Dialed>(outcome));
    CHECK(std::get<Dialed>(outcome).address == ip("127.0.0.2"));

    f.addresses = {ip("169.254.169.254")};
    const auto refused = f.dial({"app.example", {}, port}, loopback_rules());
    check_error(refused, DialErrorKind::address_refused, "metadata-address");
    CHECK(std::get<DialError>(refused).address == ip("169.254.169.254"));
}

TEST_CASE("each failure to resolve has its kind") {
    Fixture f;
    const DialTimeouts brief{.resolve = 50ms};
    check_error(f.dial({"absent.example", {}, 1}, {}), DialErrorKind::name_not_found, "name-not-found");
    check_error(f.dial({"broken.example", {}, 1}, {}), DialErrorKind::resolve_failed, "resolve-failed");
    check_error(f.dial({"silent.example", {}, 1}, {}, brief), DialErrorKind::resolve_timeout, "resolve-timeout");
}

TEST_CASE("a name that is rebound between two questions never leads to a refused address") {
    Fixture f;
    // Both listen on one port: the address that may be dialled and the one that may not.
    tcp::acceptor allowed(f.io, loopback("127.0.0.2"));
    const auto port = allowed.local_endpoint().port();
    tcp::acceptor forbidden(f.io, loopback("127.0.0.1", port));
    allowed.non_blocking(true);
    forbidden.non_blocking(true);
    const DialRules rules{{*Cidr::parse("127.0.0.2")}, nullptr};
    int question = 0;
    f.before_answer = [&] { f.addresses = {ip(question++ / 2 % 2 ? "127.0.0.1" : "127.0.0.2")}; };
    int connected = 0;
    int refused = 0;
    for (int i = 0; i < 1'000; ++i) {
        const auto outcome = f.dial({"rebound.example", {}, port}, rules);
        if (const auto* dialed = std::get_if<Dialed>(&outcome)) {
            REQUIRE(dialed->address == ip("127.0.0.2"));
            REQUIRE(dialed->socket.remote_endpoint() == allowed.local_endpoint());
            tcp::socket accepted(f.io);
            allowed.accept(accepted);
            ++connected;
        } else {
            REQUIRE(std::get<DialError>(outcome).kind == DialErrorKind::address_refused);
            ++refused;
        }
    }
    CHECK(connected > 0);
    CHECK(refused > 0);
    boost::system::error_code error;
    forbidden.accept(error);
    CHECK(error == boost::asio::error::would_block);
}

TEST_CASE("a dial can be cancelled while it resolves and while it connects") {
    Fixture f;
    FullListener full(f.io);
    usher::test::Task<DialOutcome> resolving;
    usher::test::start(f.io, resolving, f.dialer.dial({"silent.example", {}, 1}, {}, {}));
    usher::test::Task<DialOutcome> connecting;
    usher::test::start(f.io, connecting, f.dialer.dial(literal("127.0.0.1", full.port()), loopback_rules(), {}));
    usher::test::run_until(f.io, [&] { return f.server.questions("silent.example") > 0; });
    resolving.cancel.emit(boost::asio::cancellation_type::terminal);
    connecting.cancel.emit(boost::asio::cancellation_type::terminal);
    usher::test::run_until(f.io, [&] { return resolving.done() && connecting.done(); });
    REQUIRE(resolving.value);
    REQUIRE(connecting.value);
    check_error(*resolving.value, DialErrorKind::cancelled, "cancelled");
    check_error(*connecting.value, DialErrorKind::cancelled, "cancelled");
}

TEST_CASE("who has been given a way to stop a connecting stops it, and only while it is under way") {
    Fixture f;
    FullListener full(f.io);
    const auto target = literal("127.0.0.1", full.port());
    const auto endpoint = std::get<CheckedEndpoint>(check_address(*target.address, target.port, loopback_rules()));
    Dialer::Stop stop;
    stop.now();  // nothing is under way
    usher::test::Task<DialOutcome> connecting;
    usher::test::start(f.io, connecting, f.dialer.connect_any({endpoint}, 10s, &stop));
    f.io.poll();
    REQUIRE_FALSE(connecting.done());
    stop.now();
    usher::test::run_until(f.io, [&] { return connecting.done(); });
    REQUIRE(connecting.value);
    check_error(*connecting.value, DialErrorKind::cancelled, "cancelled");
    stop.now();  // it has ended
}

TEST_CASE("a gateway without descriptors says so") {
    Fixture f;
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none{3, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto outcome = f.dial(literal("127.0.0.1", 1), loopback_rules());
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    check_error(outcome, DialErrorKind::limits, "out-of-descriptors-or-ports");
}

TEST_CASE("families take turns and IPv6 goes first") {
    std::vector<CheckedEndpoint> endpoints;
    for (const char* text : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd12::1", "fd12::2"}) {
        endpoints.push_back(std::get<CheckedEndpoint>(check_address(ip(text), 1, {})));
    }
    std::string order;
    for (const auto& endpoint : interleave_families(endpoints)) order += endpoint.address().to_string() + ' ';
    CHECK(order == "fd12::1 10.0.0.1 fd12::2 10.0.0.2 10.0.0.3 ");
}
