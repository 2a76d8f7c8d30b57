#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/net.hpp"
#include "base/result.hpp"

struct ares_channeldata;
struct ares_addrinfo;

namespace usher::gateway::dial {

/// One channel of c-ares, driven by an io_context: a watch for each of its sockets, and a timer for its retries. On the
/// one thread that runs the io_context, which must outlive it.
class AresChannel {
public:
    enum class Source { hosts_file, name_servers };
    enum class Family { v4, v6 };

    struct Options {
        Source source = Source::name_servers;
        std::vector<std::string> servers{};  ///< "192.0.2.53:53"; empty: those of /etc/resolv.conf
        base::Microseconds attempt_timeout{};
        int attempts = 2;  ///< of each server
    };

    struct Answer {
        std::vector<base::IpAddress> addresses;  ///< in the servers' order, without repeats, at most 16
        base::Microseconds ttl{};                ///< of the shortest-lived part, the aliases on the way included
    };
    struct Reply {
        base::Result<Answer> answer;  ///< not_found, deadline_exceeded, unavailable
        bool servers_silent;          ///< a server had to be asked again, or another one
    };
    /// Called exactly once, maybe before ask() returns; from the destructor with unavailable. It must neither throw nor
    /// destroy the channel.
    using Done = std::function<void(Reply)>;

    /// invalid_argument when a server cannot be read, internal when c-ares cannot start.
    static base::Result<std::unique_ptr<AresChannel>> open(boost::asio::io_context& io, const Options& options);
    ~AresChannel();
    AresChannel(const AresChannel&) = delete;
    AresChannel& operator=(const AresChannel&) = delete;

    void ask(const std::string& name, Family family, Done done);
    std::size_t in_flight() const noexcept { return in_flight_; }
    /// The servers that are asked, in their order.
    std::vector<std::string> servers() const;

private:
    struct Query;
    struct Watch;

    explicit AresChannel(boost::asio::io_context& io) : io_(io), retry_timer_(io) {}
    static void on_socket_state(void* data, int fd, int readable, int writable);
    static void on_answer(void* data, int status, int timeouts, ares_addrinfo* result);
    void arm_retry_timer();

    boost::asio::io_context& io_;
    ares_channeldata* channel_ = nullptr;
    boost::asio::steady_timer retry_timer_;
    std::map<int, std::shared_ptr<Watch>> watches_;
    std::size_t in_flight_ = 0;
    bool closing_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< tells a late timer handler that the channel is gone
};

}  // namespace usher::gateway::dial
