#include "clients/usherctl/tail.hpp"

#include <thread>
#include <utility>

#include "audit/fleet_cursor.hpp"
#include "audit/ocsf/ocsf.hpp"
#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/audit.grpc.pb.h"

namespace usher::clients::control {

namespace v1 = usher::v1;
using base::Errc;
using base::Result;

namespace {

void show(const v1::AuditEvent& event, const std::string& format, v1::TailRequest& next) {
    if (format == "json")
        print(to_json_line(event));
    else if (format == "ocsf")
        print(audit::ocsf::to_ocsf(event) + "\n");
    else
        print(line_of(event));
    next.set_after(event.cursor());
}

void show_gap(const v1::TailResponse& response, const std::string& format) {
    if (response.has_gap()) {
        const auto& gap = response.gap();
        // A program must see it too: the one line that is no event.
        if (format == "json") print(to_json_line(response));
        complain("usherctl", "gap: events " + std::to_string(gap.first_missing()) + " to " +
                                 std::to_string(gap.last_missing()) + " of gateway " +
                                 base::escape_for_terminal(gap.gateway_id(), 100) + " are no longer kept");
    }
}

/// Whether another try could end otherwise.
bool may_pass(grpc::StatusCode code) {
    switch (code) {
        case grpc::StatusCode::UNAVAILABLE:
        case grpc::StatusCode::ABORTED:
        case grpc::StatusCode::RESOURCE_EXHAUSTED:
        case grpc::StatusCode::INTERNAL:  // what gRPC makes of a stream that was reset
        case grpc::StatusCode::UNKNOWN:
        case grpc::StatusCode::CANCELLED:  // by the gateway: it was not read for long
        case grpc::StatusCode::OK:
            return true;
        default:
            return false;
    }
}

}  // namespace

Result<base::UtcTime> parse_since(std::string_view text, base::UtcTime now) {
    if (const auto time = base::parse_rfc3339(text)) return *time;
    if (const auto duration = base::parse_duration(text)) {
        if (*duration > now.time_since_epoch()) return {Errc::invalid_argument, "--since is before 1970"};
        return now - *duration;
    }
    return {Errc::invalid_argument, "--since '" + base::escape_for_terminal(text, 60) +
                                        "' is neither a duration (90s, 15m, 1h, 7d) nor a time (2026-11-23T10:20:30Z)"};
}

void tail(const Settings& settings, const TailOptions& options) {
    const Settings resolved = resolve_settings(settings);
    v1::TailRequest request;
    request.set_follow(options.follow);
    request.set_batches(true);
    request.set_filter(options.filter);
    request.set_after(options.after);
    const auto now = base::SystemClock{}.utc();
    if (!options.since.empty()) {
        auto since = parse_since(options.since, now);
        if (!since) throw Failure{since.error().message, exit_usage};
        *request.mutable_since() = to_timestamp(*since);
    } else if (options.after.empty() && !options.follow) {
        *request.mutable_since() = to_timestamp(now - std::chrono::hours{1});
    }

    Backoff backoff;
    bool connected_once = false, said_incomplete = false;
    while (true) {
        std::string why;
        try {
            const auto channel = ControlChannel::open(resolved);
            const auto stub = v1::AuditService::NewStub(channel->channel());
            grpc::ClientContext context;
            channel->prepare(context, std::nullopt);
            const auto reader = stub->Tail(&context, request);
            v1::TailResponse response;
            while (reader->Read(&response)) {
                connected_once = true;
                backoff.reset();
                try {
                    show_gap(response, options.format);
                    // One by one from a gateway of before. What has been shown is not asked for again.
                    if (response.has_event()) show(response.event(), options.format, request);
                    for (const auto& event : response.events()) show(event, options.format, request);
                } catch (...) {
                    context.TryCancel();  // else destroying the reader would wait for the stream
                    (void)reader->Finish();
                    throw;
                }
                if (response.has_gap()) request.set_after(response.gap().cursor());
                if (!response.heartbeat_cursor().empty()) request.set_after(response.heartbeat_cursor());
                if (response.incomplete() && !std::exchange(said_incomplete, true))
                    complain("usherctl", "the database has more gateways than the " +
                                             std::to_string(audit::fleet_gateways_max) +
                                             " that a tail shows: the oldest are left out");
            }
            const auto status = reader->Finish();
            if (status.ok() && !options.follow) return;
            if (!options.follow || !may_pass(status.error_code()) || !connected_once) channel->require(status);
            why = status.ok() ? "the gateway ended the stream" : channel->explain(status);
        } catch (const Failure& failure) {
            // The first connection must come about; what fails in the output does not get better.
            if (!options.follow || !connected_once || std::ferror(stdout) != 0) throw;
            why = failure.message;
        }
        const auto wait = backoff.next();
        complain("usherctl", why + "; trying again in " + std::to_string(wait.count()) + " ms");
        std::this_thread::sleep_for(wait);
    }
}

}  // namespace usher::clients::control
