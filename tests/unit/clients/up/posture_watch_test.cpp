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
    bool was_called() const {
        pollfd waiting{listener.get(), POLLIN, 0};
        return ::poll(&waiting, 1, 20'000) == 1;
    }
    UniqueFd listener;
    std::uint16_t port = 0;
};

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
        watch.look(std::make_shared<SavedSession>(SavedSession{{"127.0.0.1", gateway.port},
                                                               "",
                                                               "alice",
                                                               "one",
                                                               clock.utc() + 1h,
                                                               Secret(std::string_view("0123456789abcdef"))}));
        REQUIRE(gateway.was_called());
        stopped = std::chrono::steady_clock::now();
    }
    // A call has 30 s.
    CHECK(std::chrono::steady_clock::now() - stopped < 10s);
    ::unsetenv("XDG_CONFIG_HOME");
}
