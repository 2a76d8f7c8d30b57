#include "clients/usher/up/gateway_link.hpp"

#include <array>

namespace usher::clients::agent {
namespace asio = boost::asio;

namespace {
constexpr base::Microseconds linger_time = std::chrono::seconds(2);

/// Unread bytes of all tunnels of a connection beyond which its window stays shut. Programs that stall hold at most a
/// stream's window each (1 MiB), and so many of them must not stop the others.
wire::http2::FlowLimits flow_limits() {
    wire::http2::FlowLimits limits;
    limits.buffered = 64u << 20;
    return limits;
}
}  // namespace

GatewayStream::GatewayStream(std::shared_ptr<GatewayLink> link, std::int32_t id, bool request, base::MonoTime deadline)
    : StreamEnd(*link, id, false), link_(std::move(link)), deadline_(deadline) {
    if (request) mark_ended();
}

GatewayStream::~GatewayStream() {
    abort(false);
    link_->forget(id());
}

asio::awaitable<bool> GatewayStream::wait_head() {
    while (!head_ && !gone() && !closed()) co_await answered_.wait();
    co_return head_.has_value();
}

asio::awaitable<std::optional<std::string>> GatewayStream::read_content(std::size_t limit) {
    std::string content;
    std::array<char, 4096> bytes;
    for (;;) {
        std::size_t count = 0;
        const wire::IoStatus status = try_read(bytes, count);
        if (status == wire::IoStatus::eof) co_return content;
        if (status == wire::IoStatus::failed) co_return std::nullopt;
        if (status == wire::IoStatus::would_block) {
            if (!co_await wait_readable()) co_return std::nullopt;
            continue;
        }
        content.append(bytes.data(), count);
        if (content.size() > limit) co_return std::nullopt;
    }
}

void GatewayStream::on_response(wire::http2::ResponseHead head, bool ended) {
    const bool established = head.status == 200 && !ended;
    head_ = std::move(head);
    if (established) deadline_.reset();  // else the content has to come in the same time
    if (ended) {
        whole_ = true;
        on_end();
    }
    answered_.set();
}

void GatewayStream::check_deadline(base::MonoTime now) {
    if (!deadline_ || now < *deadline_) return;
    deadline_.reset();
    timed_out_ = true;
    abort(false);
    answered_.set();
}

GatewayLink::GatewayLink(std::unique_ptr<wire::TlsStream> tls, wire::BufferPool& pool, const base::Clock& clock,
                         std::function<void()> on_change)
    : Carrier(*tls, pool, clock),
      tls_(std::move(tls)),
      on_change_(std::move(on_change)),
      session_(*this, flow_limits()),
      pulse_(clock.mono()) {}

asio::awaitable<void> GatewayLink::run() {
    co_await carry();
    on_change_();
}

std::unique_ptr<GatewayStream> GatewayLink::add(std::int32_t id, bool request, base::MonoTime deadline) {
    if (id < 0) return nullptr;
    auto stream = std::make_unique<GatewayStream>(shared_from_this(), id, request, deadline);
    streams_.emplace(id, stream.get());
    wake_writer();
    return stream;
}

std::unique_ptr<GatewayStream> GatewayLink::connect(std::string_view authority, std::string_view authorization,
                                                    base::MonoTime deadline) {
    return may_open() ? add(session_.connect(authority, authorization), false, deadline) : nullptr;
}

std::unique_ptr<GatewayStream> GatewayLink::get(std::string_view authority, std::string_view path,
                                                std::string_view authorization, base::MonoTime deadline) {
    return may_open() ? add(session_.request("GET", authority, path, authorization), true, deadline) : nullptr;
}

void GatewayLink::forget(std::int32_t id) {
    streams_.erase(id);
    on_change_();
}

void GatewayLink::retire() {
    if (std::exchange(finished_, true) || lost_) return;
    session_.finish();
    wake_writer();
}

void GatewayLink::abort() { tls_->abort(false); }

void GatewayLink::tick(base::MonoTime now) {
    bool awaited = false;
    for (auto& [id, stream] : streams_) {
        stream->check_deadline(now);
        awaited = awaited || !stream->head_;
    }
    if (lost_) return;
    // A gateway that does not end its direction in return.
    if (closing_since_ && now - *closing_since_ >= linger_time) return abort();
    switch (pulse_.tick(now, awaited, !streams_.empty())) {
        case LinkPulse::Act::nothing:
            break;
        case LinkPulse::Act::ping:
            session_.ping();
            wake_writer();
            break;
        case LinkPulse::Act::give_up:
            abort();
            break;
    }
}

GatewayStream* GatewayLink::find(std::int32_t id) {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second;
}

void GatewayLink::on_response(std::int32_t id, wire::http2::ResponseHead head, bool ended) {
    pulse_.heard(now());
    answered_ = true;
    if (auto* stream = find(id)) stream->on_response(std::move(head), ended);
}

void GatewayLink::on_going_away() { on_change_(); }

void GatewayLink::on_data(std::int32_t id, std::string_view bytes) {
    pulse_.heard(now());
    if (auto* stream = find(id))
        stream->on_data(bytes);
    else
        session_.consumed(id, bytes.size(), now());
}

void GatewayLink::on_end(std::int32_t id) {
    if (auto* stream = find(id)) {
        stream->whole_ = true;
        stream->on_end();
    }
}

void GatewayLink::on_sent(std::int32_t id) {
    if (auto* stream = find(id)) stream->on_sent();
}

void GatewayLink::on_window(std::int32_t id) {
    pulse_.heard(now());
    if (id == 0) {
        for (auto& [each, stream] : streams_) stream->on_window();
        on_change_();  // SETTINGS may have come
    } else if (auto* stream = find(id)) {
        stream->on_window();
    }
}

void GatewayLink::on_closed(std::int32_t id, bool reset, std::size_t unsent) {
    if (auto* stream = find(id)) {
        // RST_STREAM without an error, before the end: no end either.
        stream->on_closed(reset || !stream->whole_, unsent);
        stream->answered_.set();
    }
    on_change_();
}

void GatewayLink::on_lost() {
    lost_ = true;
    for (auto& [id, stream] : streams_) {
        stream->on_lost();
        stream->answered_.set();
    }
    on_change_();
}

}  // namespace usher::clients::agent
