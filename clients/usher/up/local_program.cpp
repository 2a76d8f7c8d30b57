#include "clients/usher/up/local_program.hpp"

#include <algorithm>
#include <array>

#include "clients/usher/up/local_guard.hpp"
#include "wire/http1/characters.hpp"
#include "wire/socks5/handshake.hpp"

namespace usher::clients::agent {
namespace asio = boost::asio;
using wire::IoStatus;
using wire::http1::Response;

namespace {
constexpr std::size_t linger_bytes = 1024 * 1024;

std::string render(Response& response) {
    response.no_store().close();
    return response.to_http1();
}
}  // namespace

LocalProgram::LocalProgram(Agent& agent, asio::ip::tcp::socket socket, std::optional<base::Destination> destination)
    : agent_(agent),
      socket_(asio::generic::stream_protocol::socket(std::move(socket))),
      destination_(std::move(destination)),
      deadline_(agent.clock().mono() + handshake_time) {}

void LocalProgram::tick(base::MonoTime now) {
    if (deadline_ && now >= *deadline_) socket_.abort(false);
    // The program may have stalled; its tunnel is no more, and it will learn that when it reads.
    if (stream_ != nullptr && stream_->broken()) socket_.abort(true);
}

void LocalProgram::stop() { socket_.abort(true); }

/// Appends what has come, up to `limit` bytes in all; false at the end, or when there is too much.
asio::awaitable<bool> LocalProgram::read_more(std::string& bytes, std::size_t limit) {
    std::array<char, 4096> block;
    for (;;) {
        if (bytes.size() >= limit) co_return false;
        std::size_t count = 0;
        const auto status = socket_.try_read({block.data(), std::min(block.size(), limit - bytes.size())}, count);
        if (status == IoStatus::would_block) {
            if (!co_await socket_.wait_readable()) co_return false;
            continue;
        }
        bytes.append(block.data(), count);
        co_return status == IoStatus::done;
    }
}

asio::awaitable<bool> LocalProgram::write(std::string bytes) {
    for (std::string_view left = bytes; !left.empty();) {
        std::size_t count = 0;
        const auto status = socket_.try_write(left, count);
        left.remove_prefix(count);
        if (status == IoStatus::failed) co_return false;
        if (status == IoStatus::would_block && !co_await socket_.wait_writable()) co_return false;
    }
    co_return true;
}

asio::awaitable<void> LocalProgram::run() {
    if (destination_) {
        co_await serve_forward();
    } else {
        std::string bytes;
        if (co_await read_more(bytes, 4096)) {
            if (bytes.front() == 5)
                co_await serve_socks(std::move(bytes));
            else if (wire::http1::is_alpha(bytes.front()))
                co_await serve_http(std::move(bytes));
            // Anything else speaks neither: there is nothing that it would understand.
        }
    }
    socket_.abort(false);
}

asio::awaitable<void> LocalProgram::serve_forward() {
    deadline_.reset();
    auto opened = co_await agent_.gateway().open(*destination_);
    if (auto* stream = std::get_if<std::unique_ptr<GatewayStream>>(&opened))
        co_await relay(std::move(*stream), {}, nullptr);
    else
        socket_.abort(true);  // no protocol to say why in; `usher status` does
}

asio::awaitable<void> LocalProgram::serve_socks(std::string bytes) {
    using wire::socks5::Handshake;
    Handshake handshake;
    for (;;) {
        std::size_t consumed = 0;
        const auto state = handshake.feed(bytes, consumed);
        bytes.erase(0, consumed);
        if (auto output = handshake.take_output(); !output.empty() && !co_await write(std::move(output))) co_return;
        if (state == Handshake::State::refused) co_return co_await linger();
        if (state == Handshake::State::request) break;
        if (!co_await read_more(bytes, 4096)) co_return;
    }
    deadline_.reset();
    auto opened = co_await agent_.gateway().open(handshake.destination());
    if (auto* refusal = std::get_if<Refusal>(&opened)) {
        if (co_await write(Handshake::answer(refusal->socks_reply()))) co_await linger();
        co_return;
    }
    if (!co_await write(Handshake::answer(wire::socks5::Reply::succeeded))) co_return;
    co_await relay(std::move(std::get<0>(opened)), std::move(bytes), nullptr);
}

asio::awaitable<void> LocalProgram::serve_http(std::string bytes) {
    for (;;) {
        const auto end = bytes.find("\r\n\r\n");
        if (end == std::string::npos) {
            if (co_await read_more(bytes, proxy_head_limit_bytes)) continue;
            if (bytes.size() < proxy_head_limit_bytes) co_return;
            Response too_long(431);
            too_long.text("the request's head is over 64 KiB");
            std::string rendered = render(too_long);
            co_return co_await answer(std::move(rendered));
        }
        auto rest = bytes.substr(end + 4);
        bytes.resize(end + 4);
        auto request = parse_proxy_request(bytes);
        if (auto* connect = std::get_if<ConnectRequest>(&request)) {
            co_await serve_connect(std::move(connect->destination), std::move(rest));
        } else if (auto* forward = std::get_if<ForwardRequest>(&request)) {
            co_await serve_request(std::move(*forward), std::move(rest));
        } else if (auto* local = std::get_if<LocalRequest>(&request)) {
            co_await serve_local(std::move(*local));
        } else {
            const auto& rejection = std::get<wire::http1::Rejection>(request);
            Response bad(rejection.status);
            bad.text("Usher's local proxy does not take this request: " + std::string(rejection.reason));
            std::string rendered = render(bad);
            co_await answer(std::move(rendered));
        }
        co_return;
    }
}

asio::awaitable<void> LocalProgram::serve_connect(base::Destination destination, std::string early) {
    deadline_.reset();
    auto opened = co_await agent_.gateway().open(std::move(destination));
    if (auto* refusal = std::get_if<Refusal>(&opened)) co_return co_await refuse(std::move(*refusal));
    std::string established(wire::http1::connect_established());
    if (!co_await write(std::move(established))) co_return;
    co_await relay(std::move(std::get<0>(opened)), std::move(early), nullptr);
}

asio::awaitable<void> LocalProgram::serve_request(ForwardRequest request, std::string rest) {
    deadline_.reset();
    RequestBody body(request.body);
    const std::size_t belongs = body.take(rest);
    if (body.malformed()) {
        Response bad(400);
        bad.text("the request's content is malformed");
        std::string rendered = render(bad);
        co_return co_await answer(std::move(rendered));
    }
    auto opened = co_await agent_.gateway().open(request.destination);
    if (auto* refusal = std::get_if<Refusal>(&opened)) co_return co_await refuse(std::move(*refusal));
    co_await relay(std::move(std::get<0>(opened)), request.head + rest.substr(0, belongs), &body);
}

asio::awaitable<void> LocalProgram::serve_local(LocalRequest request) {
    if (const auto refusal = refuse_local(request, agent_.local_port())) {
        Response response(refusal->status);
        if (refusal->status == 405) response.field("allow", "GET");
        response.text(refusal->words);
        std::string rendered = render(response);
        co_return co_await answer(std::move(rendered));
    }
    deadline_.reset();
    auto pac = co_await agent_.pac();
    if (auto* refusal = std::get_if<Refusal>(&pac)) co_return co_await refuse(std::move(*refusal));
    Response response(200);
    response.body("application/x-ns-proxy-autoconfig", std::get<std::string>(pac));
    // A page that names it as a script of its own must not get to read what it lists.
    response.field("x-content-type-options", "nosniff").field("cross-origin-resource-policy", "same-origin");
    std::string rendered = render(response);
    co_await answer(std::move(rendered));
}

asio::awaitable<void> LocalProgram::answer(std::string response) {
    const bool sent = co_await write(std::move(response));
    if (sent) co_await linger();
}

asio::awaitable<void> LocalProgram::refuse(Refusal refusal) {
    Response response(refusal.http_status());
    response.text("usher: " + refusal.words);
    std::string rendered = render(response);
    co_await answer(std::move(rendered));
}

asio::awaitable<void> LocalProgram::linger() {
    deadline_ = agent_.clock().mono() + linger_time;
    socket_.shutdown_send();
    std::string dropped;
    for (std::size_t total = 0; total < linger_bytes && co_await read_more(dropped, 4096); total += 4096)
        dropped.clear();
}

asio::awaitable<void> LocalProgram::relay(std::unique_ptr<GatewayStream> stream, std::string early, RequestBody* body) {
    auto& traffic = agent_.traffic();
    ++traffic.tunnels;
    ++traffic.open;
    stream_ = stream.get();
    LocalRelay<wire::PlainSocket> relay(socket_, *stream, agent_.buffers(), traffic);
    // A request's answer ends its connection: the program is given a moment to see that.
    auto on_answered = [this, body] {
        if (body != nullptr) deadline_ = agent_.clock().mono() + linger_time;
    };
    co_await relay.run(std::move(early), body, on_answered);
    stream_ = nullptr;
    --traffic.open;
}

}  // namespace usher::clients::agent
