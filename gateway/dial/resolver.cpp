#include "gateway/dial/resolver.hpp"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
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
std::chrono::seconds ttl_of(const ares_addrinfo& info) {
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

/// The c-ares channel and what drives it: one descriptor watch per socket of c-ares, and a timer for its retries.
class Resolver::Channel {
public:
    /// One wait for one name. Owned by the waiting coroutine and by the query in c-ares, so that either may go first.
    struct Wait {
        Wait(const asio::any_io_executor& executor, std::string wanted) : deadline(executor), name(std::move(wanted)) {}
        asio::steady_timer deadline;
        std::string name;
        std::optional<base::Result<Addresses>> answer;
    };

    Channel(asio::io_context& io, const base::Clock& clock, ResolverOptions options)
        : io_(io), clock_(clock), options_(std::move(options)), retry_timer_(io) {}

    ~Channel() {
        closing_ = true;
        // Every query that is left gets its callback now, while there is still something to call back to.
        if (channel_) ares_destroy(channel_);
        for (auto& [fd, watch] : watches_) watch->stop();
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    base::Result<void> open() {
        if (!start_library()) return {base::Errc::internal, "c-ares cannot be initialised"};
        ares_options settings{};
        settings.flags = ARES_FLAG_NOSEARCH;
        settings.timeout = static_cast<int>(options_.attempt_timeout / std::chrono::milliseconds(1));
        settings.tries = options_.attempts;
        settings.ndomains = 0;
        char lookups[] = "fb";  // the hosts file, then DNS
        settings.lookups = lookups;
        settings.sock_state_cb = &Channel::on_socket_state;
        settings.sock_state_cb_data = this;
        int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
                   ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
        // Newer releases keep answers themselves, for up to an hour; the bound and the clock here are this class's.
        settings.qcache_max_ttl = 0;
        mask |= ARES_OPT_QUERY_CACHE;
#endif
        if (const int status = ares_init_options(&channel_, &settings, mask); status != ARES_SUCCESS) {
            channel_ = nullptr;
            return {base::Errc::internal, std::string("c-ares cannot start: ") + ares_strerror(status)};
        }
        if (options_.servers.empty()) return {};
        std::string list;
        for (const auto& server : options_.servers) list += (list.empty() ? "" : ",") + server;
        if (ares_set_servers_ports_csv(channel_, list.c_str()) != ARES_SUCCESS) {
            return {base::Errc::invalid_argument, "cannot read the name servers '" + list + "'"};
        }
        return {};
    }

    std::optional<Addresses> cached(const std::string& name) {
        const auto found = cache_.find(name);
        if (found == cache_.end()) return std::nullopt;
        if (found->second.expires > clock_.mono()) return found->second.addresses;
        cache_.erase(found);
        return std::nullopt;
    }

    bool is_full() const noexcept { return in_flight_ >= options_.queries; }

    /// Starts the query. The answer may be there when this returns (the hosts file).
    void ask(const std::shared_ptr<Wait>& wait) {
        ares_addrinfo_hints hints{};
        hints.ai_family = AF_UNSPEC;
        hints.ai_socktype = SOCK_STREAM;  // else each address comes once per socket type
        hints.ai_flags = ARES_AI_NOSORT;  // sorting opens a socket to each address; the dialer has an order of its own
        ++in_flight_;
        auto query = std::make_unique<Query>(Query{this, wait});
        ares_getaddrinfo(channel_, wait->name.c_str(), nullptr, &hints, &Channel::on_answer, query.release());
        arm_retry_timer();
    }

    asio::any_io_executor executor() const { return io_.get_executor(); }
    std::size_t in_flight() const noexcept { return in_flight_; }
    std::size_t cached_names() const noexcept { return cache_.size(); }

private:
    struct Query {
        Channel* channel;
        std::shared_ptr<Wait> wait;
    };

    struct CacheEntry {
        Addresses addresses;
        base::MonoTime expires;
    };

    /// Waits for one socket of c-ares to become ready. The descriptor is c-ares's to close, so it is released, not
    /// closed.
    struct Watch : std::enable_shared_from_this<Watch> {
        Watch(Channel& owner, int socket) : channel(&owner), fd(socket), descriptor(owner.io_) {}

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

        Channel* channel;  ///< null once the socket is c-ares's alone again
        int fd;
        asio::posix::stream_descriptor descriptor;
        bool want_read = false;
        bool want_write = false;
        bool reading = false;
        bool writing = false;
    };

    static void on_socket_state(void* data, ares_socket_t fd, int readable, int writable) {
        auto& self = *static_cast<Channel*>(data);
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

    static void on_answer(void* data, int status, int /*timeouts*/, ares_addrinfo* result) {
        const std::unique_ptr<Query> query(static_cast<Query*>(data));
        const AddrInfo info(result);
        auto& self = *query->channel;
        auto& wait = *query->wait;
        --self.in_flight_;
        auto addresses = status == ARES_SUCCESS && info ? addresses_of(*info) : Addresses{};
        if (status == ARES_SUCCESS && addresses.empty()) status = ARES_ENODATA;
        if (status == ARES_SUCCESS) {
            if (!self.closing_) self.remember(wait.name, addresses, ttl_of(*info));
            wait.answer.emplace(std::move(addresses));
        } else {
            wait.answer.emplace(error_of(status));
        }
        wait.deadline.cancel();
    }

    void remember(const std::string& name, const Addresses& addresses, base::Microseconds ttl) {
        ttl = std::min(ttl, options_.cache_ttl_max);
        if (ttl <= base::Microseconds::zero() || options_.cache_entries == 0) return;
        const auto now = clock_.mono();
        if (cache_.size() >= options_.cache_entries && !cache_.contains(name)) {
            std::erase_if(cache_, [&](const auto& entry) { return entry.second.expires <= now; });
            // Any victim will do: the hash spreads them, and a lost entry costs one query.
            if (cache_.size() >= options_.cache_entries) cache_.erase(cache_.begin());
        }
        cache_.insert_or_assign(name, CacheEntry{addresses, now + ttl});
    }

    /// Lets c-ares look at its own timeouts when the next of them is due.
    void arm_retry_timer() {
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

    asio::io_context& io_;
    const base::Clock& clock_;
    ResolverOptions options_;
    ares_channel channel_ = nullptr;
    asio::steady_timer retry_timer_;
    std::map<int, std::shared_ptr<Watch>> watches_;
    std::unordered_map<std::string, CacheEntry> cache_;
    std::size_t in_flight_ = 0;
    bool closing_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< tells a late timer handler that the channel is gone
};

Resolver::Resolver(std::unique_ptr<Channel> channel) noexcept : channel_(std::move(channel)) {}

Resolver::~Resolver() = default;

base::Result<std::unique_ptr<Resolver>> Resolver::create(asio::io_context& io, const base::Clock& clock,
                                                         ResolverOptions options) {
    auto channel = std::make_unique<Channel>(io, clock, std::move(options));
    if (auto opened = channel->open(); !opened) return std::move(opened).error();
    return std::unique_ptr<Resolver>(new Resolver(std::move(channel)));
}

asio::awaitable<base::Result<Addresses>> Resolver::resolve(std::string name, base::Microseconds timeout) {
    if (auto addresses = channel_->cached(name)) co_return std::move(*addresses);
    if (channel_->is_full()) {
        co_return base::Error{base::Errc::resource_exhausted, "too many names are being resolved"};
    }
    const auto wait = std::make_shared<Channel::Wait>(channel_->executor(), std::move(name));
    wait->deadline.expires_after(timeout);
    channel_->ask(wait);
    if (!wait->answer) {
        // From here on the resolver itself may be gone; only `wait` may be touched.
        const auto [error] = co_await wait->deadline.async_wait(asio::as_tuple(asio::use_awaitable));
        if (!wait->answer && error) co_return base::Error{base::Errc::unavailable, "the resolution was cancelled"};
        if (!wait->answer) co_return base::Error{base::Errc::deadline_exceeded, "no name server answered in time"};
    }
    co_return std::move(*wait->answer);
}

std::size_t Resolver::queries_in_flight() const noexcept { return channel_->in_flight(); }

std::size_t Resolver::cached_names() const noexcept { return channel_->cached_names(); }

}  // namespace usher::gateway::dial
