#include <array>
#include <utility>

#include "auth/model.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using Action = ControlLoss::Action;
using namespace std::chrono_literals;

/// Less would be within the time that a gateway takes to notice.
constexpr base::Microseconds shortest = 10s;
constexpr base::Microseconds longest = 24h;
constexpr std::string_view goes_on = "continue";
constexpr std::array<std::pair<std::string_view, Action>, 2> prefixes{{
    {"refuse_new after ", Action::refuse_new},
    {"close after ", Action::close},
}};

}  // namespace

std::optional<ControlLoss> ControlLoss::parse(std::string_view text) {
    if (text == goes_on) return ControlLoss{};
    for (const auto& [prefix, action] : prefixes) {
        if (!text.starts_with(prefix)) continue;
        const auto after = base::parse_duration(text.substr(prefix.size()));
        if (!after || *after < shortest || *after > longest) return std::nullopt;
        return ControlLoss{action, *after};
    }
    return std::nullopt;
}

std::string ControlLoss::to_string() const {
    for (const auto& [prefix, word] : prefixes)
        if (word == action) return std::string(prefix) + base::format_duration(after);
    return std::string(goes_on);
}

}  // namespace usher::auth
