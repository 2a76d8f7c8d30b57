#include "gateway/dial/resolver.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/log.hpp"
#include "gateway/dial/ares_channel.hpp"

namespace usher::gateway::dial {
namespace {

namespace asio = boost::asio;
using Addresses = std::vector<base::IpAddress>;
using Family = AresChannel::Family;

constexpr std::size_t most_addresses = 16;
/// Channels whose servers were put into another order and which still wait for answers.
constexpr std::size_t retiring_max = 2;
/// Names whose own servers are slow must not turn the order around all the time.
constexpr base::Microseconds reorder_pause{5'000'000};

/// Both families take turns, so that neither crowds out the other.
Addresses merge(const Addresses& v6, const Addresses& v4) {
    Addresses out;
    for (std::size_t i = 0; i < std::max(v6.size(), v4.size()); ++i) {
        for (const Addresses* family : {&v6, &v4})
            if (i < family->size() && out.size() < most_addresses) out.push_back((*family)[i]);
    }
    return out;
}

}  // namespace

/// The questions that are under way, and who waits for each.
class Resolver::Lookups : public std::enable_shared_from_this<Resolver::Lookups> {
public:
    /// One wait for one name. Owned by the waiting coroutine and by the lookup, so that either may go first.
    struct Wait {
        explicit Wait(asio::io_context& io) : deadline(io) {}
        asio::steady_timer deadline;
        std::optional<base::Result<Addresses>> answer;
    };

    /// A name that is being asked for, once for however many wait.
    struct Lookup {
        Lookup(asio::io_context& io, std::string wanted) : name(std::move(wanted)), settle(io) {}
        std::string name;
        std::optional<base::Result<AresChannel::Answer>> v4, v6;
        asio::steady_timer settle;  ///< the other family's time, once one has answered
        bool settled = false;
        std::vector<std::shared_ptr<Wait>> waits;
    };

    Lookups(asio::io_context& io, const base::Clock& clock, ResolverOptions options)
        : io_(io), clock_(clock), options_(std::move(options)), cache_(options_.cache) {}

    ~Lookups() {
        closing_ = true;
        // Their queries are answered now, which tells everybody who waits.
        servers_.reset();
        retiring_.clear();
    }
    Lookups(const Lookups&) = delete;
    Lookups& operator=(const Lookups&) = delete;

    base::Result<void> open() {
        auto hosts = AresChannel::open(io_, {.source = AresChannel::Source::hosts_file});
        if (!hosts) return std::move(hosts).error();
        hosts_ = std::move(*hosts);
        auto servers = ask_servers(options_.servers);
        if (!servers) return std::move(servers).error();
        servers_ = std::move(*servers);
        return {};
    }

    asio::io_context& io() noexcept { return io_; }
    std::size_t under_way() const noexcept { return lookups_.size(); }
    std::size_t cached_names() const noexcept { return cache_.size(); }

    std::optional<base::Result<Addresses>> cached(const std::string& name) {
        auto addresses = cache_.find(name, clock_.mono());
        if (!addresses) return std::nullopt;
        count(Outcome::cached);
        if (addresses->empty()) return base::Result<Addresses>(base::Errc::not_found, "the name has no address");
        return base::Result<Addresses>(std::move(*addresses));
    }

    /// Joins those who wait for `name`, or asks; null when there are too many questions. The answer may be there when
    /// this returns.
    std::shared_ptr<Lookup> join(const std::string& name, const std::shared_ptr<Wait>& wait) {
        std::erase_if(retiring_, [](const auto& channel) { return channel->in_flight() == 0; });
        if (const auto found = lookups_.find(name); found != lookups_.end()) {
            const auto lookup = found->second;
            if (lookup->settled)
                wait->answer.emplace(merged(*lookup));
            else
                lookup->waits.push_back(wait);
            return lookup;
        }
        if (lookups_.size() >= options_.queries) return nullptr;
        auto lookup = std::make_shared<Lookup>(io_, name);
        lookup->waits.push_back(wait);
        if (auto addresses = in_hosts_file(name)) {
            count(Outcome::answered);
            answer(*lookup, std::move(*addresses));
            return lookup;
        }
        lookups_.emplace(name, lookup);
        // A channel that is put aside meanwhile lives on, for it has queries in flight.
        for (const Family family : {Family::v6, Family::v4}) {
            servers_->ask(name, family, [this, lookup, family, asked = servers_.get()](AresChannel::Reply reply) {
                on_reply(lookup, family, asked, std::move(reply));
            });
        }
        return lookup;
    }

private:
    using Outcome = ResolverOptions::Outcome;

    void count(Outcome outcome) const {
        if (options_.on_outcome && !closing_) options_.on_outcome(outcome);
    }

    base::Result<std::unique_ptr<AresChannel>> ask_servers(const std::vector<std::string>& servers) {
        return AresChannel::open(
            io_, {.servers = servers, .attempt_timeout = options_.attempt_timeout, .attempts = options_.attempts});
    }

    /// The hosts file has the last word on both families: where it knows a name, no server is asked for the other one.
    std::optional<Addresses> in_hosts_file(const std::string& name) {
        Addresses v4, v6;
        for (const Family family : {Family::v6, Family::v4}) {
            hosts_->ask(name, family, [&, family](AresChannel::Reply reply) {
                if (reply.answer) (family == Family::v4 ? v4 : v6) = std::move(reply.answer->addresses);
            });
        }
        auto addresses = merge(v6, v4);
        if (addresses.empty()) return std::nullopt;
        return addresses;
    }

