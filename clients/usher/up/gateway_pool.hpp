#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/net.hpp"
#include "clients/usher/up/gateway_link.hpp"
#include "clients/usher/up/link_plan.hpp"
#include "clients/usher/up/refusal.hpp"
#include "clients/usher/up/session_source.hpp"

namespace usher::clients::agent {

/// The connections to the gateway, and the tunnels on them. A connection is made when something wants it; when it is
/// lost or told to go, the next request makes another. On the agent's thread; everything that waits in it must have
/// ended before it goes.
class GatewayPool {
public:
    /// `chance` gives numbers in [0, 1). All must outlive it.
    GatewayPool(boost::asio::io_context& io, wire::BufferPool& buffers, const base::Clock& clock,
                SessionSource& sessions, std::function<double()> chance);
    ~GatewayPool();

    using Opened = std::variant<std::unique_ptr<GatewayStream>, Refusal>;
    /// A tunnel to `destination` as whoever is signed in now, or why there is none. Takes at most about 75 s.
    boost::asio::awaitable<Opened> open(base::Destination destination);
    using Content = std::variant<std::string, Refusal>;
    /// The body of GET `path` of the sign-in API.
    boost::asio::awaitable<Content> get(std::string path);

    /// Called every second or so.
    void tick(base::MonoTime now);
    /// Ends every connection; what waits is refused. For good.
    void stop();

    struct Summary {
        std::size_t connections = 0;
        std::size_t streams = 0;
        std::string last_error;  ///< in words; empty when there was none since the last success
        base::UtcTime last_error_at{};
    };
    Summary summary() const;

private:
    struct Entry {
        std::shared_ptr<GatewayLink> link;
        SharedSession made_for;  ///< whose gateway and authority
    };
    struct Waiter;

    boost::asio::awaitable<std::variant<std::shared_ptr<GatewayLink>, Refusal>> link_for(SharedSession session,
                                                                                         base::MonoTime deadline);
    using Open = std::function<std::unique_ptr<GatewayStream>(GatewayLink&, const std::string& authorization,
                                                              base::MonoTime deadline)>;
    boost::asio::awaitable<Opened> ask(Open open, bool tunnel);
    boost::asio::awaitable<void> dial(SharedSession session);
    void begin_dial(SharedSession session);
    /// A new sign-in: connections to another gateway than its own take no more tunnels.
    void follow(const SharedSession& session);
    void remove(const GatewayLink* link);
    void note(std::string words);
    void wake();

    boost::asio::io_context& io_;
    wire::BufferPool& buffers_;
    const base::Clock& clock_;
    SessionSource& sessions_;
    std::function<double()> chance_;
    std::vector<Entry> links_;
    std::list<Waiter*> waiters_;
    SharedSession followed_;
    Backoff backoff_;
    boost::asio::cancellation_signal stop_dial_;
    bool dialing_ = false;
    bool stopped_ = false;
    std::string last_error_;
    base::UtcTime last_error_at_{};
};

}  // namespace usher::clients::agent
