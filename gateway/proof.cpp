#include "gateway/proof.hpp"

#include "audit/audit.hpp"
#include "auth/policy.hpp"
#include "base/log.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using usher::v1::SessionRecord;

namespace {

/// The enrolled device of the account whose connection it is; empty: none. Nobody else can be on it.
std::string own_device(Services& services, const Peer& peer, const Claim& claim) {
    if (claim.account == nullptr || !peer.device_key) return {};
    const auto devices = services.devices.snapshot();
    const auth::Device* device = devices->by_key(*peer.device_key);
    const bool own = device != nullptr && device->account_id == claim.account->id &&
                     device->state == auth::DeviceState::active && !services.cut_off.covers_device(*peer.device_key);
    return own ? device->id : "";
}

/// An id that no account has, for what is done for an unknown name as for a known one.
constexpr const char* nobody = "00000000-0000-0000-0000-000000000000";

std::string id_of(const Claim& claim) { return claim.account != nullptr ? claim.account->id : nobody; }

auth::SignInThrottle::Try try_of(const Claim& claim, const Proof& proof) {
    return {proof.source, claim.username, proof.known_here, proof.throttled};
}

/// The word on record for an account that may do nothing now; nullptr when it may.
const char* standing_reason(auth::Standing standing) {
    switch (standing) {
        case auth::Standing::disabled:
            return "account-disabled";
        case auth::Standing::not_yet_valid:
            return "account-not-yet-valid";
        case auth::Standing::expired:
            return "account-expired";
        case auth::Standing::good:
            break;
    }
    return nullptr;
}

/// What a factor that is stored says of a code; nullptr when it is good, or nobody asked for one.
const char* factor_reason(const auth::Credentials& stored, const Claim& claim, const Proof& proof) {
    if (!stored.second_factor) return claim.password ? nullptr : "second-factor-missing";
    if (proof.second_factor) return nullptr;
    return claim.second_factor.empty() ? "second-factor-missing" : "second-factor-wrong";
}

}  // namespace

SessionRecord session_record(SessionRecord::Event::Value event, const Peer& peer, const std::string& username) {
    SessionRecord record;
    record.set_event(event);
    record.set_username(username);
    record.set_client_ip(peer.ip);
    return record;
}

SessionRecord session_record(SessionRecord::Event::Value event, const Peer& peer, const Gatekeeper::Subject& subject) {
    SessionRecord record = session_record(event, peer, subject.account->username);
    record.set_account_id(subject.account->id);
    record.set_session_id(subject.session->id);
    return record;
}

asio::awaitable<bool> record_durably(Services& services, SessionRecord record) {
    auto append = [&services, bytes = audit::encode(record)](auto done) mutable {
        services.journal.append(std::move(bytes), done);
    };
    auto result = co_await await_callback<base::Result<std::uint64_t>>(std::move(append));
    co_return result.ok();
}

std::string_view second_factor_word(const Proof& proof) noexcept {
    if (!proof.second_factor) return {};
    return proof.second_factor->kind == auth::SecondFactorProof::Kind::totp ? "totp" : "recovery-code";
}

bool take_try(Services& services, Worker& worker, const Peer& peer, const Claim& claim, Proof& proof) {
    const std::string device = own_device(services, peer, claim);
    proof.own_device = !device.empty();
    // Tries of its own: whoever shares its address, as an office does, neither uses them up nor makes them wait.
    proof.source = proof.own_device ? "device " + device : peer.ip;
    // A stranger who tries passwords elsewhere does not keep the owner waiting who is signed in here.
    proof.known_here = services.sessions.signed_in_from(id_of(claim), peer.ip) || proof.own_device;
    const auto verdict = services.throttle.take(try_of(claim, proof), services.clock.mono());
    // Whether the account is signed in from there has no part in it: the answer's time would tell (decision 23).
    proof.rank = verdict.rank;
    proof.throttled = verdict.must_fail;
    if (proof.throttled && claim.signs_in) services.metrics.limited("sign_ins_per_name");
    if (verdict.allowed && (!proof.throttled || claim.signs_in)) return true;
    if (verdict.allowed) give_back_try(services, claim, proof);
    worker.refuse_by_limit(peer, "sign_ins_per_minute");
    proof.status = 429;
    proof.retry_after = verdict.retry_after;
    return false;
}

