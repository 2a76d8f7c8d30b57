#include "clients/usherctl/deletion_text.hpp"

#include "base/text.hpp"

namespace usher::clients::control {

namespace {

std::string shown(const std::string& name) { return base::escape_for_terminal(name, 100); }

std::string counted(std::uint64_t count, const std::string& one, const std::string& many) {
    return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string accesses(const usher::v1::OpenAccesses& open) {
    const bool one = open.elsewhere_gateways() == 1;
    const std::string gateways = std::to_string(open.elsewhere_gateways());
    if (!open.here_error().empty()) {
        if (open.elsewhere() == 0) return "all its accesses";
        return "all its accesses (" + std::to_string(open.elsewhere()) + " of them at " +
               (one ? "another gateway" : gateways + " other gateways") + ", as the records say)";
    }
    std::string out = counted(open.here() + open.elsewhere(), "open access", "open accesses");
    if (!open.elsewhere_error().empty()) return out + " at this gateway";
    if (open.elsewhere() == 0) return out;
    return out + " (" + std::to_string(open.here()) + " at this gateway, " + std::to_string(open.elsewhere()) + " at " +
           (one ? "another, as its records say" : gateways + " others, as their records say") + ")";
}

}  // namespace

std::string deletion_text(const usher::v1::PreviewAccountDeletionResponse& preview) {
    std::string out = "account " + shown(preview.username());
    if (!preview.display_name().empty()) out += " (" + shown(preview.display_name()) + ")";
    const auto& open = preview.open_accesses();
    out += " goes for good, and with it end " + counted(preview.sessions(), "session", "sessions") + ", " +
           accesses(open) + " and " + counted(preview.devices(), "enrolled device", "enrolled devices") +
           ".\nWhat it did stays on record.\n";
    if (!open.here_error().empty())
        out += "What is open at this gateway is not known: " + base::escape_for_terminal(open.here_error()) + ".\n";
    if (!open.elsewhere_error().empty())
        out +=
            "What is open at other gateways is not known: " + base::escape_for_terminal(open.elsewhere_error()) + ".\n";
    if (open.unheard() != 0)
        out += counted(open.unheard(), "more access stands", "more accesses stand") +
               " open on record, at other gateways of which nothing has come for 15 minutes: they are gone, or cut "
               "off.\n";
    std::string policies;
    for (const auto& policy : preview.policies()) policies += (policies.empty() ? "" : ", ") + shown(policy);
    if (!policies.empty())
        out += "Policies that name it keep doing so, and would count for another account of this name: " + policies +
               ".\n";
    return out;
}

}  // namespace usher::clients::control
