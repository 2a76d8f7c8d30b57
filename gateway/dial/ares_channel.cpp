#include "gateway/dial/ares_channel.hpp"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstring>
#include <mutex>
#include <utility>

namespace usher::gateway::dial {
namespace {

namespace asio = boost::asio;
using Addresses = std::vector<base::IpAddress>;

constexpr std::size_t most_addresses = 16;

struct FreeAddrInfo {
    void operator()(ares_addrinfo* info) const noexcept { ares_freeaddrinfo(info); }
};
using AddrInfo = std::unique_ptr<ares_addrinfo, FreeAddrInfo>;

Addresses addresses_of(const ares_addrinfo& info) {
    Addresses out;
    for (const auto* node = info.nodes; node && out.size() < most_addresses; node = node->ai_next) {
        base::IpAddress address;
        if (node->ai_family == AF_INET) {
            sockaddr_in v4{};
            std::memcpy(&v4, node->ai_addr, sizeof v4);
            address = base::IpAddress::v4(ntohl(v4.sin_addr.s_addr));
        } else if (node->ai_family == AF_INET6) {
            sockaddr_in6 v6{};
            std::memcpy(&v6, node->ai_addr, sizeof v6);
            std::memcpy(address.bytes.data(), &v6.sin6_addr, address.bytes.size());
        } else {
            continue;
        }
        if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
    }
    return out;
}

/// The answer lives as long as the shortest-lived part of it, the aliases on the way included.
base::Microseconds ttl_of(const ares_addrinfo& info) {
    int ttl = info.nodes ? info.nodes->ai_ttl : 0;
    for (const auto* node = info.nodes; node; node = node->ai_next) ttl = std::min(ttl, node->ai_ttl);
    for (const auto* alias = info.cnames; alias; alias = alias->next) ttl = std::min(ttl, alias->ttl);
    return std::chrono::seconds(std::max(ttl, 0));
}

base::Error error_of(int status) {
    switch (status) {
        case ARES_ENOTFOUND:
        case ARES_ENODATA:
        case ARES_ENONAME:
        case ARES_EBADNAME:
            return {base::Errc::not_found, "the name has no address"};
        case ARES_ETIMEOUT:
            return {base::Errc::deadline_exceeded, "no name server answered in time"};
        case ARES_ECANCELLED:
        case ARES_EDESTRUCTION:
            return {base::Errc::unavailable, "the resolver is shutting down"};
        default:
            return {base::Errc::unavailable, std::string("name resolution failed: ") + ares_strerror(status)};
    }
}

bool start_library() {
    static std::once_flag once;
    static int status = ARES_SUCCESS;
    std::call_once(once, [] { status = ares_library_init(ARES_LIB_INIT_ALL); });
    return status == ARES_SUCCESS;
}

}  // namespace

struct AresChannel::Query {
    AresChannel* channel;
    Done done;
};

/// Waits for one socket of c-ares to become ready. The descriptor is c-ares's to close, so it is released, not
/// closed.
struct AresChannel::Watch : std::enable_shared_from_this<Watch> {
    Watch(AresChannel& owner, int socket) : channel(&owner), fd(socket), descriptor(owner.io_) {}

    bool start() {
        boost::system::error_code error;
        descriptor.assign(fd, error);
        return !error;
    }
    void stop() {
        channel = nullptr;
        if (descriptor.is_open()) descriptor.release();
    }
    void wait() {
        if (want_read && !reading) {
            reading = true;
            descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                  [self = shared_from_this()](boost::system::error_code error) {
                                      self->reading = false;
                                      self->ready(error, self->fd, ARES_SOCKET_BAD);
                                  });
        }
        if (want_write && !writing) {
            writing = true;
            descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                  [self = shared_from_this()](boost::system::error_code error) {
                                      self->writing = false;
                                      self->ready(error, ARES_SOCKET_BAD, self->fd);
                                  });
        }
    }
    void ready(boost::system::error_code error, int read_fd, int write_fd) {
        // A handler that was queued before its socket was closed must not speak for a new socket of that number.
        if (!channel || error == asio::error::operation_aborted) return;
        auto* const owner = channel;
        ares_process_fd(owner->channel_, read_fd, write_fd);
        if (channel) wait();
        owner->arm_retry_timer();
    }

    AresChannel* channel;  ///< null once the socket is c-ares's alone again
    int fd;
    asio::posix::stream_descriptor descriptor;
    bool want_read = false;
    bool want_write = false;
    bool reading = false;
    bool writing = false;
};

