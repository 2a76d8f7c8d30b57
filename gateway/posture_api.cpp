#include "gateway/posture_api.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <memory>

#include "audit/audit.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/api_answer.hpp"
#include "gateway/proof.hpp"
#include "gateway/record.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using usher::v1::SessionRecord;

namespace {

/// Each report is a record and a row: an agent that says another thing all the time must not fill either. Five at once
/// are for people who try out what to decline.
constexpr base::Microseconds between_reports = std::chrono::seconds{5};
constexpr int reports_at_once = 5;

/// How long until the session may say something else; zero when it may now, which is counted. The virtual scheduling
/// algorithm (ITU-T I.371): what is kept is when the next one is due at the even rate.
base::Microseconds take_report(const auth::Session& session, base::MonoTime now) {
    const std::int64_t now_us = now.time_since_epoch().count();
    auto due = session.posture_due_mono_us.load();
    std::int64_t next = 0;
    do {
        next = std::max(due, now_us) + between_reports.count();
        const auto ahead = base::Microseconds{next - now_us} - between_reports * reports_at_once;
        if (ahead > base::Microseconds{0}) return ahead;
    } while (!session.posture_due_mono_us.compare_exchange_weak(due, next));
    return base::Microseconds{0};
}

}  // namespace

std::string tenant_of(const auth::Devices& devices) {
    constexpr std::string_view purpose = "usher tenant v1\n";
    const auto& authority = devices.authority().certificate();
    std::array<std::uint8_t, crypto_hash_sha256_BYTES> hash{};
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    const auto add = [&](std::string_view text) {
        crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    };
    add(purpose);
    add(authority);
    crypto_hash_sha256_final(&state, hash.data());
    return base::base64url_encode(hash);
}

asio::awaitable<bool> serve_posture(Exchange& exchange, wire::http1::Request& request, bool keep) {
    auto& services = exchange.worker().services();
    const auto subject = authenticate(exchange, request);
    // The body was not read, so the connection ends.
    if (!subject) co_return co_await fail(exchange, 401, "not-signed-in", false);
    auto object = co_await read_form(exchange, request);
    if (!object) co_return false;
    if (!object->objects.empty()) co_return co_await fail(exchange, 400, "malformed-posture", keep);
    auto posture = auth::Posture::from_texts(object->members);
    if (!posture) {
        // Names and what is wrong with them; of values there is nothing in it.
        wire::http1::Response response(400);
        response.no_store().json(
            "{\"error\":\"malformed-posture\",\"reason\":" + base::json_quote(posture.error().message) + "}");
        co_return co_await answer(exchange, std::move(response), keep);
    }
    const auth::SessionPtr session = subject->session;
    SessionRecord record = session_record(SessionRecord::Event::POSTURE_REPORTED, exchange.peer(), *subject);
    if (subject->device != nullptr) {
        record.set_enrolled_device_id(subject->device->id);
        record.set_enrolled_device_name(subject->device->name);
    }
    *record.mutable_device() = to_proto(session->device);
    add_posture(*record.mutable_device(), *posture);

    auto wait = std::make_shared<base::Microseconds>(0);
    auto store = [&services, session, said = std::move(*posture), record = std::move(record),
                  wait]() mutable -> base::Result<bool> {
        // Called where the database has another word, so that only news has a rate and a record.
        const auto on_record = [&]() -> base::Result<void> {
            *wait = take_report(*session, services.clock.mono());
            if (*wait > base::Microseconds{0}) return base::Error{base::Errc::resource_exhausted, "too soon"};
            auto appended = services.journal.append_and_wait(audit::encode(record));
            return appended ? base::Result<void>() : base::Result<void>(appended.error());
        };
        auto changed = services.sessions.set_posture(*session, std::move(said), on_record);
        if (changed && *changed) services.enforce(Enforcement::of(auth::Affected::session(session->id)));
        return changed;
    };
    const auto stored = co_await services.background.run<bool>(std::move(store));
    if (stored) {
        wire::http1::Response response(204);
        response.no_store();
        co_return co_await answer(exchange, std::move(response), keep);
    }
    if (*wait > base::Microseconds{0}) co_return co_await fail_throttled(exchange, *wait, keep, "too-many-reports");
    // A session that ended meanwhile says nothing any more.
    if (stored.error().code == base::Errc::not_found) co_return co_await fail(exchange, 401, "not-signed-in", keep);
    base::log_error("what a device says of itself could not be kept", {{"error", stored.error().message}});
    co_return co_await fail(exchange, 503, "unavailable", keep);
}

}  // namespace usher::gateway
