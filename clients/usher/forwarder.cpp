#include "clients/usher/forwarder.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <memory>
#include <thread>

#include "clients/common/gateway_call.hpp"
#include "clients/common/program.hpp"
#include "clients/common/pump.hpp"
#include "clients/usher/up/through_agent.hpp"

namespace usher::clients::agent {

namespace {

struct Listener {
    base::UniqueFd socket;
    Endpoint local;
    Endpoint destination;
};

std::uint16_t bound_port(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw Failure{std::string("getsockname: ") + std::strerror(errno)};
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                               : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Listener listen_on(const ForwardRule& rule) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    addrinfo* found = nullptr;
    if (const int code =
            ::getaddrinfo(rule.local.host.c_str(), std::to_string(rule.local.port).c_str(), &hints, &found);
        code != 0)
        throw Failure{"cannot listen on " + rule.local.to_string() + ": " + ::gai_strerror(code)};
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> address{found, &::freeaddrinfo};
    Listener listener{base::UniqueFd{::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)},
                      rule.local, rule.destination};
    const int on = 1;
    const int fd = listener.socket.get();
    if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 128) != 0)
        throw Failure{"cannot listen on " + rule.local.to_string() + ": " + std::strerror(errno) +
                      (errno == EADDRINUSE ? "; choose another port, or 0 for a free one" : "")};
    listener.local.port = bound_port(fd);
    return listener;
}

class Forwarder {
public:
    Forwarder(const SavedSession& session, const TlsTrust& trust, const StopSignal& stop)
        : session_(session), trust_(trust), stop_(stop), ended_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!ended_) throw Failure{std::string("eventfd: ") + std::strerror(errno)};
    }
    ~Forwarder() {
        for (auto& worker : workers_) worker.thread.join();  // each ends by itself once `stop` is set
    }
    Forwarder(const Forwarder&) = delete;
    Forwarder& operator=(const Forwarder&) = delete;

    void run(const std::vector<Listener>& listeners) {
        std::vector<pollfd> fds(listeners.size() + 2);
        while (!stop_.is_set()) {
            const bool full = workers_.size() >= forward_connections_limit;
            if (full && !said_full_)
                complain("usher", "forward: " + std::to_string(forward_connections_limit) +
                                      " connections are open; new ones wait until one ends");
            said_full_ = full;
            for (std::size_t i = 0; i < listeners.size(); ++i)
                fds[i] = {full ? -1 : listeners[i].socket.get(), POLLIN, 0};
            fds[listeners.size()] = {stop_.fd(), POLLIN, 0};
            fds[listeners.size() + 1] = {ended_.get(), POLLIN, 0};
            if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR)
                throw Failure{std::string("poll: ") + std::strerror(errno)};
            if (fds[listeners.size() + 1].revents != 0) reap();
            for (std::size_t i = 0; i < listeners.size(); ++i)
                if (fds[i].revents != 0 && workers_.size() < forward_connections_limit) accept_from(listeners[i]);
        }
    }

private:
    struct Worker {
        std::thread thread;
        std::atomic<bool> done{false};
    };

    void accept_from(const Listener& listener) {
        base::UniqueFd client{::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (!client) {
            // The client may have gone again; without descriptors the next turn would fail at once and for ever.
            if (errno == EMFILE || errno == ENFILE) throw Failure{std::string("accept: ") + std::strerror(errno)};
            return;
        }
        const int on = 1;
        (void)::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // only speed depends on it
        Worker& worker = workers_.emplace_back();
        try {
            worker.thread = std::thread([this, &worker, &listener, fd = client.get()] {
                carry(base::UniqueFd{fd}, listener);
                worker.done.store(true, std::memory_order_release);
                const std::uint64_t one = 1;
                // Fails only where the counter is full, and then the main loop is awake anyway.
                (void)!::write(ended_.get(), &one, sizeof one);
            });
        } catch (const std::system_error& error) {
            workers_.pop_back();
            complain("usher", std::string("forward: no thread for a new connection: ") + error.what());
            return;
        }
        (void)client.release();  // the thread owns it now
    }

    void carry(base::UniqueFd client, const Listener& listener) {
        const std::string label =
            "forward " + listener.local.to_string() + " to " + listener.destination.to_string() + ": ";
        const LocalEnd local{client.get(), client.get()};
        PumpResult result;
        auto through_agent = tunnel_through_agent(session_, listener.destination, &stop_);
        if (!through_agent) {
            if (!stop_.is_set()) complain("usher", label + through_agent.error().message);
            return;
        }
        if (*through_agent) {
            result = pump(local, **through_agent, &stop_);
        } else {
            auto tunnel = open_tunnel(trust_, session_.gateway, listener.destination, session_.token, &stop_);
            if (!tunnel) {
                if (!stop_.is_set()) complain("usher", label + tunnel.error().message);
                return;
            }
            result = pump(local, tunnel->connection, tunnel->early, &stop_);
        }
        if (result.end == PumpResult::End::truncated || result.end == PumpResult::End::failed) {
            // The local program must not take a broken stream for a whole one: a reset instead of an end.
            const linger reset{1, 0};
            (void)::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            complain("usher", label + result.detail);
        }
    }

    void reap() {
        std::uint64_t count = 0;
        (void)!::read(ended_.get(), &count, sizeof count);  // only empties the counter
        for (auto at = workers_.begin(); at != workers_.end();) {
            if (!at->done.load(std::memory_order_acquire)) {
                ++at;
                continue;
            }
            at->thread.join();
            at = workers_.erase(at);
        }
    }

    const SavedSession& session_;
    const TlsTrust& trust_;
    const StopSignal& stop_;
    base::UniqueFd ended_;
    std::list<Worker> workers_;
    bool said_full_ = false;
};

}  // namespace

void run_forwarder(const std::vector<ForwardRule>& rules, const SavedSession& session, const TlsTrust& trust,
                   const StopSignal& stop) {
    std::vector<Listener> listeners;
    for (const auto& rule : rules) listeners.push_back(listen_on(rule));
    for (const auto& listener : listeners)
        print("forwarding " + listener.local.to_string() + " to " + listener.destination.to_string() + "\n");
    Forwarder(session, trust, stop).run(listeners);
}

}  // namespace usher::clients::agent
