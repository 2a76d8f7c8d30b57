#include "gateway/stream_exchange.hpp"

#include <openssl/crypto.h>

#include <algorithm>

#include "gateway/multiplexer.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

StreamExchange::StreamExchange(Multiplexer& connection, std::int32_t id, bool ended)
    : StreamEnd(connection, id, ended), connection_(connection) {}

Worker& StreamExchange::worker() noexcept { return connection_.worker(); }
const Peer& StreamExchange::peer() const noexcept { return connection_.peer(); }

asio::awaitable<bool> StreamExchange::read_body(std::size_t count, std::string& body) {
    auto& services = worker().services();
    set_deadline(services.clock.mono() + services.config.timeouts.header);
    body.reserve(count);
    while (body.size() < count) {
        char block[1024];
        std::size_t n = 0;
        const wire::IoStatus status = try_read({block, std::min(sizeof block, count - body.size())}, n);
        body.append(block, n);
        OPENSSL_cleanse(block, n);  // a password may have been in it
        if (status == wire::IoStatus::done) continue;
        if (status != wire::IoStatus::would_block || !co_await wait_readable()) co_return false;
    }
    co_return true;
}

asio::awaitable<bool> StreamExchange::send(const wire::http1::Response& response) {
    if (gone() || closed()) co_return false;
    connection_.session().respond(id(), response);
    answered_ = true;
    mark_ended();
    connection_.wake_writer();
    co_return true;
}

asio::awaitable<bool> StreamExchange::establish() {
    if (gone() || closed()) co_return false;
    connection_.session().establish(id());
    connection_.wake_writer();
    co_return true;
}

void StreamExchange::set_deadline(std::optional<base::MonoTime> deadline) noexcept {
    if (deadline.has_value() != deadline_.has_value()) connection_.count_timed(deadline.has_value() ? 1 : -1);
    deadline_ = deadline;
}

void StreamExchange::check_deadline(base::MonoTime now) {
    if (!deadline_ || now < *deadline_) return;
    set_deadline({});
    abort(false);
}

}  // namespace usher::gateway
