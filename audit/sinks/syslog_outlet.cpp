#include "audit/sinks/syslog_outlet.hpp"

#include "audit/sinks/syslog_message.hpp"
#include "audit/sinks/tls_client.hpp"

namespace usher::audit::sinks {
namespace {

constexpr std::chrono::seconds connect_limit{10}, send_limit{20}, confirm_limit{20};
/// Messages are written in pieces of about this much.
constexpr std::size_t piece_bytes = 64 * 1024;

class SyslogOutlet final : public Outlet {
public:
    SyslogOutlet(Settings settings, std::string host) : settings_(std::move(settings)), host_(std::move(host)) {}

    base::Result<void> deliver(std::span<const usher::v1::AuditEvent> events) override {
        const auto now = [] { return std::chrono::steady_clock::now(); };
        auto client = TlsClient::connect(settings_, now() + connect_limit, stop_);
        if (!client) return std::move(client).error();
        const auto until = now() + send_limit;
        std::string piece;
        for (const auto& event : events) {
            piece += syslog_frame(event, host_);
            if (piece.size() < piece_bytes) continue;
            if (auto written = client->write(piece, until); !written) return written;
            piece.clear();
        }
        if (auto written = client->write(piece, until); !written) return written;
        return client->finish(now() + confirm_limit);
    }

    void stop() noexcept override { stop_.set(); }

private:
    const Settings settings_;
    const std::string host_;
    StopEvent stop_;
};

}  // namespace

base::Result<std::unique_ptr<Outlet>> make_syslog_outlet(Settings settings, std::string host) {
    if (auto context = make_client_context(settings); !context) return std::move(context).error();
    return std::unique_ptr<Outlet>(std::make_unique<SyslogOutlet>(std::move(settings), std::move(host)));
}

}  // namespace usher::audit::sinks
