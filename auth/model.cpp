#include "auth/model.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace usher::auth {
namespace {

struct Ports {
    std::uint16_t first, last;
};

std::optional<Ports> parse_ports(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = base::parse_unsigned(text.substr(0, dash), 65535);
    const auto last = dash == std::string_view::npos ? first : base::parse_unsigned(text.substr(dash + 1), 65535);
    if (!first || !last || *first == 0 || *first > *last) return std::nullopt;
    return Ports{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

bool holds(const std::vector<std::string>& list, std::string_view value) noexcept {
    return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

std::optional<DestinationPattern> DestinationPattern::parse(std::string_view text) {
    const bool bracketed = !text.empty() && text.front() == '[';
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    if (bracketed) {
        if (host.size() < 2 || host.back() != ']') return std::nullopt;
        host = host.substr(1, host.size() - 2);
    }
    // Colons belong to IPv6 and IPv6 belongs into brackets, else "::1:22" could be read in two ways.
    if ((host.find(':') != std::string_view::npos) != bracketed) return std::nullopt;

    const auto ports = parse_ports(text.substr(colon + 1));
    if (!ports) return std::nullopt;
    DestinationPattern pattern;
    pattern.first_port = ports->first;
    pattern.last_port = ports->last;

    if (const auto block = base::Cidr::parse(host)) {
        pattern.kind = Kind::block;
        pattern.block = *block;
        return pattern;
    }
    if (bracketed) return std::nullopt;
    if (host.starts_with("*.")) {
        pattern.kind = Kind::wildcard_name;
        host.remove_prefix(2);
    }
    auto name = base::canonical_host_name(host);
    if (!name) return std::nullopt;
    pattern.name = std::move(*name);
    return pattern;
}

std::string DestinationPattern::to_string() const {
    std::string out;
    switch (kind) {
        case Kind::exact_name:
            out = name;
            break;
        case Kind::wildcard_name:
            out = "*." + name;
            break;
        case Kind::block:
            out = block.to_string();
            if (out.find(':') != std::string::npos) out = '[' + out + ']';
            break;
    }
    out += ':' + std::to_string(first_port);
    if (last_port != first_port) out += '-' + std::to_string(last_port);
    return out;
}

bool DestinationPattern::matches(const base::Destination& destination) const noexcept {
    if (destination.port < first_port || destination.port > last_port) return false;
    const std::string_view host = destination.host;
    switch (kind) {
        case Kind::exact_name:
            return !destination.address && host == name;
        case Kind::wildcard_name:
            return !destination.address && host.size() > name.size() + 1 && host.ends_with(name) &&
                   host[host.size() - name.size() - 1] == '.';
        case Kind::block:
            // A short IPv6 prefix such as ::/0 also covers the mapped form in which IPv4 is held. Whoever wrote an
            // IPv6 block did not mean all of IPv4.
            return destination.address && (block.prefix_bits >= 96 || !destination.address->is_v4()) &&
                   block.contains(*destination.address);
    }
    return false;
}

bool Rule::empty() const noexcept {
    return accounts.empty() && groups.empty() && departments.empty() && roles.empty() && networks.empty() &&
           times.empty() && devices.empty();
}

std::optional<RuleField> Rule::first_unmet(const Account& account, const Context& context,
                                           std::span<const std::string> above) const noexcept {
    if (const auto unmet = first_unmet_by_whom(account, above)) return unmet;
    return besides().first_unmet(context);
}

std::optional<RuleField> Rule::first_unmet_by_whom(const Account& account,
                                                   std::span<const std::string> above) const noexcept {
    if (empty() || (!accounts.empty() && !holds(accounts, account.username))) return RuleField::account;
    if (!groups.empty() && std::none_of(account.groups.begin(), account.groups.end(),
                                        [&](const std::string& group) { return holds(groups, group); }))
        return RuleField::group;
    if (!departments.empty() && !holds(departments, account.department) &&
        std::none_of(above.begin(), above.end(), [&](const std::string& code) { return holds(departments, code); }))
        return RuleField::department;
    if (!roles.empty() && std::find(roles.begin(), roles.end(), account.role) == roles.end()) return RuleField::role;
    return std::nullopt;
}

std::optional<RuleField> AskedBesides::first_unmet(const Context& context) const noexcept {
    const auto holds_client = [&](const base::Cidr& network) { return network.contains(*context.client_address); };
    if (!networks.empty() && (!context.client_address || std::none_of(networks.begin(), networks.end(), holds_client)))
        return RuleField::network;
    const auto holds_time = [&](const TimeWindow& window) { return window.contains(*context.time); };
    if (!times.empty() && (!context.time || std::none_of(times.begin(), times.end(), holds_time)))
        return RuleField::time;
    if (!devices.empty() &&
        (!context.device || std::find(devices.begin(), devices.end(), *context.device) == devices.end()))
        return RuleField::device;
    const auto holds_now = [&](const PostureTest& test) { return test.holds(*context.posture); };
    if (!posture.empty() && (!context.posture || !std::all_of(posture.begin(), posture.end(), holds_now)))
        return RuleField::posture;
    if (mfa_within && (!context.second_factor_age || *context.second_factor_age >= *mfa_within))
        return RuleField::second_factor;
    return std::nullopt;
}

bool operator==(const AskedBesides& a, const AskedBesides& b) noexcept {
    return a.mfa_within == b.mfa_within && std::ranges::equal(a.networks, b.networks) &&
           std::ranges::equal(a.times, b.times) && std::ranges::equal(a.devices, b.devices) &&
           std::ranges::equal(a.posture, b.posture);
}

}  // namespace usher::auth
