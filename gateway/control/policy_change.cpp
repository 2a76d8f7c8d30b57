#include "gateway/control/policy_change.hpp"

#include <algorithm>

#include "auth/directory_draft.hpp"
#include "auth/policy_diff.hpp"
#include "auth/policy_replay.hpp"
#include "base/text.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/record.hpp"

namespace usher::gateway::control {
namespace {

using base::Result;
namespace v1 = usher::v1;

/// Comparisons of a rule with an account in one page: some tens of nanoseconds each.
constexpr std::uint64_t work_max = 5'000'000;

v1::Reach::Value to_proto(auth::Reach reach) {
    switch (reach) {
        case auth::Reach::never:
            return v1::Reach::NEVER;
        case auth::Reach::sometimes:
            return v1::Reach::SOMETIMES;
        case auth::Reach::always:
            return v1::Reach::ALWAYS;
    }
    return v1::Reach::UNSPECIFIED;
}

/// Accesses in one page of a replay.
constexpr std::size_t replayed_max = 20'000;

enum class Decided { allowed, denied, not_by_policy };

/// What the policies said of a recorded access, by the first word of its first reason.
Decided decided(const v1::AccessRecord& access) {
    if (access.reasons().empty()) return Decided::not_by_policy;
    const std::string_view reason = access.reasons(0);
    const auto word = reason.substr(0, reason.find(' '));
    if (word == "allow-rule") return Decided::allowed;
    for (const std::string_view denial :
         {"no-allow-rule", "deny-rule", "no-app", "second-factor-needed", "device-needed", "posture-needed"})
        if (word == denial) return Decided::denied;
    return Decided::not_by_policy;
}

auth::RecordedAttempt attempt_of(const v1::AccessRecord& access) {
    auth::RecordedAttempt attempt;
    attempt.account_id = access.account_id();
    attempt.department = access.department();
    attempt.destination = {access.destination_host(), base::IpAddress::parse(access.destination_host()),
                           static_cast<std::uint16_t>(access.destination_port())};
    auto& context = attempt.context;
    context.client_address = base::IpAddress::parse(access.client_ip());
    context.time = get_time(access.opened_at());
    if (access.has_second_factor_at()) context.second_factor_age = *context.time - get_time(access.second_factor_at());
    context.device = auth::device_state_from_word(access.enrolled_device_state());
    context.posture = posture_of(access.device());
    attempt.posture_known = context.posture != nullptr;
    attempt.session_known = !access.enrolled_device_state().empty();
    return attempt;
}

/// Judges one access: counts it, and adds it where it would be decided otherwise.
void replay(const auth::PolicyReplay& policies, const v1::AccessRecord& access, v1::ReplayPoliciesResponse& response) {
    using Outcome = auth::PolicyReplay::Outcome;
    const auto was = decided(access);
    if (was == Decided::not_by_policy) return response.set_not_by_policy(response.not_by_policy() + 1);
    const auto judgement = policies.judge(attempt_of(access));
    if (judgement.outcome == Outcome::account_gone) return response.set_account_gone(response.account_gone() + 1);
    if (judgement.outcome == Outcome::session_not_on_record)
        return response.set_session_not_on_record(response.session_not_on_record() + 1);
    response.set_judged(response.judged() + 1);
    if (judgement.account_changed) response.set_account_changed(response.account_changed() + 1);
    if (judgement.decision.allowed == (was == Decided::allowed)) return;
    auto& flip = *response.add_flips();
    flip.set_access_id(access.access_id());
    flip.set_account(access.username());
    flip.set_app(judgement.app != nullptr ? judgement.app->name : access.app());
    flip.set_destination_host(access.destination_host());
    flip.set_destination_port(access.destination_port());
    *flip.mutable_opened_at() = access.opened_at();
    flip.set_allowed(was == Decided::allowed);
    flip.set_recorded_reason(access.reasons(0));
    flip.set_reason(judgement.app != nullptr ? judgement.decision.text() : "no-app");
    flip.set_account_changed(judgement.account_changed);
}

}  // namespace

Result<void> diff_policies(const auth::Snapshot& directory, base::UtcTime now, const v1::DiffPoliciesRequest& request,
                           v1::DiffPoliciesResponse& response) {
    // A token of another version would leave out whom the directory has meanwhile put before its place.
    const auto kind = "policy-differences " + std::to_string(directory->version());
    auto page = read_page(request.page_size(), request.page_token(), kind);
    if (!page) return std::move(page).error();
    auto resources = from_proto(request.resources());
    if (!resources) return std::move(resources).error();
    auto after = auth::preview(*directory, *resources, now);
    if (!after) return std::move(after).error();

    auth::PolicyDiff::Place place;
    if (const auto end = page->after.find('\n'); end != std::string::npos)
        place = {page->after.substr(0, end), page->after.substr(end + 1)};
    const auto part = auth::PolicyDiff(*directory, **after, now).next(place, page->size, work_max);
    for (const auto& change : part.changes) {
        auto& difference = *response.add_differences();
        difference.set_account(change.account->username);
        difference.set_app(change.app->name);
        difference.set_before(to_proto(change.before));
        difference.set_after(to_proto(change.after));
    }
    if (part.more) response.set_next_page_token(page_token(kind, part.next.app + "\n" + part.next.username));
    response.set_policy_version(directory->version());
    return {};
}

Result<void> replay_policies(const auth::Snapshot& directory, audit::Store& store, base::UtcTime now,
                             const v1::ReplayPoliciesRequest& request, v1::ReplayPoliciesResponse& response) {
    constexpr std::string_view kind = "policy-replay";
    auto page = read_page(request.page_size(), request.page_token(), kind);
    if (!page) return std::move(page).error();
    auto resources = from_proto(request.resources());
    if (!resources) return std::move(resources).error();
    auto judges = directory;
    if (!resources->empty()) {
        auto after = auth::preview(*directory, *resources, now);
        if (!after) return std::move(after).error();
        judges = std::move(*after);
    }

    audit::Store::ScanPlace place;
    if (const auto end = page->after.find('\n'); end != std::string::npos) {
        const auto opened = base::parse_unsigned(page->after.substr(0, end), INT64_MAX);
        if (!opened) return {base::Errc::invalid_argument, "page_token: is not one that a replay gave"};
        place = {static_cast<std::int64_t>(*opened), page->after.substr(end + 1)};
    } else {
        auto since = from_proto(request.since(), "since");
        if (!since) return std::move(since).error();
        place.opened_at = std::max<std::int64_t>(base::to_micros(*since), 0);
    }
    const auth::PolicyReplay policies(*judges);
    const auto scanned = store.scan_accesses(place, replayed_max, [&](const v1::AccessRecord& access) {
        replay(policies, access, response);
        return response.flips_size() < static_cast<int>(page->size);
    });
    if (!scanned) return scanned.error();
    *response.mutable_reached() = to_proto(base::from_micros(scanned->place.opened_at));
    if (!scanned->end)
        response.set_next_page_token(
            page_token(kind, std::to_string(scanned->place.opened_at) + "\n" + scanned->place.access_id));
    response.set_policy_version(directory->version());
    return {};
}

}  // namespace usher::gateway::control