void give_back_try(Services& services, const Claim& claim, const Proof& proof) {
    services.throttle.give_back(try_of(claim, proof), services.clock.mono());
}

void try_succeeded(Services& services, const Claim& claim, const Proof& proof) {
    services.throttle.succeeded(try_of(claim, proof), services.clock.mono());
}

asio::awaitable<Proof> prove(Services& services, Worker& worker, const Peer& peer, Claim& claim) {
    Proof proof;
    if (!take_try(services, worker, peer, claim, proof)) co_return proof;
    const auto not_looked_at = [&] {
        give_back_try(services, claim, proof);
        proof.status = 503;
    };
    const auto no_room = [&] {
        not_looked_at();
        services.metrics.limited("hashing-queue");
    };

    // A flood that finds no room is not to cost the database's time. By the address, and whether it is on a device of
    // the account's own: the same for every other account.
    const auth::HashingTurn turn{proof.own_device && !proof.throttled, proof.rank};
    if (claim.password && !services.hashing.has_room(turn)) {
        no_room();
        co_return proof;
    }

    // An unknown name costs the same look-up and the same hash as a known one.
    const std::string account_id = id_of(claim);
    auto read = [&services, account_id] { return services.directory.credentials(account_id); };
    auto found = co_await services.background.run<auth::Credentials>(std::move(read));
    if (!found && found.error().code != base::Errc::not_found) {
        not_looked_at();
        co_return proof;
    }
    const auth::Credentials stored = found ? std::move(*found) : auth::Credentials{};
    bool password_matches = !claim.password;
    if (claim.password) {
        auto verify = [&services, turn, text = stored.password_hash,
                       password = base::Secret(claim.password->reveal())](auto done) mutable {
            services.hashing.verify(std::move(text), std::move(password), done, turn);
        };
        auto matches = co_await await_callback<base::Result<bool>>(std::move(verify));
        if (!matches) {
            no_room();
            co_return proof;
        }
        password_matches = *matches;
    }
    proof.password_hash = stored.password_hash;
    auto checked = services.second_factors.check(account_id, stored.second_factor, claim.second_factor);
    if (checked) proof.second_factor = std::move(*checked);

    if (proof.throttled)
        proof.reason = "throttled";
    else if (claim.account == nullptr)
        proof.reason = "unknown-account";
    else if (!password_matches)
        proof.reason = "wrong-password";
    else if (const char* standing = standing_reason(auth::standing(*claim.account, services.clock.utc())))
        proof.reason = standing;
    else if (services.cut_off.covers_account(account_id))
        proof.reason = "account-disabled";
    else if (!checked) {
        base::log_error("a second factor cannot be checked", {{"error", checked.error().message}});
        not_looked_at();
        co_return proof;
    } else if (stored.second_factor && !claim.second_factor.empty() &&
               !services.throttle.take_code(claim.username, services.clock.mono())) {
        proof.second_factor.reset();  // right or wrong: who guesses learns nothing
        proof.reason = "second-factor-throttled";
    } else {
        proof.reason = factor_reason(stored, claim, proof);
    }
    proof.status = proof.reason == nullptr ? 200 : 401;
    co_return proof;
}

asio::awaitable<void> use_proof(Services& services, const Claim& claim, Proof& proof) {
    if (proof.second_factor) {
        auto use = [&services, id = claim.account->id, factor = *proof.second_factor] {
            return services.second_factors.use(id, factor);
        };
        auto used = co_await services.background.run<bool>(std::move(use));
        if (!used) base::log_error("a second factor could not be used up", {{"error", used.error().message}});
        if (!used || !*used) {
            proof.status = used ? 401 : 503;
            if (used) proof.reason = "second-factor-used";
            if (!used) give_back_try(services, claim, proof);
            co_return;
        }
    }
    try_succeeded(services, claim, proof);
}

}  // namespace usher::gateway
