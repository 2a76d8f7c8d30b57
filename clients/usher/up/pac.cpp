#include "clients/usher/up/pac.hpp"

#include <charconv>
#include <cstdint>
#include <optional>

#include "base/net.hpp"
#include "base/text.hpp"
#include "clients/common/json.hpp"

namespace usher::clients::agent {
namespace {

struct Ports {
    unsigned first = 0, last = 0;
};

std::optional<unsigned> parse_port(std::string_view text) {
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535) return std::nullopt;
    return port;
}

std::optional<Ports> parse_ports(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_port(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
    if (!first || !last || *first > *last) return std::nullopt;
    return Ports{*first, *last};
}

std::string hexadecimal(const base::IpAddress& address) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const std::uint8_t byte : address.bytes) {
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

constexpr std::string_view functions = R"(
function portOf(url) {
  var found = /^([a-z]+):\/\/(?:[^\/?#@]*@)?(?:\[[^\]]*\]|[^:\/?#]*)(?::(\d+))?/i.exec(url);
  if (!found) return 0;
  if (found[2]) return parseInt(found[2], 10);
  var known = {http: 80, ws: 80, https: 443, wss: 443, ftp: 21};
  return known[found[1].toLowerCase()] || 0;
}

function group(number) {
  var text = number.toString(16);
  return "0000".substring(text.length) + text;
}

function addressOf(host) {
  var tail = "";
  var dotted = /^(.*:)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  if (dotted) {
    tail = group(dotted[2] * 256 + +dotted[3]) + group(dotted[4] * 256 + +dotted[5]);
    if (!dotted[1]) return "00000000000000000000ffff" + tail;
    host = dotted[1] + tail.substring(0, 4) + ":" + tail.substring(4);
  }
  if (!/^[0-9a-f:]*:[0-9a-f:]*$/.test(host)) return null;
  var halves = host.split("::");
  if (halves.length > 2) return null;
  var before = halves[0] ? halves[0].split(":") : [];
  var after = halves.length > 1 && halves[1] ? halves[1].split(":") : [];
  var gap = 8 - before.length - after.length;
  if (halves.length === 1 ? gap !== 0 : gap < 1) return null;
  var out = "", i;
  for (i = 0; i < before.length; i++) out += group(parseInt(before[i], 16));
  for (i = 0; halves.length > 1 && i < gap; i++) out += "0000";
  for (i = 0; i < after.length; i++) out += group(parseInt(after[i], 16));
  return out;
}

function within(address, block, bits) {
  if (bits < 96 && address.substring(0, 24) === "00000000000000000000ffff") return false;
  var whole = Math.floor(bits / 4);
  if (address.substring(0, whole) !== block.substring(0, whole)) return false;
  var rest = bits % 4;
  if (rest === 0) return true;
  return parseInt(address.charAt(whole), 16) >> (4 - rest) === parseInt(block.charAt(whole), 16) >> (4 - rest);
}

function FindProxyForURL(url, host) {
  host = host.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "");
  var port = portOf(url), i, rule;
  var address = addressOf(host);
  for (i = 0; address && i < blocks.length; i++) {
    rule = blocks[i];
    if (port >= rule[2] && port <= rule[3] && within(address, rule[0], rule[1])) return proxy;
  }
  for (i = 0; !address && i < names.length; i++) {
    rule = names[i];
    if (port < rule[1] || port > rule[2]) continue;
    if (rule[0].charAt(0) !== "*") {
      if (host === rule[0]) return proxy;
    } else {
      var end = rule[0].substring(1);
      if (host.length > end.length && host.substring(host.length - end.length) === end) return proxy;
    }
  }
  return "DIRECT";
}
)";

}  // namespace

std::string make_pac(const std::vector<std::string>& destinations, std::string_view proxy) {
    std::string names, blocks;
    for (const std::string_view text : destinations) {
        const auto colon = text.rfind(':');
        if (colon == std::string_view::npos) continue;
        const auto ports = parse_ports(text.substr(colon + 1));
        auto host = text.substr(0, colon);
        if (!ports) continue;
        const std::string range = std::to_string(ports->first) + ", " + std::to_string(ports->last);
        if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
        if (const auto block = base::Cidr::parse(host)) {
            blocks += "  [\"" + hexadecimal(block->network) + "\", " + std::to_string(block->prefix_bits) + ", " +
                      range + "],\n";
            continue;
        }
        const bool wildcard = host.starts_with("*.");
        const auto name = base::canonical_host_name(wildcard ? host.substr(2) : host);
        if (name) names += "  [\"" + std::string(wildcard ? "*." : "") + *name + "\", " + range + "],\n";
    }
    const auto list = [](std::string_view name, std::string& rows) {
        if (!rows.empty()) rows.erase(rows.size() - 2, 1);  // the last comma
        return "var " + std::string(name) + " = [\n" + rows + "];\n";
    };
    return "// The apps that you may use go to Usher's agent, everything else goes as before.\n"
           "var proxy = \"PROXY " +
           std::string(proxy) + "\";\n" + list("names", names) + list("blocks", blocks) + std::string(functions);
}

base::Result<std::vector<std::string>> destinations_of(std::string_view apps_json) {
    auto object = parse_json_object(apps_json);
    if (!object) return std::move(object).error();
    const auto malformed = [] { return base::Error{base::Errc::data_loss, "the gateway's list of apps is malformed"}; };
    const auto* apps = object->if_contains("apps");
    if (apps == nullptr || !apps->is_array()) return malformed();
    std::vector<std::string> out;
    for (const auto& app : apps->get_array()) {
        const auto* list = app.is_object() ? app.get_object().if_contains("destinations") : nullptr;
        if (list == nullptr || !list->is_array()) return malformed();
        for (const auto& destination : list->get_array()) {
            if (!destination.is_string()) return malformed();
            out.emplace_back(destination.get_string());
        }
    }
    return out;
}

}  // namespace usher::clients::agent
