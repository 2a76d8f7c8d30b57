#include "gateway/metrics_server.hpp"

#include <pthread.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "gateway/sockets.hpp"
#include "wire/http1/request_parser.hpp"
#include "wire/http1/response.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using wire::http1::RequestParser;
using wire::http1::Response;

namespace {
constexpr unsigned connections_max = 32;
constexpr std::chrono::seconds connection_limit{5};
}  // namespace

base::Result<std::unique_ptr<MetricsServer>> MetricsServer::start(const ListenAddress& address, Answers answers) {
    auto fd = open_listener(address, "metrics", false);
    if (!fd) return fd.error();
    std::unique_ptr<MetricsServer> server(new MetricsServer(std::move(answers)));
    server->acceptor_.assign(address.address.is_v4() ? asio::ip::tcp::v4() : asio::ip::tcp::v6(), *fd);
    asio::co_spawn(server->io_, server->accept_loop(), asio::detached);  // ends when io_ stops, in the destructor
    server->thread_ = std::thread([raw = server.get()] {
        pthread_setname_np(pthread_self(), "metrics");
        raw->io_.run();
    });
    return server;
}

MetricsServer::~MetricsServer() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
}

asio::awaitable<void> MetricsServer::accept_loop() {
    for (;;) {
        auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (error) {
            asio::steady_timer pause(io_, std::chrono::milliseconds(100));
            co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
            continue;
        }
        if (open_ >= connections_max) continue;  // closes the socket
        ++open_;
        asio::co_spawn(io_, serve(std::move(socket)),
                       [this](std::exception_ptr) { --open_; });  // a scrape that failed is repeated
    }
}

asio::awaitable<void> MetricsServer::serve(asio::ip::tcp::socket given) {
    struct Held {
        Held(asio::ip::tcp::socket s, asio::io_context& io) : socket(std::move(s)), timer(io) {}
        asio::ip::tcp::socket socket;
        asio::steady_timer timer;
    };
    auto held = std::make_shared<Held>(std::move(given), io_);
    held->timer.expires_after(connection_limit);
    held->timer.async_wait([weak = std::weak_ptr<Held>(held)](boost::system::error_code error) {
        auto still = weak.lock();
        boost::system::error_code ignored;  // the deadline closes whatever state the socket is in
        if (!error && still) still->socket.close(ignored);
    });

    RequestParser parser;
    char buffer[2048];
    while (parser.state() == RequestParser::State::need_more) {
        auto [error, n] =
            co_await held->socket.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
        if (error) co_return;
        std::size_t consumed = 0;
        parser.feed({buffer, n}, consumed);
    }
    std::string answer;
    if (parser.state() == RequestParser::State::rejected) {
        answer = Response(parser.rejection().status).close().text(parser.rejection().reason).to_http1();
    } else if (parser.request().method != "GET") {
        answer = Response(405).close().field("allow", "GET").text("use GET").to_http1();
    } else if (parser.request().target == "/metrics") {
        answer = Response(200).close().body("text/plain; version=0.0.4; charset=utf-8", answers_.metrics()).to_http1();
    } else if (parser.request().target == "/healthz") {
        answer = Response(200).close().text("ok").to_http1();
    } else if (parser.request().target == "/readyz") {
        const std::string why = answers_.not_ready();
        answer = Response(why.empty() ? 200 : 503).close().text(why.empty() ? "ready" : why).to_http1();
    } else {
        answer = Response(404).close().text("there is /metrics, /healthz and /readyz").to_http1();
    }
    boost::system::error_code ignored;  // sent or not, the connection is over
    co_await asio::async_write(held->socket, asio::buffer(answer), asio::redirect_error(asio::use_awaitable, ignored));
    held->socket.shutdown(asio::socket_base::shutdown_both, ignored);
    held->timer.cancel();
}

}  // namespace usher::gateway
