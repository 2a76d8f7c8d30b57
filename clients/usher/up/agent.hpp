#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "clients/usher/up/agent_home.hpp"
#include "clients/usher/up/gateway_pool.hpp"
#include "clients/usher/up/local_relay.hpp"
#include "clients/usher/up/posture_watch.hpp"
#include "clients/usher/up/up_config.hpp"

namespace usher::clients::agent {

/// Connections of local programs that are served at the same time; further ones wait to be accepted.
constexpr std::size_t local_clients_limit = 2000;
/// A program has so long to say what it wants, all of it, and to end a connection whose answer has been sent.
constexpr base::Microseconds handshake_time = std::chrono::seconds(10);
constexpr base::Microseconds linger_time = std::chrono::seconds(5);

/// One connection of a local program, served by a coroutine that the agent owns.
class LocalClient {
public:
    virtual ~LocalClient() = default;
    virtual boost::asio::awaitable<void> run() = 0;
    /// Called every second.
    virtual void tick(base::MonoTime now) = 0;
    /// Ends it now; run() then returns.
    virtual void stop() = 0;
};

/// The running agent: its local listeners, its connections to the gateway, and what goes between them. One thread.
class Agent {
public:
    struct Options {
        UpConfig config;
        std::string session_file;
        std::string declined_file;    ///< what is not said of this device
        std::string directory;        ///< of AgentHome
        bool any_local_user = false;  ///< serve programs of other users of this machine too
    };
    /// Listens on every address. Throws Failure where it cannot, or where an agent runs already.
    Agent(Options options, const base::Clock& clock);
    ~Agent();
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    /// Serves until SIGTERM or SIGINT; `ready` is called when it does.
    void run(const std::function<void()>& ready);

    /// "127.0.0.1:1080", with the port that was bound.
    const std::string& local_address() const noexcept { return local_.text; }
    const std::vector<ForwardRule>& forwards() const noexcept { return forwards_; }

    // For the clients.
    const base::Clock& clock() const noexcept { return clock_; }
    wire::BufferPool& buffers() noexcept { return buffers_; }
    GatewayPool& gateway() noexcept { return *gateway_; }
    SessionSource& sessions() noexcept { return sessions_; }
    Traffic& traffic() noexcept { return traffic_; }
    std::uint16_t local_port() const noexcept { return local_.port; }
    /// The PAC file for whoever is signed in now; of the last seconds, or while the gateway is away the last known.
    boost::asio::awaitable<std::variant<std::string, Refusal>> pac();
    std::string status_json();
    /// Whether a program's connection may use the session: its user is this one.
    bool may_use(int socket);

private:
    struct Listener {
        boost::asio::ip::tcp::acceptor acceptor;
        std::optional<base::Destination> destination;  ///< of a forward
    };
    struct Address {
        std::string text;
        std::uint16_t port = 0;
    };

    Listener listen_on(const Endpoint& local, Endpoint& bound);
    boost::asio::awaitable<void> accept_from(Listener& listener);
    boost::asio::awaitable<void> accept_commands();
    boost::asio::awaitable<bool> may_accept();
    boost::asio::awaitable<void> pause();
    boost::asio::awaitable<void> tick();
    void look_at_device(base::MonoTime now);
    void serve(std::unique_ptr<LocalClient> client);
    void stop();

    const base::Clock& clock_;
    Options options_;
    std::string about_;
    boost::asio::io_context io_{1};
    wire::BufferPool buffers_;
    SessionSource sessions_;
    std::mt19937_64 random_{std::random_device{}()};
    std::unique_ptr<GatewayPool> gateway_;
    Traffic traffic_;
    Address local_;
    std::vector<ForwardRule> forwards_;
    std::list<Listener> listeners_;
    std::unique_ptr<AgentHome> home_;
    std::unique_ptr<boost::asio::posix::stream_descriptor> commands_;
    boost::asio::steady_timer ticker_{io_};
    std::list<std::unique_ptr<LocalClient>> clients_;
    base::UtcTime started_at_;
    std::uint64_t foreign_ = 0;  ///< connections of other users, refused
    bool stopping_ = false;

    std::unique_ptr<PostureWatch> posture_;
    struct {
        std::string session_id;
        base::MonoTime at{};
    } looked_;

    struct {
        std::string session_id, text;
        base::MonoTime at{};
    } pac_;
};

}  // namespace usher::clients::agent
