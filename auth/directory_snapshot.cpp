#include <algorithm>
#include <tuple>

#include "auth/directory.hpp"
#include "auth/validate.hpp"

namespace usher::auth {
namespace {

unsigned port_count(const DestinationPattern& pattern) noexcept { return pattern.last_port - pattern.first_port + 1u; }

base::IpAddress masked(base::IpAddress address, unsigned prefix_bits) noexcept {
    for (unsigned i = 0; i < 16; ++i) {
        const unsigned kept = prefix_bits > i * 8 ? std::min(8u, prefix_bits - i * 8) : 0;
        address.bytes[i] = static_cast<std::uint8_t>(address.bytes[i] & (0xff00u >> kept));
    }
    return address;
}

RuleIndex placed(const std::vector<const Policy*>& policies) {
    std::vector<PlacedRule> out;
    for (const bool deny : {true, false})
        for (const Policy* policy : policies) {
            const auto& rules = deny ? policy->deny : policy->allow;
            for (std::size_t i = 0; i < rules.size(); ++i) out.push_back({policy, deny, i, &rules[i]});
        }
    return RuleIndex(std::move(out));
}

}  // namespace

DirectorySnapshot::DirectorySnapshot(std::uint64_t version, std::vector<Account> accounts, std::vector<App> apps,
                                     std::vector<Policy> policies, std::vector<Department> departments)
    : version_(version),
      accounts_(std::move(accounts)),
      apps_(std::move(apps)),
      policies_(std::move(policies)),
      departments_(std::move(departments)),
      department_tree_(departments_) {
    std::sort(accounts_.begin(), accounts_.end(), [](auto& a, auto& b) { return a.username < b.username; });
    std::sort(apps_.begin(), apps_.end(), [](auto& a, auto& b) { return a.name < b.name; });
    std::sort(policies_.begin(), policies_.end(), [](auto& a, auto& b) { return a.name < b.name; });
    std::sort(departments_.begin(), departments_.end(), [](auto& a, auto& b) { return a.code < b.code; });

    by_id_.reserve(accounts_.size());
    by_username_.reserve(accounts_.size());
    for (const auto& account : accounts_) {
        by_id_.emplace(account.id, &account);
        by_username_.emplace(account.username, &account);
        if (account.valid_from) validity_changes_.push_back(*account.valid_from);
        if (account.valid_until) validity_changes_.push_back(*account.valid_until);
    }
    std::sort(validity_changes_.begin(), validity_changes_.end());
    const auto has_window = [](const Rule& rule) { return !rule.times.empty(); };
    const auto has_test = [](const Rule& rule) { return !rule.posture.empty(); };
    for (const auto& policy : policies_) {
        has_time_windows_ = has_time_windows_ || std::any_of(policy.allow.begin(), policy.allow.end(), has_window) ||
                            std::any_of(policy.deny.begin(), policy.deny.end(), has_window);
        has_posture_tests_ = has_posture_tests_ || std::any_of(policy.allow.begin(), policy.allow.end(), has_test) ||
                             std::any_of(policy.deny.begin(), policy.deny.end(), has_test);
        for (const auto& rule : policy.allow)
            if (rule.mfa_within && (!shortest_mfa_within_ || *rule.mfa_within < *shortest_mfa_within_))
                shortest_mfa_within_ = rule.mfa_within;
        for (const auto& app : policy.apps) {
            auto& list = policies_of_[app];
            if (list.empty() || list.back() != &policy) list.push_back(&policy);
        }
    }

    for (const auto& [app, of_app] : policies_of_) rules_of_.emplace(app, placed(of_app));

    std::map<unsigned, std::vector<Claim>, std::greater<>> blocks;
    for (const auto& app : apps_) {
        apps_by_name_.emplace(app.name, &app);
        if (app.on_control_loss.action == ControlLoss::Action::close)
            closing_control_losses_.push_back(app.on_control_loss.after);
        for (const auto& pattern : app.destinations) {
            const Claim claim{&app, &pattern};
            switch (pattern.kind) {
                case DestinationPattern::Kind::exact_name:
                    exact_[pattern.name].push_back(claim);
                    break;
                case DestinationPattern::Kind::wildcard_name:
                    wildcard_[pattern.name].push_back(claim);
                    break;
                case DestinationPattern::Kind::block:
                    blocks[pattern.block.prefix_bits].push_back(claim);
                    break;
            }
        }
    }
    std::sort(closing_control_losses_.begin(), closing_control_losses_.end());
    const auto best_first = [](const Claim& a, const Claim& b) {
        return std::make_tuple(port_count(*a.pattern), std::string_view(a.app->name), a.pattern->first_port) <
               std::make_tuple(port_count(*b.pattern), std::string_view(b.app->name), b.pattern->first_port);
    };
    for (auto& [name, claims] : exact_) std::sort(claims.begin(), claims.end(), best_first);
    for (auto& [name, claims] : wildcard_) std::sort(claims.begin(), claims.end(), best_first);
    for (auto& [prefix_bits, claims] : blocks) {
        std::sort(claims.begin(), claims.end(), [&](const Claim& a, const Claim& b) {
            const auto order = a.pattern->block.network <=> b.pattern->block.network;
            return order != 0 ? order < 0 : best_first(a, b);
        });
        blocks_.push_back({prefix_bits, std::move(claims)});
    }
}

const Account* DirectorySnapshot::account_by_id(std::string_view id) const noexcept {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

const Account* DirectorySnapshot::account_by_username(std::string_view canonical) const noexcept {
    const auto found = by_username_.find(canonical);
    return found == by_username_.end() ? nullptr : found->second;
}

const App* DirectorySnapshot::app(std::string_view name) const noexcept {
    const auto found = apps_by_name_.find(name);
    return found == apps_by_name_.end() ? nullptr : found->second;
}

const Policy* DirectorySnapshot::policy(std::string_view name) const noexcept {
    const auto found = std::lower_bound(policies_.begin(), policies_.end(), name,
                                        [](const Policy& policy, std::string_view n) { return policy.name < n; });
    return found == policies_.end() || found->name != name ? nullptr : &*found;
}

const Department* DirectorySnapshot::department(std::string_view code) const noexcept {
    const auto found = std::lower_bound(departments_.begin(), departments_.end(), code,
                                        [](const Department& d, std::string_view wanted) { return d.code < wanted; });
    return found == departments_.end() || found->code != code ? nullptr : &*found;
}

const App* DirectorySnapshot::first_match(const std::vector<Claim>& claims,
                                          const base::Destination& destination) noexcept {
    for (const auto& claim : claims) {
        if (claim.pattern->matches(destination)) return claim.app;
    }
    return nullptr;
}

const App* DirectorySnapshot::find_app(const base::Destination& destination) const noexcept {
    if (destination.address) {
        for (const auto& [prefix_bits, claims] : blocks_) {
            const auto network = masked(*destination.address, prefix_bits);
            auto claim =
                std::lower_bound(claims.begin(), claims.end(), network,
                                 [](const Claim& c, const base::IpAddress& n) { return c.pattern->block.network < n; });
            for (; claim != claims.end() && claim->pattern->block.network == network; ++claim) {
                if (claim->pattern->matches(destination)) return claim->app;
            }
        }
        return nullptr;
    }

    const std::string_view host = destination.host;
    if (is_reserved_host(host)) return nullptr;
    if (const auto found = exact_.find(host); found != exact_.end()) {
        if (const App* app = first_match(found->second, destination)) return app;
    }
    // Each parent in turn, so the longest wildcard is met first.
    for (auto dot = host.find('.'); dot != std::string_view::npos; dot = host.find('.', dot + 1)) {
        const auto found = wildcard_.find(host.substr(dot + 1));
        if (found == wildcard_.end()) continue;
        if (const App* app = first_match(found->second, destination)) return app;
    }
    return nullptr;
}

const std::vector<const Policy*>& DirectorySnapshot::policies_of(std::string_view app) const noexcept {
    static const std::vector<const Policy*> none;
    const auto found = policies_of_.find(app);
    return found == policies_of_.end() ? none : found->second;
}

const RuleIndex& DirectorySnapshot::rules_of(std::string_view app) const noexcept {
    static const RuleIndex none;
    const auto found = rules_of_.find(app);
    return found == rules_of_.end() ? none : found->second;
}

}  // namespace usher::auth
