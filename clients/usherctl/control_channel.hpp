#pragma once
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/secret.hpp"
#include "clients/common/stop_signal.hpp"
#include "clients/common/tls_connection.hpp"
#include "clients/usherctl/settings.hpp"

namespace usher::clients::control {

/// A gRPC channel to the control services: over the machine's own socket, or through a tunnel of the gateway, whose
/// other end a thread pumps. One tunnel is one channel: where it breaks, the calls on it fail, and a new ControlChannel
/// is needed. Used by one thread.
class ControlChannel {
public:
    /// Throws Failure: no session, a gateway that cannot be reached, a refused tunnel.
    static std::unique_ptr<ControlChannel> open(const Settings& settings);
    virtual ~ControlChannel() = default;

    const std::shared_ptr<grpc::Channel>& channel() const noexcept { return channel_; }

    /// Adds the session's token (tunnels only), and a deadline unless the call may last.
    void prepare(grpc::ClientContext& context,
                 std::optional<std::chrono::seconds> timeout = std::chrono::seconds{60}) const;
    /// One line for a person: what failed, why, what to do.
    std::string explain(const grpc::Status& status) const;
    /// Throws Failure with explain() unless the status is OK.
    void require(const grpc::Status& status) const;

protected:
    ControlChannel() = default;
    virtual std::string unavailable_text(const grpc::Status& status) const = 0;
    virtual void add_identity(grpc::ClientContext& context) const = 0;
    virtual bool is_local() const noexcept = 0;
    std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace usher::clients::control
