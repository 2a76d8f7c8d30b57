#pragma once
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/net.hpp"

namespace usher::gateway::limits {

/// Whom a connection counts against: its IPv4 address; of IPv6 its /64, which one customer of a provider holds whole,
/// and its /48, which an organisation holds whole (RFC 6177), so that a new /64 for each connection buys no more than
/// `wide_factor` of them.
class Source {
public:
    static constexpr unsigned wide_factor = 16;

    struct Network {
        base::IpAddress key;  ///< with the prefix in the last byte, where it is one of IPv6
        unsigned factor;      ///< how many times the limit of one source it has
    };

    explicit Source(const base::IpAddress& address) noexcept {
        if (address.is_v4()) {
            networks_[count_++] = {address, 1};
            return;
        }
        networks_[count_++] = {masked(address, 64), 1};
        networks_[count_++] = {masked(address, 48), wide_factor};
    }

    std::span<const Network> networks() const noexcept { return {networks_.data(), count_}; }

private:
    static base::IpAddress masked(base::IpAddress address, unsigned prefix) noexcept {
        std::fill(address.bytes.begin() + prefix / 8, address.bytes.end(), std::uint8_t{0});
        address.bytes.back() = static_cast<std::uint8_t>(prefix);
        return address;
    }

    std::array<Network, 2> networks_{};
    std::size_t count_ = 0;
};

/// SipHash with a key of its own: whoever chooses addresses or names cannot choose where they collide.
class KeyedHash {
public:
    KeyedHash() noexcept { crypto_shorthash_keygen(key_.data()); }
    std::size_t operator()(const base::IpAddress& address) const noexcept { return of(address.bytes.data(), 16); }
    std::size_t operator()(std::string_view text) const noexcept { return of(text.data(), text.size()); }

private:
    std::size_t of(const void* bytes, std::size_t size) const noexcept {
        std::array<unsigned char, crypto_shorthash_BYTES> out{};
        crypto_shorthash(out.data(), static_cast<const unsigned char*>(bytes), size, key_.data());
        std::uint64_t value = 0;
        for (const unsigned char byte : out) value = value << 8 | byte;
        return static_cast<std::size_t>(value);
    }
    std::array<unsigned char, crypto_shorthash_KEYBYTES> key_{};
};

}  // namespace usher::gateway::limits
