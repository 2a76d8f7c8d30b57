#pragma once
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/net.hpp"

namespace usher::test {

/// A small DNS server (RFC 1035) over UDP on loopback, run by the test's own io_context.
class DnsServer {
public:
    struct Answer {
        std::uint8_t rcode = 0;  ///< 3: no such name
        std::vector<base::IpAddress> addresses;
        std::uint32_t ttl_s = 0;
    };
    /// Answers a question, or stays silent.
    using Handler = std::function<std::optional<Answer>(const std::string& name)>;

    DnsServer(boost::asio::io_context& io, Handler handler)
        : socket_(io, {boost::asio::ip::make_address("127.0.0.1"), 0}), handler_(std::move(handler)) {
        receive();
    }

    /// From now on questions of one family get no answer.
    void stay_silent(bool for_v6) { silent_for_v6_ = for_v6; }

    std::string address() const { return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port()); }
    /// Questions about a name, of both address types.
    int questions(const std::string& name) const {
        const auto found = questions_.find(name);
        return found == questions_.end() ? 0 : found->second;
    }

private:
    void receive() {
        socket_.async_receive_from(boost::asio::buffer(bytes_), peer_,
                                   [this](boost::system::error_code error, std::size_t size) {
                                       if (error) return;
                                       answer(size);
                                       receive();
                                   });
    }

    void answer(std::size_t size) {
        std::string name;
        std::size_t at = 12;
        while (at < size && bytes_[at] != 0) {
            const std::size_t length = bytes_[at++];
            if (!name.empty()) name += '.';
            while (name.size() < 300 && at < size && length > 0) {
                name.append(reinterpret_cast<const char*>(&bytes_[at]), length);
                break;
            }
            at += length;
        }
        if (at + 5 > size) return;
        const bool wants_v6 = bytes_[at + 2] == 28;
        ++questions_[name];
        if (silent_for_v6_ == wants_v6) return;
        const auto given = handler_(name);
        if (!given) return;

        std::vector<std::uint8_t> out(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(at + 5));
        out[2] = 0x81;
        out[3] = static_cast<std::uint8_t>(0x80 | given->rcode);
        out[6] = out[7] = out[8] = out[9] = out[10] = out[11] = 0;
        for (const auto& address : given->addresses) {
            if (address.is_v4() == wants_v6) continue;
            ++out[7];
            const std::size_t length = wants_v6 ? 16 : 4;
            out.insert(out.end(), {0xc0, 0x0c, 0, static_cast<std::uint8_t>(wants_v6 ? 28 : 1), 0, 1});
            for (int shift = 24; shift >= 0; shift -= 8)
                out.push_back(static_cast<std::uint8_t>(given->ttl_s >> shift));
            out.insert(out.end(), {0, static_cast<std::uint8_t>(length)});
            out.insert(out.end(), address.bytes.end() - static_cast<std::ptrdiff_t>(length), address.bytes.end());
        }
        boost::system::error_code ignored;  // a client that is gone needs no answer
        socket_.send_to(boost::asio::buffer(out), peer_, 0, ignored);
    }

    boost::asio::ip::udp::socket socket_;
    boost::asio::ip::udp::endpoint peer_;
    Handler handler_;
    std::array<std::uint8_t, 1500> bytes_{};
    std::map<std::string, int> questions_;
    std::optional<bool> silent_for_v6_;
};

}  // namespace usher::test
