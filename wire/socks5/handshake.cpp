#include "wire/socks5/handshake.hpp"

#include <algorithm>
#include <utility>

namespace usher::wire::socks5 {
namespace {

constexpr unsigned char version = 5;
constexpr unsigned char no_authentication = 0, no_acceptable_method = 0xff;
constexpr unsigned char command_connect = 1;
constexpr unsigned char type_ipv4 = 1, type_name = 3, type_ipv6 = 4;

unsigned char at(std::string_view message, std::size_t i) { return static_cast<unsigned char>(message[i]); }

}  // namespace

std::string Handshake::answer(Reply reply) {
    std::string out(10, '\0');
    out[0] = static_cast<char>(version);
    out[1] = static_cast<char>(reply);
    out[3] = static_cast<char>(type_ipv4);
    return out;
}

std::string Handshake::take_output() { return std::exchange(output_, {}); }

Handshake::State Handshake::feed(std::string_view bytes, std::size_t& consumed) {
    consumed = 0;
    while (state_ == State::need_more && consumed < bytes.size()) take(static_cast<unsigned char>(bytes[consumed++]));
    return state_;
}

void Handshake::refuse(std::string_view answer, std::string_view reason) {
    output_.append(answer);
    reason_ = reason;
    state_ = State::refused;
}

/// Each byte is judged as it comes, so that what is no SOCKS5 is refused at its first wrong byte.
void Handshake::take(unsigned char byte) {
    message_.push_back(static_cast<char>(byte));
    const std::size_t n = message_.size();
    if (n == 1 && byte != version) return refuse({}, "no-socks5");
    if (!greeted_) {
        if (n == 2 && byte == 0) return end_greeting();
        if (n > 2 && n == 2u + at(message_, 1)) end_greeting();
        return;
    }
    if (n == 2 && byte != command_connect) return refuse(answer(Reply::command_not_supported), "command-not-supported");
    if (n == 3 && byte != 0) return refuse(answer(Reply::general_failure), "reserved-byte");
    if (n == 4 && byte != type_ipv4 && byte != type_name && byte != type_ipv6)
        return refuse(answer(Reply::address_type_not_supported), "address-type-not-supported");
    if (n == 5 && at(message_, 3) == type_name && byte == 0)
        return refuse(answer(Reply::general_failure), "name-malformed");
    if (n >= 5 && n == request_size()) end_request();
}

void Handshake::end_greeting() {
    const auto methods = std::string_view(message_).substr(2);
    if (methods.find(static_cast<char>(no_authentication)) == std::string_view::npos)
        return refuse(std::string{static_cast<char>(version), static_cast<char>(no_acceptable_method)},
                      "no-acceptable-method");
    output_ += static_cast<char>(version);
    output_ += static_cast<char>(no_authentication);
    greeted_ = true;
    message_.clear();
}

std::size_t Handshake::request_size() const {
    switch (at(message_, 3)) {
        case type_ipv4:
            return 4 + 4 + 2;
        case type_ipv6:
            return 4 + 16 + 2;
        default:
            return 4 + 1 + at(message_, 4) + 2u;
    }
}

void Handshake::end_request() {
    const std::string_view message = message_;
    const auto port =
        static_cast<std::uint16_t>(at(message, message.size() - 2) << 8 | at(message, message.size() - 1));
    const auto host = message.substr(4, message.size() - 6);
    if (port == 0) return refuse(answer(Reply::general_failure), "port-zero");

    base::Destination destination;
    destination.port = port;
    if (at(message, 3) == type_name) {
        const auto name = host.substr(1);
        // Some clients send an address in text, without brackets.
        destination.address = base::IpAddress::parse(name);
        if (!destination.address) {
            auto canonical = base::canonical_host_name(name);
            if (!canonical) return refuse(answer(Reply::general_failure), "name-malformed");
            destination.host = std::move(*canonical);
        }
    } else {
        base::IpAddress address;
        if (host.size() == 4) address = base::IpAddress::v4(0);  // ::ffff:0:0/96
        std::transform(host.begin(), host.end(), address.bytes.end() - static_cast<std::ptrdiff_t>(host.size()),
                       [](char c) { return static_cast<std::uint8_t>(c); });
        destination.address = address;
    }
    if (destination.address) destination.host = destination.address->to_string();
    destination_ = std::move(destination);
    state_ = State::request;
}

}  // namespace usher::wire::socks5
