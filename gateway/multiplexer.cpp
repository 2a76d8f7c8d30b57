#include "gateway/multiplexer.hpp"

#include <boost/asio/co_spawn.hpp>

#include "base/log.hpp"
#include "gateway/session_api.hpp"
#include "gateway/tunnel.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

namespace {
constexpr base::Microseconds linger_time{1'000'000};
}  // namespace

Multiplexer::Multiplexer(Worker& worker, wire::TlsStream& stream, const Peer& peer)
    : Carrier(stream, worker.pool(), worker.services().clock),
      worker_(worker),
      peer_(peer),
      session_(*this, {.streams = worker.services().config.limits.streams_per_connection}) {}

asio::awaitable<void> Multiplexer::run() {
    deadline_ = now() + worker_.services().config.timeouts.header;
    co_await carry();
    if (!session_.failure().empty()) on_rejected({400, session_.failure()});
    while (!streams_.empty()) co_await last_gone_.wait();
}

/// What an order ends must not be sent behind it.
void Multiplexer::before_piece() { worker_.orders().look(); }

void Multiplexer::on_lost() {
    for (auto& [id, exchange] : streams_) exchange->on_lost();
}

void Multiplexer::on_finished_sending() {
    drained_ = true;
    deadline_ = now() + linger_time;
}

asio::awaitable<bool> Multiplexer::serve_api(StreamExchange& exchange, wire::http1::Request request) {
    const bool served = co_await serve_session_api(exchange, request);
    request.wipe_credentials();
    co_return served;
}

void Multiplexer::finished(std::int32_t id) {
    streams_.erase(id);
    if (!streams_.empty()) return;
    deadline_ = now() + worker_.services().config.timeouts.keep_alive;
    last_gone_.set();
}

void Multiplexer::on_request(std::int32_t id, wire::http1::Request request, bool ended) {
    deadline_.reset();
    auto& exchange = *streams_.emplace(id, std::make_unique<StreamExchange>(*this, id, ended)).first->second;
    // run() outlives the coroutine: it waits for the last stream.
    auto serving = request.destination
                       ? run_tunnel(exchange, std::make_unique<wire::http1::Request>(std::move(request)))
                       : serve_api(exchange, std::move(request));
    asio::co_spawn(worker_.io(), std::move(serving), [this, id](std::exception_ptr failure, bool) {
        if (failure) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& e) {
                base::log_error("a stream ended with an exception", {{"error", e.what()}});
            }
        }
        // Whatever was not said by now will not be.
        if (StreamExchange* served = find(id)) served->abandon();
        finished(id);
    });
}

void Multiplexer::on_rejected(wire::http1::Rejection rejection) {
    AccessRecord record = new_record(peer_, worker_.services().clock.utc());
    deny(record, "malformed-" + std::string(rejection.reason));
    worker_.record_denial(std::move(record));
}

void Multiplexer::on_stream_refused() { worker_.refuse_by_limit(peer_, "streams_per_connection"); }

StreamExchange* Multiplexer::find(std::int32_t id) {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
}

void Multiplexer::on_data(std::int32_t id, std::string_view bytes) {
    if (StreamExchange* exchange = find(id))
        exchange->on_data(bytes);
    else
        session_.consumed(id, bytes.size(), now());
}

void Multiplexer::on_end(std::int32_t id) {
    if (StreamExchange* exchange = find(id)) exchange->on_end();
}

void Multiplexer::on_sent(std::int32_t id) {
    if (StreamExchange* exchange = find(id)) exchange->on_sent();
}

void Multiplexer::on_window(std::int32_t id) {
    if (id != 0) {
        if (StreamExchange* exchange = find(id)) exchange->on_window();
        return;
    }
    for (auto& [each, exchange] : streams_) exchange->on_window();
}

void Multiplexer::on_closed(std::int32_t id, bool reset, std::size_t unsent) {
    if (StreamExchange* exchange = find(id)) exchange->on_closed(reset, unsent);
}

void Multiplexer::check_deadline(base::MonoTime now) {
    if (timed_ > 0)
        for (auto& [id, exchange] : streams_) exchange->check_deadline(now);
    if (!deadline_ || now < *deadline_) return;
    if (drained_) {
        deadline_.reset();
        return stream().abort(false);
    }
    // A request that crosses the GOAWAY is known to the client not to have been served.
    deadline_ = now + linger_time;
    drain();
}

void Multiplexer::drain() {
    drained_ = true;
    session_.drain();
    wake_writer();
}

void Multiplexer::shut_down() {
    for (auto& [id, exchange] : streams_)
        if (exchange->access() != nullptr) exchange->access()->cut(CloseReason::SHUTDOWN);
    stream().abort(false);
}

}  // namespace usher::gateway
