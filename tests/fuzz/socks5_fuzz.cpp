#include "tests/fuzz/require.hpp"
#include "wire/socks5/handshake.hpp"

using usher::fuzz::require;
using usher::wire::socks5::Handshake;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = usher::fuzz::text_of(data, size);
    Handshake whole, pieces;
    std::size_t consumed = 0;
    const auto state = whole.feed(bytes, consumed);
    require(consumed <= bytes.size());
    require(state != Handshake::State::need_more || consumed == bytes.size());
    std::size_t at = 0;
    while (at < bytes.size() && pieces.state() == Handshake::State::need_more) {
        std::size_t n = 0;
        pieces.feed(bytes.substr(at, 1), n);
        at += n;
    }
    require(pieces.state() == state && at == consumed && pieces.reason() == whole.reason());
    require(pieces.take_output() == whole.take_output());
    if (state == Handshake::State::request) {
        const auto& destination = whole.destination();
        require(destination.port != 0 && destination == pieces.destination());
        // What is carried on is one thing in every spelling.
        if (destination.address)
            require(usher::base::IpAddress::parse(destination.host) == destination.address);
        else
            require(usher::base::canonical_host_name(destination.host) == destination.host);
    }
    return 0;
}
