#include "clients/posture/report.hpp"

#include "clients/common/json.hpp"
#include "clients/common/sign_in.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;
using Outcome = ReportResult::Outcome;

Result<std::optional<TenantKey>> tenant_of_answer(std::string_view json) {
    const auto object = parse_json_object(json);
    if (!object) return {Errc::data_loss, "the gateway's answer: " + object.error().message};
    if (!object->contains("tenant")) return std::optional<TenantKey>{};
    const auto text = json_text(*object, "tenant");
    const auto key = text ? parse_tenant_key(*text) : std::nullopt;
    if (!key) return {Errc::data_loss, "the gateway's answer: 'tenant' is no key of 32 bytes in base64url"};
    return std::optional<TenantKey>{*key};
}

Result<std::optional<TenantKey>> ask_tenant(const TlsTrust& trust, const SavedSession& session,
                                            const StopSignal* stop) {
    auto answer =
        call_gateway(trust, session.gateway, {"GET", "/.usher/v1/sessions/current", &session.token, {}}, stop);
    if (!answer) return std::move(answer).error();
    if (answer->head.status == 401) return {Errc::unauthenticated, "the session is over"};
    if (answer->head.status != 200) return unexpected_answer(*answer);
    return tenant_of_answer(answer->body);
}

ReportResult report_result(const GatewayAnswer& answer) {
    const int status = answer.head.status;
    if (answer.head.is_success()) return {Outcome::taken};
    if (status == 404) return {Outcome::older_gateway};
    if (status == 401) return {Outcome::refused, "the session is over"};
    if (status == 429 || status >= 500) return {Outcome::later, unexpected_answer(answer).message};
    return {Outcome::refused, unexpected_answer(answer).message};
}

bool names_are_refused(const GatewayAnswer& answer) {
    if (answer.head.status != 400) return false;
    const auto object = parse_json_object(answer.body);
    const auto reason = object ? json_text(*object, "reason") : std::nullopt;
    // It begins with the field that is refused.
    const auto field =
        reason ? posture_field_named(std::string_view(*reason).substr(0, reason->find(':'))) : std::nullopt;
    return field && posture_field_infos()[index_of(*field)].at_sign_in;
}

ReportResult report_posture(const TlsTrust& trust, const SavedSession& session, const Posture& posture,
                            const StopSignal* stop) {
    const auto tenant = ask_tenant(trust, session, stop);
    if (!tenant) {
        const auto code = tenant.error().code;
        const bool lasting = code == Errc::unauthenticated || code == Errc::data_loss || code == Errc::not_found;
        return {lasting ? Outcome::refused : Outcome::later, tenant.error().message};
    }
    if (!*tenant) return {Outcome::older_gateway};
    const auto sent = addressed(posture, **tenant);
    const auto send = [&](bool of_before) {
        const std::string body = posture_body(sent, of_before);
        return call_gateway(trust, session.gateway,
                            {"PUT", "/.usher/v1/sessions/current/posture", &session.token, body}, stop);
    };
    auto answer = send(false);
    // The rest of the report is not to be missed for them. Of several gateways at one address each is asked anew.
    if (answer && names_are_refused(*answer)) answer = send(true);
    if (!answer) return {Outcome::later, answer.error().message};
    return report_result(*answer);
}

}  // namespace usher::clients
