#include "audit/fleet_cursor.hpp"

#include "audit/audit.hpp"

namespace usher::audit {
namespace {

constexpr std::string_view version_two = "2:";
/// Without it the cursor has been cut: numbers may lack digits, and gateways be missing.
constexpr char end_mark = '.';

}  // namespace

std::string FleetCursor::to_string() const {
    if (!whole && !positions.empty()) return Cursor{positions.begin()->first, positions.begin()->second}.to_string();
    std::string out(version_two);
    for (const auto& [gateway, sequence] : positions) {
        if (out.size() > version_two.size()) out += ',';
        out += Cursor{gateway, sequence}.to_string();
    }
    return out + end_mark;
}

std::optional<FleetCursor> FleetCursor::parse(std::string_view text) {
    FleetCursor out;
    if (!text.starts_with(version_two)) {
        const auto one = Cursor::parse(text);
        if (!one) return std::nullopt;
        out.positions.emplace(one->gateway, one->sequence);
        return out;
    }
    if (!text.ends_with(end_mark)) return std::nullopt;
    out.whole = true;
    text.remove_prefix(version_two.size());
    text.remove_suffix(1);
    while (true) {
        const auto comma = text.find(',');
        const auto one = Cursor::parse(text.substr(0, comma));
        if (!one || out.positions.size() == fleet_gateways_max) return std::nullopt;
        if (!out.positions.emplace(one->gateway, one->sequence).second) return std::nullopt;
        if (comma == std::string_view::npos) break;
        text.remove_prefix(comma + 1);
    }
    return out;
}

}  // namespace usher::audit
