// status, drain, upgrade

#include <chrono>
#include <optional>
#include <thread>

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/gateway.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

/// How often a drain that is waited for is looked at.
constexpr std::chrono::milliseconds look_interval{500};
/// What the gateway gives an upgrade, and some.
constexpr std::chrono::seconds upgrade_limit{180};

base::UtcTime to_time(const google::protobuf::Timestamp& time) {
    return base::from_micros(time.seconds() * 1'000'000 + time.nanos() / 1'000);
}

struct Gateway {
    explicit Gateway(const Settings& settings)
        : channel(open_channel(settings)), stub(v1::GatewayService::NewStub(channel->channel())) {}

    grpc::Status status(v1::GatewayStatus& status) const {
        grpc::ClientContext context;
        channel->prepare(context);
        return stub->GetGatewayStatus(&context, v1::GetGatewayStatusRequest{}, &status);
    }

    std::unique_ptr<ControlChannel> channel;
    std::unique_ptr<v1::GatewayService::Stub> stub;
};

std::string predecessor(const v1::GatewayStatus::Predecessor& before) {
    return "process " + std::to_string(before.process_id()) + " has " + std::to_string(before.tunnels()) + " tunnels" +
           (before.has_deadline() ? ", until " + base::format_rfc3339(to_time(before.deadline())) : "");
}

void show(const v1::GatewayStatus& status, const std::string& format) {
    if (format == "json") return print(to_json_line(status));
    KeyValues rows;
    rows.add("gateway", status.gateway_id());
    rows.add("version", status.version());
    rows.add("process", std::to_string(status.process_id()));
    rows.add("since", base::format_rfc3339(to_time(status.started_at())));
    rows.add("state", status.state() == v1::GatewayStatus::DRAINING ? "draining" : "serving");
    if (status.has_drain_deadline()) rows.add("until", base::format_rfc3339(to_time(status.drain_deadline())));
    rows.add("tunnels", std::to_string(status.tunnels()));
    if (status.has_predecessor()) rows.add("before", predecessor(status.predecessor()));
    if (status.upgrading()) rows.add("upgrade", "under way");
    if (!status.upgrade_error().empty()) rows.add("upgrade", "did not happen: " + status.upgrade_error());
    print(rows.render());
}

/// Says how many tunnels are left whenever that has changed, until the process has gone.
void watch_drain(const Gateway& gateway, v1::GatewayStatus status) {
    const auto process = status.process_id();
    std::optional<std::uint64_t> said;
    for (;;) {
        if (said != status.tunnels()) print("tunnels left: " + std::to_string(status.tunnels()) + "\n");
        said = status.tunnels();
        std::this_thread::sleep_for(look_interval);
        const auto answer = gateway.status(status);
        if (answer.ok() && status.process_id() == process) continue;
        // It ends by going away: nobody is left to say so.
        if (!answer.ok() && answer.error_code() != grpc::StatusCode::UNAVAILABLE &&
            answer.error_code() != grpc::StatusCode::CANCELLED)
            gateway.channel->require(answer);
        print("the gateway has ended\n");
        return;
    }
}

template <class Request>
void set_deadline(Request& request, const std::optional<std::string>& deadline) {
    if (!deadline) return;
    const auto limit = base::parse_duration(*deadline);
    if (!limit) throw Failure{"--deadline: expected a duration such as 30s, 10m or 2h", exit_usage};
    request.mutable_deadline()->set_seconds(limit->count() / 1'000'000);
    request.mutable_deadline()->set_nanos(static_cast<std::int32_t>(limit->count() % 1'000'000 * 1'000));
}

void drain(const Settings& settings, const std::optional<std::string>& deadline, bool wait) {
    v1::DrainGatewayRequest request;
    set_deadline(request, deadline);
    const Gateway gateway(settings);
    grpc::ClientContext context;
    gateway.channel->prepare(context);
    v1::GatewayStatus status;
    gateway.channel->require(gateway.stub->DrainGateway(&context, request, &status));
    print("draining until " + base::format_rfc3339(to_time(status.drain_deadline())) + "\n");
    if (wait) watch_drain(gateway, status);
}

/// Whether the answer may mean that one process has let go of the control API and the other one has not taken it yet.
bool between_two(const grpc::Status& answer) {
    return answer.error_code() == grpc::StatusCode::UNAVAILABLE || answer.error_code() == grpc::StatusCode::CANCELLED ||
           answer.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

/// Returns when another process serves.
void watch_upgrade(const Settings& settings, const v1::GatewayStatus& before) {
    const auto until = std::chrono::steady_clock::now() + upgrade_limit;
    for (;;) {
        std::this_thread::sleep_for(look_interval);
        if (std::chrono::steady_clock::now() >= until)
            throw Failure{"the upgrade has not come to an end; see the log of usherd"};
        v1::GatewayStatus status;
        try {
            const Gateway gateway(settings);  // a connection of its own each time: the other end is another process
            const auto answer = gateway.status(status);
            if (!answer.ok() && between_two(answer)) continue;
            gateway.channel->require(answer);
        } catch (const Failure&) {
            if (std::chrono::steady_clock::now() >= until) throw;
            continue;
        }
        if (status.process_id() != before.process_id()) {
            print("process " + std::to_string(status.process_id()) + " serves, version " + status.version() + "\n");
            if (status.has_predecessor()) print(predecessor(status.predecessor()) + "\n");
            return;
        }
        if (status.upgrading()) continue;
        throw Failure{"the upgrade did not happen, and the gateway goes on as before: " + status.upgrade_error()};
    }
}

void upgrade(const Settings& settings, const std::optional<std::string>& deadline, bool end_previous) {
    v1::UpgradeGatewayRequest request;
    set_deadline(request, deadline);
    request.set_end_previous(end_previous);
    v1::GatewayStatus status;
    {
        const Gateway gateway(settings);
        grpc::ClientContext context;
        gateway.channel->prepare(context);
        gateway.channel->require(gateway.stub->UpgradeGateway(&context, request, &status));
    }
    watch_upgrade(settings, status);
}

}  // namespace

void add_gateway_commands(CLI::App& app, const Settings& settings) {
    {
        auto* command = app.add_subcommand("status", "Show the gateway's process: version, state, tunnels");
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl status"}));
        command->callback([=, &settings] {
            v1::GatewayStatus status;
            const Gateway gateway(settings);
            gateway.channel->require(gateway.status(status));
            show(status, *format);
        });
    }
    {
        auto* command = app.add_subcommand(
            "drain", "Take nothing new, and end when the tunnels have ended or at the deadline; /readyz answers 503");
        auto deadline = std::make_shared<std::optional<std::string>>();
        auto wait = std::make_shared<bool>(false);
        command->add_option("--deadline", *deadline,
                            "What live tunnels are given: 30s, 10m, at most 24h; default: timeouts.drain");
        command->add_flag("--wait", *wait, "Return when the gateway has ended; say how many tunnels are left");
        command->footer(examples({"usherctl drain --deadline 10m --wait"}));
        command->callback([=, &settings] { drain(settings, *deadline, *wait); });
    }
    {
        auto* command = app.add_subcommand(
            "upgrade", "Let a new process, of the program file and configuration as they are now, take over");
        auto deadline = std::make_shared<std::optional<std::string>>();
        auto end_previous = std::make_shared<bool>(false);
        command->add_option("--deadline", *deadline,
                            "What live tunnels are given: 30s, 10m, at most 24h; default: timeouts.drain");
        command->add_flag("--end-previous", *end_previous, "Cut what tunnels are left from the upgrade before");
        command->footer(examples({"usherctl upgrade --deadline 8h"}));
        command->callback([=, &settings] { upgrade(settings, *deadline, *end_previous); });
    }
}

}  // namespace usher::clients::control
