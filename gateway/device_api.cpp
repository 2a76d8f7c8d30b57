#include "gateway/device_api.hpp"

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/api_answer.hpp"
#include "gateway/proof.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using usher::v1::SessionRecord;

namespace {

using Subject = Gatekeeper::Subject;
using Enrolled = base::Result<auth::EnrolledDevice>;

constexpr base::Microseconds proved_within = std::chrono::minutes{10};

/// Whether whoever holds the session has proved lately to be its owner. A token alone must not get a key of its own.
bool proved_lately(const Services& services, const Subject& subject) {
    const auto age = subject.account->second_factor ? services.sessions.second_factor_age(*subject.session)
                                                    : std::optional(services.sessions.age(*subject.session));
    return age && *age <= proved_within;
}

/// Puts what happens to the device on record, before it happens. To be called on a background thread.
auto recorder(Services& services, SessionRecord record) {
    return [&services, record = std::move(record)](const auth::Device& device) mutable -> base::Result<void> {
        record.set_enrolled_device_id(device.id);
        record.set_enrolled_device_name(device.name);
        auto appended = services.journal.append_and_wait(audit::encode(record));
        if (!appended) return appended.error();
        return {};
    };
}

asio::awaitable<bool> answer_with(Exchange& exchange, Enrolled outcome, int status, bool keep) {
    using base::Errc;
    if (!outcome) {
        switch (outcome.error().code) {
            case Errc::invalid_argument:
                co_return co_await fail(exchange, 400, "device-name-invalid", keep);
            case Errc::already_exists:
                co_return co_await fail(exchange, 409, "key-known-already", keep);
            case Errc::resource_exhausted:
                co_return co_await fail(exchange, 409, "too-many-devices", keep);
            default:
                break;
        }
        base::log_error("a device could not get its certificate", {{"error", outcome.error().message}});
        co_return co_await fail(exchange, 503, "unavailable", keep);
    }
    const auto& device = outcome->device;
    const std::string json = "{\"device_id\":" + base::json_quote(device.id) +
                             ",\"name\":" + base::json_quote(device.name) +
                             ",\"state\":" + base::json_quote(auth::to_word(device.state)) +
                             ",\"not_after\":" + base::json_quote(base::format_rfc3339(device.not_after)) +
                             ",\"certificate\":" + base::json_quote(outcome->certificate_pem) + "}";
    co_return co_await answer(exchange, success(json, status), keep);
}

asio::awaitable<bool> enroll(Exchange& exchange, const Subject& subject, wire::http1::JsonObject form, bool keep) {
    auto& services = exchange.worker().services();
    const std::string* name = form.member("name");
    const std::string* encoded = form.member("certificate_request");
    if (name == nullptr || encoded == nullptr || form.members.size() != 2 || !form.objects.empty())
        co_return co_await fail(exchange, 400, "malformed-form", false);
    const auto der = base::base64_decode(*encoded);
    auto key = auth::CertificateRequest::read(der.value_or(""));
    if (!key) co_return co_await fail(exchange, 400, "certificate-request-refused", keep);
    auto store = [&services, account = subject.account->id, name = *name, key = std::move(*key),
                  record = recorder(services, session_record(SessionRecord::Event::DEVICE_ENROLLED, exchange.peer(),
                                                             subject))]() -> Enrolled {
        return services.devices.enroll(account, name, key, record);
    };
    auto outcome = co_await services.background.run<auth::EnrolledDevice>(std::move(store));
    co_return co_await answer_with(exchange, std::move(outcome), 201, keep);
}

asio::awaitable<bool> renew(Exchange& exchange, const Subject& subject, bool keep) {
    auto& services = exchange.worker().services();
    // The session is bound, so the connection has proved the key that the new certificate is for.
    if (subject.device == nullptr) co_return co_await fail(exchange, 409, "no-device", keep);
    auto store = [&services, id = subject.device->id,
                  record = recorder(services, session_record(SessionRecord::Event::DEVICE_RENEWED, exchange.peer(),
                                                             subject))]() -> Enrolled {
        return services.devices.renew(id, record);
    };
    auto outcome = co_await services.background.run<auth::EnrolledDevice>(std::move(store));
    co_return co_await answer_with(exchange, std::move(outcome), 200, keep);
}

}  // namespace

std::optional<DeviceRequest> device_request(std::string_view path) noexcept {
    if (path == "/.usher/v1/devices") return DeviceRequest::enroll;
    if (path == "/.usher/v1/devices/current/certificate") return DeviceRequest::renew;
    return std::nullopt;
}

asio::awaitable<bool> serve_device(Exchange& exchange, wire::http1::Request& request, DeviceRequest what, bool keep) {
    auto& services = exchange.worker().services();
    const auto subject = authenticate(exchange, request);
    // The body was not read, so the connection ends.
    if (!subject) co_return co_await fail(exchange, 401, "not-signed-in", false);
    if (services.phase.load(std::memory_order_relaxed) == Phase::draining)
        co_return co_await fail(exchange, 503, "shutting-down", false);
    // Nothing of it is read or reckoned before. Whoever has a token alone spends nothing of its owner's.
    const bool renews = what == DeviceRequest::renew;
    if (!renews && !proved_lately(services, *subject)) co_return co_await fail(exchange, 403, "sign-in-too-old", false);
    const bool of_device = renews && subject->device != nullptr;
    const auto allowed = services.throttle.take_certificate(of_device ? subject->device->id : subject->account->id,
                                                            services.clock.mono());
    if (!allowed.allowed) {
        exchange.worker().refuse_by_limit(exchange.peer(), "device_certificates");
        co_return co_await fail_throttled(exchange, allowed.retry_after, false, "too-many-certificates");
    }
    if (what == DeviceRequest::renew) {
        if (request.content_length != 0) co_return co_await fail(exchange, 400, "unexpected-body", false);
        exchange.clear_deadline();
        co_return co_await renew(exchange, *subject, keep);
    }
    auto object = co_await read_form(exchange, request);
    if (!object) co_return false;
    co_return co_await enroll(exchange, *subject, std::move(*object), keep);
}

}  // namespace usher::gateway
