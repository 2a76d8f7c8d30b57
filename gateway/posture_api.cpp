#include "gateway/posture_api.hpp"

#include <sodium.h>

#include <array>

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

/// Each report is a record and a row: an agent that says another thing all the time must not fill either.
constexpr base::Microseconds between_reports = std::chrono::seconds{5};

/// How long until the session may say something else; it may not again for a while when it may now.
base::Microseconds take_report(const auth::Session& session, base::MonoTime now) {
    const std::int64_t now_us = now.time_since_epoch().count();
    auto last = session.posture_mono_us.load();
    do {
        const auto left = between_reports - base::Microseconds{now_us - last};
        if (last != 0 && left > base::Microseconds{0}) return left;
    } while (!session.posture_mono_us.compare_exchange_weak(last, now_us));
    return base::Microseconds{0};
}

asio::awaitable<bool> done(Exchange& exchange, bool keep) {
    wire::http1::Response response(204);
    response.no_store();
    co_return co_await answer(exchange, std::move(response), keep);
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
    if (const auto known = session->posture.get(); known && *known == *posture) co_return co_await done(exchange, keep);
    if (const auto wait = take_report(*session, services.clock.mono()); wait > base::Microseconds{0})
        co_return co_await fail_throttled(exchange, (wait.count() + 999'999) / 1'000'000, keep, "too-many-reports");

    SessionRecord record =
        session_record(SessionRecord::Event::POSTURE_REPORTED, exchange.peer(), subject->account->username);
    record.set_account_id(subject->account->id);
    record.set_session_id(session->id);
    if (subject->device != nullptr) {
        record.set_enrolled_device_id(subject->device->id);
        record.set_enrolled_device_name(subject->device->name);
    }
    *record.mutable_device() = to_proto(session->device);
    add_posture(*record.mutable_device(), *posture);
    if (!co_await record_durably(services, std::move(record)))
        co_return co_await fail(exchange, 503, "unavailable", keep);

    auto store = [&services, session, said = std::move(*posture)]() mutable -> base::Result<bool> {
        auto stored = services.sessions.set_posture(*session, std::move(said));
        if (!stored) return stored.error();
        services.enforce({});
        return true;
    };
    const auto stored = co_await services.background.run<bool>(std::move(store));
    if (stored) co_return co_await done(exchange, keep);
    // A session that ended meanwhile says nothing any more.
    if (stored.error().code == base::Errc::not_found) co_return co_await fail(exchange, 401, "not-signed-in", keep);
    base::log_error("what a device says of itself could not be kept", {{"error", stored.error().message}});
    co_return co_await fail(exchange, 503, "unavailable", keep);
}

}  // namespace usher::gateway
