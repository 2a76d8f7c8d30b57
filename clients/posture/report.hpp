#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "clients/common/gateway_call.hpp"
#include "clients/common/saved_session.hpp"
#include "clients/posture/posture.hpp"

namespace usher::clients {

/// What became of a report.
struct ReportResult {
    enum class Outcome {
        taken,          ///< the gateway has it
        older_gateway,  ///< it takes none: nothing is wrong
        refused,        ///< this session or this content: asking again at once would be answered alike
        later,          ///< the gateway is away or busy: try again
    };
    Outcome outcome = Outcome::later;
    std::string words{};  ///< why, in one line for the device's user; empty where it was taken or is not wanted
};

/// The tenant's key in the answer to GET /.usher/v1/sessions/current; nullopt where there is none, as from an older
/// gateway. data_loss: it is no key.
base::Result<std::optional<TenantKey>> tenant_of_answer(std::string_view json);
/// Asks the session's gateway for it.
base::Result<std::optional<TenantKey>> ask_tenant(const TlsTrust& trust, const SavedSession& session,
                                                  const StopSignal* stop = nullptr);

/// What the answer to a report means.
ReportResult report_result(const GatewayAnswer& answer);

/// Whether a report was refused for what gateways of before know from the sign-in only, or take no such text for.
bool names_are_refused(const GatewayAnswer& answer);

/// Sends `posture` (what was declined has been taken out) to the session's gateway, and where it takes no names without
/// them. Two or three calls of at most 30 s each; ends at once when `stop` (may be null) is set.
ReportResult report_posture(const TlsTrust& trust, const SavedSession& session, const Posture& posture,
                            const StopSignal* stop = nullptr);

}  // namespace usher::clients
