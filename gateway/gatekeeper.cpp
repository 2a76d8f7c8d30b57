#include "gateway/gatekeeper.hpp"

#include <algorithm>

#include "auth/decided_by.hpp"
#include "auth/username.hpp"

namespace usher::gateway {
namespace {

std::string_view token_of(const Credential& credential) {
    if (const auto* bearer = std::get_if<wire::http1::Bearer>(&credential)) return bearer->token.reveal();
    if (const auto* basic = std::get_if<wire::http1::Basic>(&credential)) return basic->password.reveal();
    return {};
}

/// What a denied client is told. That a device, something about it or a second factor is missing is said only where
/// policy allows with one, so an app that is denied and one that does not exist stay the same.
std::string denial_detail(const auth::Decision& decision, const Gatekeeper::Subject& subject) {
    using Reason = auth::Decision::Reason;
    if (decision.reason == Reason::device_needed)
        return subject.device == nullptr ? "an enrolled device is needed: usher enroll, then usher login"
                                         : "this device waits for an administrator's approval";
    if (decision.reason == Reason::posture_needed)
        return "this device does not meet what is asked of it: usher posture; with usher up running it is told again";
    if (decision.reason != Reason::second_factor_needed) return "no policy allows this destination";
    return subject.account->second_factor ? "a fresh second factor is needed: usher second-factor verify"
                                          : "a second factor is needed: usher second-factor enroll";
}

bool stands(const auth::Device* device, const auth::Session& session) {
    return device != nullptr && device->account_id == session.account_id && auth::may_sign_in(device->state);
}

/// Why a session that is bound to a device is not served on this connection; empty when it is.
std::string device_problem(const Gatekeeper::Subject& subject, const Peer& peer) {
    if (!peer.device_key) return "device-key-missing";
    if (*peer.device_key != *subject.session->device_key) return "device-key-wrong";
    if (stands(subject.device, *subject.session)) return {};
    return subject.device == nullptr ? "device-unknown" : "device-" + std::string(auth::to_word(subject.device->state));
}

}  // namespace

bool is_control(const base::Destination& destination) {
    return destination.host == auth::control_app_host && destination.port == 443;
}

auth::Context Gatekeeper::context(const auth::Session& session, const std::string& client_ip,
                                  const auth::Device* device, base::UtcTime now) const {
    return {base::IpAddress::parse(client_ip), now, sessions_.second_factor_age(session),
            device != nullptr ? std::optional(device->state) : std::nullopt, session.posture.get()};
}

Gatekeeper::Authentication Gatekeeper::authenticate(const Credential& credential, const Peer& peer) {
    Authentication outcome;
    auto session = sessions_.authenticate(token_of(credential));
    if (!session || cut_off_.covers(*session)) return outcome;
    auto directory = directory_.snapshot();
    const auth::Account* account = directory->account_by_id(session->account_id);
    if (account == nullptr || auth::standing(*account, clock_.utc()) != auth::Standing::good) return outcome;
    if (const auto* basic = std::get_if<wire::http1::Basic>(&credential)) {
        // A token goes with one username; another one beside it is a mistake that must not reach the record as the
        // truth.
        const auto username = auth::canonical_username(basic->username);
        if (!username || *username != account->username) return outcome;
    }
    Subject subject{std::move(session), std::move(directory), account};
    if (subject.session->device_key) {
        subject.devices = devices_.snapshot();
        subject.device = subject.devices->by_key(*subject.session->device_key);
        outcome.reason = device_problem(subject, peer);
    }
    (outcome.reason.empty() ? outcome.subject : outcome.misused) = std::move(subject);
    return outcome;
}

std::optional<AccessRecord> Gatekeeper::misuse_record(const Authentication& failed, const Peer& peer) const {
    if (!failed.misused) return std::nullopt;
    AccessRecord record = new_record(peer, clock_.utc());
    set_subject(record, *failed.misused->account, *failed.misused->session);
    deny(record, failed.reason);
    return record;
}

std::variant<Admission, Refusal> Gatekeeper::admit(const Credential& credential, const base::Destination& destination,
                                                   const Peer& peer) {
    const auto now = clock_.utc();
    AccessRecord record = new_record(peer, now);
    set_destination(record, destination);

    const auto authenticated = authenticate(credential, peer);
    const auto& subject = authenticated.subject;
    if (auto misused = misuse_record(authenticated, peer)) {
        set_destination(*misused, destination);
        return Refusal{407, "this session belongs to a device that has not proved itself here", std::move(*misused)};
    }
    if (!subject) {
        const bool missing = std::holds_alternative<std::monostate>(credential);
        deny(record, missing ? "credential-missing" : "credential-invalid");
        return Refusal{407, "sign in first: usher login", std::move(record)};
    }
    set_subject(record, *subject->account, *subject->session);
    const auto known = context(*subject->session, peer.ip, subject->device, now);
    set_device(record, subject->device);
    set_second_factor(record, known);
    if (known.posture) add_posture(*record.mutable_device(), *known.posture);

    const bool control = is_control(destination);
    const auth::App* app = control ? nullptr : subject->directory->find_app(destination);
    if (!control && app == nullptr) {
        record.set_policy_version(subject->directory->version());
        deny(record, "no-app");
        return Refusal{403, "no policy allows this destination", std::move(record)};
    }
    const auth::Decision decision = control ? auth::decide_control(*subject->directory, *subject->account, known)
                                            : auth::decide(*subject->directory, *subject->account, *app, known);
    record.set_app(control ? std::string(auth::control_app_name) : app->name);
    record.set_policy(std::string(decision.policy_name()));
    record.set_policy_version(decision.policy_version);
    const auto add_conditions = [&] {
        for (auto& condition : auth::decided_by(decision, *subject->directory, *subject->account, known))
            record.add_reasons(std::move(condition));
    };
    if (!decision.allowed) {
        deny(record, decision.text());
        add_conditions();
        return Refusal{403, denial_detail(decision, *subject), std::move(record)};
    }
    if (!control && app->on_control_loss.action != auth::ControlLoss::Action::go_on &&
        control_age() >= app->on_control_loss.after) {
        deny(record, "control-lost");
        return Refusal{503, "the gateway cannot reach its database; try again later", std::move(record)};
    }
    record.add_reasons(decision.text());
    add_conditions();
    Admission admission{subject->session, control, {}, std::move(record)};
    if (!control) admission.allow_addresses = app->allow_addresses;
    return admission;
}

Gatekeeper::Judge::Judge(const Gatekeeper& gatekeeper)
    : gatekeeper_(gatekeeper),
      now_(gatekeeper.clock_.utc()),
      directory_(gatekeeper.directory_.snapshot()),
      devices_(gatekeeper.devices_.snapshot()) {}

void Gatekeeper::Judge::take(const LiveAccess& access) {
    const auth::Session& session = *access.session();
    session_ = &session;
    over_.reset();
    if (gatekeeper_.sessions_.expires_at(session) <= now_) {
        over_ = CloseReason::SESSION_EXPIRED;
        return;
    }
    over_ = CloseReason::REVOKED;
    if (session.ended.load(std::memory_order_acquire) || gatekeeper_.cut_off_.covers(session)) return;
    const auth::Device* device = session.device_key ? devices_->by_key(*session.device_key) : nullptr;
    if (session.device_key && !stands(device, session)) return;
    account_ = directory_->account_by_id(session.account_id);
    if (account_ == nullptr || auth::standing(*account_, now_) != auth::Standing::good) return;
    over_.reset();
    client_ip_ = access.client_ip();
    context_ = gatekeeper_.context(session, client_ip_, device, now_);
}

std::optional<CloseReason::Value> Gatekeeper::Judge::operator()(const LiveAccess& access) {
    if (session_ != access.session().get()) take(access);
    if (over_) return over_;
    if (client_ip_ != access.client_ip()) {
        client_ip_ = access.client_ip();
        context_.client_address = base::IpAddress::parse(client_ip_);
    }
    if (is_control(access.destination()))
        return auth::decide_control(*directory_, *account_, context_).allowed ? std::nullopt
                                                                              : std::optional(CloseReason::REVOKED);
    const auth::App* app = directory_->find_app(access.destination());
    // The same destination under another app is another access: its own record has to say so.
    if (app == nullptr || app->name != access.app()) return CloseReason::POLICY_CHANGED;
    if (!auth::decide(*directory_, *account_, *app, context_).allowed) return CloseReason::POLICY_CHANGED;
    const auto& loss = app->on_control_loss;
    if (loss.action == auth::ControlLoss::Action::close && gatekeeper_.control_age() >= loss.after)
        return CloseReason::CONTROL_LOST;
    return std::nullopt;
}

bool Gatekeeper::control_loss_matters(base::Microseconds from, base::Microseconds to) const {
    const auto directory = directory_.snapshot();
    const auto& after = directory->closing_control_losses();
    const auto next = std::upper_bound(after.begin(), after.end(), from);
    return next != after.end() && *next <= to;
}

bool Gatekeeper::time_matters(base::UtcTime from, base::UtcTime to) const {
    return auth::time_matters(*directory_.snapshot(), from, to);
}

std::optional<base::Microseconds> Gatekeeper::shortest_mfa_within() const {
    return directory_.snapshot()->shortest_mfa_within();
}

}  // namespace usher::gateway
