#include "base/net.hpp"

#include <algorithm>

namespace usher::base {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_value(char c) noexcept {
    if (is_digit(c)) return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// One to `max_digits` decimal digits without a leading zero.
std::optional<unsigned> parse_decimal(std::string_view text, std::size_t max_digits, unsigned max) noexcept {
    if (text.empty() || text.size() > max_digits || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    unsigned value = 0;
    for (char c : text) {
        if (!is_digit(c)) return std::nullopt;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    if (value > max) return std::nullopt;
    return value;
}

std::optional<std::uint32_t> parse_v4(std::string_view text) noexcept {
    std::uint32_t value = 0;
    for (int part = 0; part < 4; ++part) {
        const auto dot = text.find('.');
        if ((dot == std::string_view::npos) != (part == 3)) return std::nullopt;
        const auto number = parse_decimal(text.substr(0, dot), 3, 255);
        if (!number) return std::nullopt;
        value = value << 8 | *number;
        if (part < 3) text.remove_prefix(dot + 1);
    }
    return value;
}

/// The 16-bit groups on one side of a "::" (or of the whole text), with a dotted quad allowed as the last of them.
/// Returns how many groups were written, or nothing when the text is not such a list.
std::optional<std::size_t> parse_groups(std::string_view text, bool quad_allowed,
                                        std::array<std::uint16_t, 8>& groups) noexcept {
    std::size_t count = 0;
    if (text.empty()) return count;
    for (;;) {
        const auto colon = text.find(':');
        const auto part = text.substr(0, colon);
        const bool last = colon == std::string_view::npos;
        if (last && quad_allowed && part.find('.') != std::string_view::npos) {
            const auto quad = parse_v4(part);
            if (!quad || count > 6) return std::nullopt;
            groups[count++] = static_cast<std::uint16_t>(*quad >> 16);
            groups[count++] = static_cast<std::uint16_t>(*quad & 0xffff);
            return count;
        }
        if (part.empty() || part.size() > 4 || count == 8) return std::nullopt;
        unsigned value = 0;
        for (char c : part) {
            const int digit = hex_value(c);
            if (digit < 0) return std::nullopt;
            value = value << 4 | static_cast<unsigned>(digit);
        }
        groups[count++] = static_cast<std::uint16_t>(value);
        if (last) return count;
        text.remove_prefix(colon + 1);
    }
}

std::optional<IpAddress> parse_v6(std::string_view text) noexcept {
    std::array<std::uint16_t, 8> groups{};
    const auto gap = text.find("::");
    if (gap == std::string_view::npos) {
        if (parse_groups(text, true, groups) != std::size_t{8}) return std::nullopt;
    } else {
        std::array<std::uint16_t, 8> tail{};
        const auto before = parse_groups(text.substr(0, gap), false, groups);
        const auto after = parse_groups(text.substr(gap + 2), true, tail);
        // "::" stands for at least one group. A second "::" shows as an empty group and is refused above.
        if (!before || !after || *before + *after > 7) return std::nullopt;
        std::copy_n(tail.begin(), *after, groups.end() - static_cast<std::ptrdiff_t>(*after));
    }
    IpAddress address;
    for (std::size_t i = 0; i < 8; ++i) {
        address.bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
        address.bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i] & 0xff);
    }
    return address;
}

/// RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::".
std::string v6_text(const std::array<std::uint8_t, 16>& bytes) {
    std::array<unsigned, 8> groups{};
    for (std::size_t i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    std::size_t run_start = 8;
    std::size_t run_length = 1;
    for (std::size_t i = 0; i < 8; ++i) {
        std::size_t end = i;
        while (end < 8 && groups[end] == 0) ++end;
        if (end - i > run_length) {
            run_start = i;
            run_length = end - i;
        }
        i = end;
    }
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i < 8; ++i) {
        if (i == run_start) {
            out += "::";
            i += run_length - 1;
            continue;
        }
        if (!out.empty() && out.back() != ':') out += ':';
        bool begun = false;
        for (int shift = 12; shift >= 0; shift -= 4) {
            const unsigned digit = groups[i] >> shift & 0xf;
            begun = begun || digit != 0 || shift == 0;
            if (begun) out += digits[digit];
        }
    }
    return out;
}

bool is_label(std::string_view label, bool underscore_allowed) noexcept {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    return std::all_of(label.begin(), label.end(), [&](char c) {
        const char l = lower(c);
        return (l >= 'a' && l <= 'z') || is_digit(c) || c == '-' || (c == '_' && underscore_allowed);
    });
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) noexcept {
    IpAddress address;
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), address.bytes.begin());
    for (std::size_t i = 0; i < 4; ++i) address.bytes[12 + i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
    if (text.size() > 45) return std::nullopt;  // the longest text form: six groups and a dotted quad
    if (text.find(':') != std::string_view::npos) return parse_v6(text);
    const auto value = parse_v4(text);
    if (!value) return std::nullopt;
    return v4(*value);
}

bool IpAddress::is_v4() const noexcept { return std::equal(mapped_prefix.begin(), mapped_prefix.end(), bytes.begin()); }

std::string IpAddress::to_string() const {
    if (!is_v4()) return v6_text(bytes);
    std::string out;
    for (std::size_t i = 12; i < 16; ++i) {
        if (i > 12) out += '.';
        out += std::to_string(bytes[i]);
    }
    return out;
}

std::optional<Cidr> Cidr::parse(std::string_view text) noexcept {
    const auto slash = text.find('/');
    const auto address_text = text.substr(0, slash);
    const auto address = IpAddress::parse(address_text);
    if (!address) return std::nullopt;
    Cidr block{*address, 128};
    if (slash != std::string_view::npos) {
        // The prefix counts in the family in which the address was written: "::ffff:10.0.0.0/104" is 10.0.0.0/8.
        const bool dotted = address_text.find(':') == std::string_view::npos;
        const auto bits = parse_decimal(text.substr(slash + 1), 3, dotted ? 32 : 128);
        if (!bits) return std::nullopt;
        block.prefix_bits = *bits + (dotted ? 96 : 0);
    }
    for (unsigned bit = block.prefix_bits; bit < 128; ++bit) {
        if (block.network.bytes[bit / 8] & (0x80 >> bit % 8)) return std::nullopt;
    }
    return block;
}

bool Cidr::contains(const IpAddress& address) const noexcept {
    // IPv4 is held as IPv4-mapped IPv6. A block such as ::/0 means IPv6 to whoever writes it, so it holds no IPv4.
    if (address.is_v4() && prefix_bits < 96) return false;
    const unsigned whole = prefix_bits / 8;
    if (!std::equal(network.bytes.begin(), network.bytes.begin() + whole, address.bytes.begin())) return false;
    const unsigned rest = prefix_bits % 8;
    if (rest == 0) return true;
    const unsigned mask = 0xff00u >> rest & 0xff;
    return ((network.bytes[whole] ^ address.bytes[whole]) & mask) == 0;
}

std::string Cidr::to_string() const {
    std::string out = network.to_string();
    if (prefix_bits == 128) return out;
    const bool dotted = network.is_v4() && prefix_bits >= 96;
    // A block that holds more than one IPv4 world must not be written with a dotted quad: it would read back narrower.
    if (network.is_v4() && !dotted) out = v6_text(network.bytes);
    return out + '/' + std::to_string(dotted ? prefix_bits - 96 : prefix_bits);
}

std::string Destination::to_string() const {
    const bool brackets = address && !address->is_v4();
    return (brackets ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::optional<std::string> canonical_host_name(std::string_view text) {
    if (!text.empty() && text.back() == '.') text.remove_suffix(1);
    if (text.empty() || text.size() > 253) return std::nullopt;
    for (std::string_view rest = text;;) {
        const auto dot = rest.find('.');
        const auto label = rest.substr(0, dot);
        const bool last = dot == std::string_view::npos;
        if (!is_label(label, !last)) return std::nullopt;
        if (last) {
            const bool numeric = std::all_of(label.begin(), label.end(), is_digit);
            const bool hexadecimal = label.size() >= 2 && label[0] == '0' && lower(label[1]) == 'x';
            if (numeric || hexadecimal) return std::nullopt;
            break;
        }
        rest.remove_prefix(dot + 1);
    }
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

}  // namespace usher::base