base::Result<std::unique_ptr<AresChannel>> AresChannel::open(asio::io_context& io, const Options& options) {
    if (!start_library()) return {base::Errc::internal, "c-ares cannot be initialised"};
    std::unique_ptr<AresChannel> made(new AresChannel(io));
    ares_options settings{};
    settings.flags = ARES_FLAG_NOSEARCH;
    settings.timeout = static_cast<int>(options.attempt_timeout / std::chrono::milliseconds(1));
    settings.tries = options.attempts;
    settings.ndomains = 0;
    char lookups[] = {options.source == Source::hosts_file ? 'f' : 'b', '\0'};
    settings.lookups = lookups;
    settings.sock_state_cb = &AresChannel::on_socket_state;
    settings.sock_state_cb_data = made.get();
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    // Newer releases keep answers themselves, for up to an hour; the bound and the clock here are the resolver's.
    settings.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    if (const int status = ares_init_options(&made->channel_, &settings, mask); status != ARES_SUCCESS) {
        made->channel_ = nullptr;
        return {base::Errc::internal, std::string("c-ares cannot start: ") + ares_strerror(status)};
    }
    if (options.servers.empty()) return made;
    std::string list;
    for (const auto& server : options.servers) list += (list.empty() ? "" : ",") + server;
    if (ares_set_servers_ports_csv(made->channel_, list.c_str()) != ARES_SUCCESS) {
        return {base::Errc::invalid_argument, "cannot read the name servers '" + list + "'"};
    }
    return made;
}

AresChannel::~AresChannel() {
    closing_ = true;
    // Every query that is left gets its callback now, while there is still something to call back to.
    if (channel_) ares_destroy(channel_);
    for (auto& [fd, watch] : watches_) watch->stop();
}

void AresChannel::ask(const std::string& name, Family family, Done done) {
    ares_addrinfo_hints hints{};
    hints.ai_family = family == Family::v4 ? AF_INET : AF_INET6;
    hints.ai_socktype = SOCK_STREAM;  // else each address comes once per socket type
    hints.ai_flags = ARES_AI_NOSORT;  // sorting opens a socket to each address; the dialer has an order of its own
    ++in_flight_;
    auto query = std::make_unique<Query>(Query{this, std::move(done)});
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &AresChannel::on_answer, query.release());
    arm_retry_timer();
}

std::vector<std::string> AresChannel::servers() const {
    std::vector<std::string> out;
    ares_addr_port_node* list = nullptr;
    if (ares_get_servers_ports(channel_, &list) != ARES_SUCCESS) return out;
    for (const auto* node = list; node; node = node->next) {
        base::IpAddress address;
        if (node->family == AF_INET)
            address = base::IpAddress::v4(ntohl(node->addr.addr4.s_addr));
        else
            std::memcpy(address.bytes.data(), &node->addr.addr6, address.bytes.size());
        const int port = node->udp_port != 0 ? node->udp_port : 53;
        const std::string host = address.is_v4() ? address.to_string() : "[" + address.to_string() + "]";
        out.push_back(host + ":" + std::to_string(port));
    }
    ares_free_data(list);
    return out;
}

void AresChannel::on_answer(void* data, int status, int timeouts, ares_addrinfo* result) {
    const std::unique_ptr<Query> query(static_cast<Query*>(data));
    const AddrInfo info(result);
    --query->channel->in_flight_;
    auto addresses = status == ARES_SUCCESS && info ? addresses_of(*info) : Addresses{};
    if (status == ARES_SUCCESS && addresses.empty()) status = ARES_ENODATA;
    if (status == ARES_SUCCESS) {
        query->done({Answer{std::move(addresses), ttl_of(*info)}, timeouts > 0});
    } else {
        query->done({error_of(status), timeouts > 0});
    }
}

void AresChannel::on_socket_state(void* data, int fd, int readable, int writable) {
    auto& self = *static_cast<AresChannel*>(data);
    const auto found = self.watches_.find(fd);
    if (!readable && !writable) {
        if (found == self.watches_.end()) return;
        found->second->stop();
        self.watches_.erase(found);
        return;
    }
    auto watch = found == self.watches_.end() ? nullptr : found->second;
    if (!watch) {
        watch = std::make_shared<Watch>(self, fd);
        // A socket that cannot be watched stays silent, and its queries end at their deadline.
        if (!watch->start()) return;
        self.watches_.emplace(fd, watch);
    }
    watch->want_read = readable != 0;
    watch->want_write = writable != 0;
    watch->wait();
}

/// Lets c-ares look at its own timeouts when the next of them is due.
void AresChannel::arm_retry_timer() {
    timeval due{};
    if (closing_ || in_flight_ == 0 || !ares_timeout(channel_, nullptr, &due)) {
        retry_timer_.cancel();
        return;
    }
    // Rounded up, or a timer that fires early would find nothing due and spin.
    retry_timer_.expires_after(std::chrono::seconds(due.tv_sec) + std::chrono::microseconds(due.tv_usec) +
                               std::chrono::milliseconds(1));
    retry_timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](boost::system::error_code error) {
        if (error || alive.expired()) return;
        ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        arm_retry_timer();
    });
}

}  // namespace usher::gateway::dial