    void on_reply(const std::shared_ptr<Lookup>& lookup, Family family, const AresChannel* asked,
                  AresChannel::Reply reply) {
        const bool told = reply.answer || reply.answer.error().code == base::Errc::not_found;
        if (reply.servers_silent && told && asked == servers_.get()) prefer_another();
        const bool positive = reply.answer.ok();
        (family == Family::v4 ? lookup->v4 : lookup->v6).emplace(std::move(reply.answer));
        if (lookup->v4 && lookup->v6) return finish(*lookup);
        if (!positive || closing_) return;
        // RFC 8305 §3: the other family gets a moment, and then the addresses that are known have to do.
        lookup->settle.expires_after(options_.resolution_delay);
        lookup->settle.async_wait(
            [weak = std::weak_ptr<Lookup>(lookup), self = weak_from_this()](boost::system::error_code error) {
                const auto waited = weak.lock();
                const auto lookups = self.lock();
                if (error || !waited || !lookups || (waited->v4 && waited->v6)) return;
                waited->settled = true;
                lookups->answer(*waited, lookups->merged(*waited));
            });
    }

    /// What is known so far.
    static base::Result<Addresses> merged(const Lookup& lookup) {
        static const Addresses none;
        const auto& v4 = lookup.v4 && lookup.v4->ok() ? (**lookup.v4).addresses : none;
        const auto& v6 = lookup.v6 && lookup.v6->ok() ? (**lookup.v6).addresses : none;
        auto addresses = merge(v6, v4);
        if (!addresses.empty()) return addresses;
        // That one family has no address says nothing while the other one is not known.
        for (const auto* family : {&lookup.v4, &lookup.v6})
            if (*family && (*family)->error().code != base::Errc::not_found) return (*family)->error();
        return base::Result<Addresses>(base::Errc::not_found, "the name has no address");
    }

    void finish(Lookup& lookup) {
        lookup.settle.cancel();
        auto result = merged(lookup);
        if (!closing_) {
            lookups_.erase(lookup.name);
            const auto now = clock_.mono();
            if (result.ok()) {
                count(Outcome::answered);
                auto ttl = options_.cache.ttl_max;
                for (const auto* family : {&lookup.v4, &lookup.v6}) {
                    if ((*family)->ok())
                        ttl = std::min(ttl, (***family).ttl);
                    else if ((*family)->error().code != base::Errc::not_found)
                        ttl = std::min(ttl, options_.cache.absent_ttl);  // half an answer: asked again soon
                }
                cache_.remember(lookup.name, *result, ttl, now);
            } else if (result.error().code == base::Errc::not_found) {
                count(Outcome::absent);
                cache_.remember_absent(lookup.name, now);
            } else {
                count(Outcome::failed);
            }
        }
        answer(lookup, std::move(result));
    }

    static void answer(Lookup& lookup, const base::Result<Addresses>& result) {
        for (const auto& wait : std::exchange(lookup.waits, {})) {
            wait->answer.emplace(result);
            wait->deadline.cancel();
        }
    }

    /// The first server was silent and another one was not: from now on the others are asked first, so that one dead
    /// server costs those who ask at that moment, and nobody after them.
    void prefer_another() {
        const auto now = clock_.mono();
        if (closing_ || retiring_.size() >= retiring_max || (reordered_at_ && now - *reordered_at_ < reorder_pause))
            return;
        auto order = servers_->servers();
        if (order.size() < 2) return;
        std::rotate(order.begin(), order.begin() + 1, order.end());
        auto next = ask_servers(order);
        if (!next) return;  // no memory or descriptors: the old order still answers
        base::log_warning("a name server is silent; the next one is asked first", {{"next", order.front()}});
        retiring_.push_back(std::exchange(servers_, std::move(*next)));
        reordered_at_ = now;
    }

    asio::io_context& io_;
    const base::Clock& clock_;
    ResolverOptions options_;
    NameCache cache_;
    std::unordered_map<std::string, std::shared_ptr<Lookup>> lookups_;
    std::unique_ptr<AresChannel> hosts_, servers_;
    std::vector<std::unique_ptr<AresChannel>> retiring_;
    std::optional<base::MonoTime> reordered_at_;
    bool closing_ = false;
};

Resolver::Resolver(std::shared_ptr<Lookups> lookups) noexcept : lookups_(std::move(lookups)) {}

Resolver::~Resolver() = default;

base::Result<std::unique_ptr<Resolver>> Resolver::create(asio::io_context& io, const base::Clock& clock,
                                                         ResolverOptions options) {
    auto lookups = std::make_shared<Lookups>(io, clock, std::move(options));
    if (auto opened = lookups->open(); !opened) return std::move(opened).error();
    return std::unique_ptr<Resolver>(new Resolver(std::move(lookups)));
}

asio::awaitable<base::Result<Addresses>> Resolver::resolve(std::string name, base::Microseconds timeout) {
    if (auto answer = lookups_->cached(name)) co_return std::move(*answer);
    const auto wait = std::make_shared<Lookups::Wait>(lookups_->io());
    wait->deadline.expires_after(timeout);
    const auto lookup = lookups_->join(name, wait);
    if (!lookup) co_return base::Error{base::Errc::resource_exhausted, "too many names are being resolved"};
    if (!wait->answer) {
        // From here on the resolver itself may be gone; only `wait` and `lookup` may be touched.
        const auto [error] = co_await wait->deadline.async_wait(asio::as_tuple(asio::use_awaitable));
        std::erase(lookup->waits, wait);
        if (!wait->answer && error) co_return base::Error{base::Errc::unavailable, "the resolution was cancelled"};
        if (!wait->answer) co_return base::Error{base::Errc::deadline_exceeded, "no name server answered in time"};
    }
    co_return std::move(*wait->answer);
}

std::size_t Resolver::queries_in_flight() const noexcept { return lookups_->under_way(); }

std::size_t Resolver::cached_names() const noexcept { return lookups_->cached_names(); }

}  // namespace usher::gateway::dial
