#include "clients/usherctl/control_channel.hpp"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "clients/common/gateway_call.hpp"
#include "clients/common/program.hpp"
#include "clients/common/pump.hpp"
#include "clients/common/saved_session.hpp"

namespace usher::clients::control {

namespace {

constexpr std::string_view control_host = "control.usher.internal";
constexpr int message_limit_bytes = 16 * 1024 * 1024;  // a page of 1000 accesses is about 1 MiB

grpc::ChannelArguments channel_arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(message_limit_bytes);
    // The calls go to the socket or the tunnel that was named, whatever the environment says of proxies.
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetUserAgentPrefix("usherctl/" USHER_VERSION);
    return arguments;
}

class LocalChannel final : public ControlChannel {
public:
    explicit LocalChannel(const std::string& path) : path_(path) {
        check();
        channel_ = grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), channel_arguments());
    }

private:
    /// gRPC tells little of why it cannot connect, so that it is found out here.
    void check() const {
        const std::string shown = base::escape_for_terminal(path_);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path_.size() >= sizeof address.sun_path)
            throw Failure{"the path of the socket is longer than " + std::to_string(sizeof address.sun_path - 1) +
                          " bytes: " + shown};
        std::memcpy(address.sun_path, path_.data(), path_.size());
        const base::UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (!probe) throw Failure{std::string("socket: ") + std::strerror(errno)};
        if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
        if (errno == EACCES)
            throw Failure{"cannot open " + shown +
                          ": permission denied; only the user that usherd runs as is the local "
                          "administrator (try sudo -u that user), others sign in with: usherctl login"};
        throw Failure{"cannot reach usherd at " + shown + ": " + std::strerror(errno) +
                      "; is it running? --socket names control.sock in its data_dir"};
    }
    std::string unavailable_text(const grpc::Status& status) const override {
        return "cannot reach usherd at " + base::escape_for_terminal(path_) + ": is it running? (" +
               base::escape_for_terminal(status.error_message(), 200) + ")";
    }
    void add_identity(grpc::ClientContext&) const override {}
    bool is_local() const noexcept override { return true; }
    std::string path_;
};

class TunnelChannel final : public ControlChannel {
public:
    TunnelChannel(const Settings& settings) {
        auto gateway = parse_endpoint(settings.gateway);
        if (!gateway) throw Failure{"--gateway: " + gateway.error().message, exit_usage};
        auto session = must(load_session(session_file()));
        const std::string login = "usherctl login --gateway " + gateway->to_string() + " --username NAME";
        if (!session) throw Failure{"nobody is signed in here; sign in with: " + login};
        // A token is shown to the gateway that gave it and to no other.
        if (!(session->gateway == *gateway))
            throw Failure{"the session here is one of " + session->gateway.to_string() + "; sign in with: " + login};
        if (session->expires_at <= base::SystemClock{}.utc())
            throw Failure{"the session is over; sign in again with: " + login};
        session_ = std::move(*session);
        const TlsTrust trust = must(TlsTrust::load(settings.ca_file.empty() ? session_->ca_file : settings.ca_file));
        auto tunnel = open_tunnel(trust, *gateway, {std::string(control_host), 443}, session_->token);
        if (!tunnel) {
            const auto& error = tunnel.error();
            std::string hint;
            if (error.code == base::Errc::unauthenticated) hint = "; sign in again with: " + login;
            if (error.code == base::Errc::permission_denied)
                hint = "; the control services are for administrators, privacy officers and auditors";
            throw Failure{error.message + hint};
        }
        int pair[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
            throw Failure{std::string("socketpair: ") + std::strerror(errno)};
        pump_end_.reset(pair[0]);
        thread_ = std::thread([this, tunnel = std::move(*tunnel)]() mutable {
            const auto result = pump({pump_end_.get(), pump_end_.get()}, tunnel.connection, tunnel.early, &stop_);
            {
                const std::lock_guard lock(mutex_);
                if (result.end == PumpResult::End::truncated || result.end == PumpResult::End::failed)
                    why_ended_ = result.detail;
                else
                    why_ended_ = "the gateway closed it";
            }
            // gRPC learns of the end even where the pump stopped half-way.
            (void)::shutdown(pump_end_.get(), SHUT_RDWR);
        });
        // gRPC owns the other end from here on.
        channel_ = grpc::CreateCustomInsecureChannelFromFd(std::string(control_host), pair[1], channel_arguments());
    }
    ~TunnelChannel() override {
        channel_.reset();
        stop_.set();
        if (thread_.joinable()) thread_.join();
    }

private:
    std::string unavailable_text(const grpc::Status& status) const override {
        const std::lock_guard lock(mutex_);
        if (!why_ended_.empty()) return "the tunnel to " + session_->gateway.to_string() + " ended: " + why_ended_;
        return session_->gateway.to_string() +
               " is not available: " + base::escape_for_terminal(status.error_message(), 300);
    }
    void add_identity(grpc::ClientContext& context) const override {
        context.AddMetadata("authorization", "Bearer " + std::string(session_->token.reveal()));
    }
    bool is_local() const noexcept override { return false; }

    std::optional<SavedSession> session_;
    base::UniqueFd pump_end_;
    StopSignal stop_;
    mutable std::mutex mutex_;
    std::string why_ended_;
    std::thread thread_;
};

}  // namespace

std::unique_ptr<ControlChannel> ControlChannel::open(const Settings& settings) {
    if (!settings.socket.empty()) return std::make_unique<LocalChannel>(settings.socket);
    return std::make_unique<TunnelChannel>(settings);
}

void ControlChannel::prepare(grpc::ClientContext& context, std::optional<std::chrono::seconds> timeout) const {
    if (timeout) context.set_deadline(std::chrono::system_clock::now() + *timeout);
    add_identity(context);
}

std::string ControlChannel::explain(const grpc::Status& status) const {
    const std::string words = base::escape_for_terminal(status.error_message(), 1000);
    switch (status.error_code()) {
        case grpc::StatusCode::UNAVAILABLE:
            return unavailable_text(status);
        case grpc::StatusCode::UNAUTHENTICATED:
            return words + "; sign in again with: usherctl login";
        case grpc::StatusCode::PERMISSION_DENIED:
            return words + (is_local() ? "" : "; sign in as somebody who may, with: usherctl login");
        case grpc::StatusCode::DEADLINE_EXCEEDED:
            return "the gateway did not answer in time; whether it was done is not known";
        case grpc::StatusCode::UNIMPLEMENTED:
            return "this gateway does not know the command; is it older than usherctl " USHER_VERSION "?";
        case grpc::StatusCode::INTERNAL:
        case grpc::StatusCode::UNKNOWN:
            return "the gateway failed: " + words + "; its log says more";
        default:
            return words.empty() ? "the gateway answered with status " + std::to_string(status.error_code()) : words;
    }
}

void ControlChannel::require(const grpc::Status& status) const {
    if (!status.ok()) throw Failure{explain(status)};
}

}  // namespace usher::clients::control
