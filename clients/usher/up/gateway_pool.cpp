#include "clients/usher/up/gateway_pool.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>

#include "base/log.hpp"
#include "clients/usher/up/gateway_dial.hpp"

namespace usher::clients::agent {
namespace asio = boost::asio;

namespace {

/// How long a request waits for a connection, and for the gateway's answer on it: the gateway may resolve, dial and
/// wait for its journal.
constexpr base::Microseconds patience = std::chrono::seconds(5);
constexpr base::Microseconds answer_time = std::chrono::seconds(60);
constexpr std::size_t refusal_bytes = 8 * 1024, content_bytes = 1024 * 1024;
/// A tunnel that got no answer because its connection went away was not opened for anybody: it is asked for again.
constexpr int tries = 3;

bool same_gateway(const SavedSession& a, const SavedSession& b) {
    return a.gateway == b.gateway && a.ca_file == b.ca_file;
}

}  // namespace

/// One request that waits for something to change; lives in its coroutine's frame.
struct GatewayPool::Waiter {
    Waiter(std::list<Waiter*>& all, base::MonoTime until_time) : until(until_time), all_(all) {
        place_ = all_.insert(all_.end(), this);
    }
    ~Waiter() { all_.erase(place_); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    base::MonoTime until;
    wire::AsyncEvent changed;

private:
    std::list<Waiter*>& all_;
    std::list<Waiter*>::iterator place_;
};

GatewayPool::GatewayPool(asio::io_context& io, wire::BufferPool& buffers, const base::Clock& clock,
                         SessionSource& sessions, std::function<double()> chance)
    : io_(io), buffers_(buffers), clock_(clock), sessions_(sessions), chance_(std::move(chance)) {}

GatewayPool::~GatewayPool() = default;

void GatewayPool::wake() {
    for (Waiter* waiter : waiters_) waiter->changed.set();
}

void GatewayPool::note(std::string words) {
    last_error_ = std::move(words);
    last_error_at_ = clock_.utc();
}

asio::awaitable<std::variant<std::shared_ptr<GatewayLink>, Refusal>> GatewayPool::link_for(SharedSession session,
                                                                                           base::MonoTime deadline) {
    using Kind = LinkChoice::Kind;
    for (;;) {
        if (stopped_) co_return Refusal{Refusal::Kind::unreachable, "the agent is stopping"};
        std::vector<LinkView> views;
        for (const auto& entry : links_)  // a token is never shown to another gateway than its own
            views.push_back(
                {entry.link->may_open() && same_gateway(*entry.made_for, *session), entry.link->retiring()});
        const auto choice = choose_link(views, dialing_, backoff_, clock_.mono(), deadline);
        if (choice.kind == Kind::use) co_return links_[choice.index].link;
        if (choice.kind == Kind::busy)
            co_return Refusal{Refusal::Kind::busy, "too many connections are open through the gateway; close some"};
        if (choice.kind == Kind::unreachable)
            co_return Refusal{Refusal::Kind::unreachable,
                              last_error_.empty() ? "the gateway cannot be reached" : last_error_};
        if (choice.kind == Kind::dial) {
            begin_dial(session);
            continue;
        }
        Waiter waiter(waiters_, choice.until);
        co_await waiter.changed.wait();
    }
}

void GatewayPool::begin_dial(SharedSession session) {
    dialing_ = true;
    asio::co_spawn(io_, dial(std::move(session)),
                   asio::bind_cancellation_slot(stop_dial_.slot(), [this](std::exception_ptr failure) {
                       if (failure) {
                           backoff_.failed(clock_.mono(), chance_());
                           note("the connection to the gateway failed inside of this program");
                       }
                       dialing_ = false;
                       wake();
                   }));
}

asio::awaitable<void> GatewayPool::dial(SharedSession session) {
    auto dialled = co_await dial_gateway(session, buffers_);
    if (stopped_) co_return;
    if (auto* failure = std::get_if<DialFailure>(&dialled)) {
        if (!backoff_.failing()) base::log_warning("the gateway cannot be reached", {{"error", failure->words}});
        backoff_.failed(clock_.mono(), chance_(), failure->lasting);
        note(std::move(failure->words));
        co_return;
    }
    auto link = std::make_shared<GatewayLink>(std::get<0>(std::move(dialled)), buffers_, clock_, [this] { wake(); });
    links_.push_back({link, session});
    base::log_info("connected to the gateway", {{"connections", links_.size()}});
    asio::co_spawn(io_, link->run(), [this, link](std::exception_ptr failure) {
        if (failure) link->abort();
        remove(link.get());
    });
}

void GatewayPool::remove(const GatewayLink* link) {
    const auto found =
        std::find_if(links_.begin(), links_.end(), [link](const Entry& entry) { return entry.link.get() == link; });
    if (found == links_.end()) return;
    // One that ended before it was of any use must not be made again at once, and again.
    if (!link->answered() && !stopped_) {
        backoff_.failed(clock_.mono(), chance_());
        note("the gateway closed the connection");
    }
    links_.erase(found);
    if (!stopped_) base::log_info("a connection to the gateway ended", {{"connections", links_.size()}});
    wake();
}

void GatewayPool::follow(const SharedSession& session) {
    if (followed_ != nullptr && followed_->session_id == session->session_id) return;
    followed_ = session;
    backoff_.succeeded();  // what failed may have been another gateway or authority
    // Also at the same gateway: a session that is bound to this device is served only where the connection has shown
    // it, and this one may have been made before the device was enrolled.
    for (auto& entry : links_)
        if (entry.made_for->session_id != session->session_id) entry.link->retire();
}

asio::awaitable<GatewayPool::Opened> GatewayPool::ask(Open open, bool tunnel) {
    for (int attempt = 1;; ++attempt) {
        auto session = sessions_.current();
        if (!session) {
            note(session.error().message);
            co_return Refusal{Refusal::Kind::signed_out, session.error().message};
        }
        follow(*session);
        auto got = co_await link_for(*session, clock_.mono() + patience);
        if (auto* refusal = std::get_if<Refusal>(&got)) co_return std::move(*refusal);
        auto& link = std::get<0>(got);
        std::string authorization = "Bearer ";
        authorization += (*session)->token.reveal();
        auto stream = open(*link, authorization, clock_.mono() + answer_time);
        base::wipe(authorization);
        if (!stream) {
            if (attempt < tries) continue;
            co_return Refusal{Refusal::Kind::busy, "the gateway takes no more connections now"};
        }
        if (!co_await stream->wait_head()) {
            if (stream->timed_out()) co_return Refusal{Refusal::Kind::app_timeout, "the gateway did not answer"};
            if (attempt < tries && !stopped_ && link->retiring()) continue;
            note("the connection to the gateway broke");
            co_return Refusal{Refusal::Kind::unreachable, "the gateway broke off; try again"};
        }
        backoff_.succeeded();
        if (stream->head().status == 200) {
            last_error_.clear();
            co_return Opened{std::move(stream)};
        }
        const int status = stream->head().status;
        auto text = co_await stream->read_content(refusal_bytes);
        // The API of requests says 401 where a CONNECT gets 407.
        auto refusal = Refusal::of_answer(status == 401 ? 407 : status, tunnel ? text.value_or("") : "");
        if (refusal.kind != Refusal::Kind::policy) note(refusal.words);
        co_return refusal;
    }
}

asio::awaitable<GatewayPool::Opened> GatewayPool::open(base::Destination destination) {
    Open connect = [authority = destination.to_string()](GatewayLink& link, const std::string& authorization,
                                                         base::MonoTime deadline) {
        return link.connect(authority, authorization, deadline);
    };
    return ask(std::move(connect), true);
}

asio::awaitable<GatewayPool::Content> GatewayPool::get(std::string path) {
    auto session = sessions_.current();
    const std::string authority = session ? (*session)->gateway.to_string() : std::string();
    Open request = [authority, path](GatewayLink& link, const std::string& authorization, base::MonoTime deadline) {
        return link.get(authority, path, authorization, deadline);
    };
    auto opened = co_await ask(std::move(request), false);
    if (auto* refusal = std::get_if<Refusal>(&opened)) co_return std::move(*refusal);
    auto content = co_await std::get<0>(opened)->read_content(content_bytes);
    if (!content) co_return Refusal{Refusal::Kind::malformed, "the gateway's answer is too long or breaks off"};
    co_return std::move(*content);
}

void GatewayPool::tick(base::MonoTime now) {
    const auto links = links_;  // a link that ends takes itself off the list
    for (const auto& entry : links) entry.link->tick(now);
    for (Waiter* waiter : waiters_)
        if (now >= waiter->until) waiter->changed.set();
}

void GatewayPool::stop() {
    stopped_ = true;
    stop_dial_.emit(asio::cancellation_type::terminal);
    const auto links = links_;
    for (const auto& entry : links) entry.link->abort();
    wake();
}

GatewayPool::Summary GatewayPool::summary() const {
    Summary summary;
    summary.connections = links_.size();
    for (const auto& entry : links_) summary.streams += entry.link->open_streams();
    summary.last_error = last_error_;
    summary.last_error_at = last_error_at_;
    return summary;
}

}  // namespace usher::clients::agent
