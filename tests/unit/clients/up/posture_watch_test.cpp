#include "clients/usher/up/posture_watch.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <chrono>

#include "base/unique_fd.hpp"
#include "clients/posture/fixture_tree.hpp"

using namespace std::chrono_literals;
using namespace usher::base;
using namespace usher::clients;
using namespace usher::clients::agent;

namespace {

/// A port that takes connections and says nothing.
struct SilentGateway {
    SilentGateway() : listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(listener.get(), generic, size) == 0);
        REQUIRE(::listen(listener.get(), 4) == 0);
        REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
        port = ntohs(address.sin_port);
    }
    bool was_called() const { return is_called(20'000); }
    bool is_called(int within_ms = 0) const {
        pollfd waiting{listener.get(), POLLIN, 0};
        return ::poll(&waiting, 1, within_ms) == 1;
    }
    UniqueFd listener;
    std::uint16_t port = 0;
};

SharedSession session_at(const SilentGateway& gateway, const Clock& clock) {
    return std::make_shared<SavedSession>(SavedSession{{"127.0.0.1", gateway.port},
                                                       "",
                                                       "alice",
                                                       "one",
                                                       clock.utc() + 1h,
                                                       Secret(std::string_view("0123456789abcdef"))});
}

}  // namespace

TEST_CASE("a report to a gateway that is silent ends at once when the agent stops", "[posture]") {
    const FixtureTree fixture;
    ::setenv("XDG_CONFIG_HOME", fixture.root().c_str(), 1);
    const SilentGateway gateway;
    const ManualClock clock(from_micros(1'700'000'000'000'000));
    std::chrono::steady_clock::time_point stopped;
    {
        PostureWatch watch(fixture.tree(), ScreenLock([](const StopSignal*) { return Desktop{}; }),
                           fixture.at("/posture.yaml"), clock);
        watch.look(session_at(gateway, clock));
        REQUIRE(gateway.was_called());
        stopped = std::chrono::steady_clock::now();
    }
    // A call has 30 s.
    CHECK(std::chrono::steady_clock::now() - stopped < 10s);
    ::unsetenv("XDG_CONFIG_HOME");
}

TEST_CASE("a desktop that does not answer is not waited for when the agent stops, and nothing is reported",
          "[posture]") {
    const FixtureTree fixture;
    ::setenv("XDG_CONFIG_HOME", fixture.root().c_str(), 1);
    const SilentGateway gateway;
    const ManualClock clock(from_micros(1'700'000'000'000'000));
    StopSignal inside;
    const auto waits_for = [](const StopSignal& signal) {
        pollfd one{signal.fd(), POLLIN, 0};
        return ::poll(&one, 1, 30'000) == 1;
    };
    std::chrono::steady_clock::time_point stopped;
    {
        PostureWatch watch(fixture.tree(), ScreenLock([&](const StopSignal* stop) -> Result<Desktop> {
                               inside.set();
                               waits_for(*stop);
                               return Error{Errc::unavailable, "stopped"};
                           }),
                           fixture.at("/posture.yaml"), clock);
        watch.look(session_at(gateway, clock));
        REQUIRE(waits_for(inside));
        stopped = std::chrono::steady_clock::now();
    }
    CHECK(std::chrono::steady_clock::now() - stopped < 10s);
    CHECK_FALSE(gateway.is_called());
    ::unsetenv("XDG_CONFIG_HOME");
}
