#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>
#include <thread>

#include "base/result.hpp"
#include "gateway/config.hpp"

namespace usher::gateway {

/// Plain HTTP for the monitoring system: GET /metrics (Prometheus text), /healthz (200 while the process lives),
/// /readyz (200 while new accesses are taken, else 503 and why). One thread, at most 32 connections, 5 s each.
class MetricsServer {
public:
    struct Answers {
        std::function<std::string()> metrics;
        std::function<std::string()> not_ready;  ///< empty: ready
    };
    static base::Result<std::unique_ptr<MetricsServer>> start(const ListenAddress& address, Answers answers);
    ~MetricsServer();

private:
    MetricsServer(Answers answers) : answers_(std::move(answers)) {}
    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> serve(boost::asio::ip::tcp::socket socket);

    Answers answers_;
    boost::asio::io_context io_{1};
    boost::asio::ip::tcp::acceptor acceptor_{io_};
    unsigned open_ = 0;
    std::thread thread_;
};

}  // namespace usher::gateway
