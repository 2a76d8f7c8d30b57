#include "clients/usher/up/request_body.hpp"

#include <algorithm>

namespace usher::clients::agent {
namespace {

constexpr std::size_t extension_limit = 256, trailers_limit = 8 * 1024;

int hexadecimal(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

RequestBody::RequestBody(const BodyFraming& framing) : kind_(framing.kind), left_(framing.length) {
    over_ = kind_ == BodyFraming::Kind::none || (kind_ == BodyFraming::Kind::length && left_ == 0);
}

std::size_t RequestBody::take(std::string_view bytes) {
    std::size_t taken = 0;
    while (taken < bytes.size() && !over_ && !malformed_) {
        if (kind_ == BodyFraming::Kind::length || step_ == Step::data) {
            const auto n = std::min<std::uint64_t>(left_, bytes.size() - taken);
            taken += static_cast<std::size_t>(n);
            left_ -= n;
            if (left_ > 0) continue;
            if (kind_ == BodyFraming::Kind::length)
                over_ = true;
            else
                step_ = Step::data_return;
            continue;
        }
        take_framing(bytes[taken]);
        if (!malformed_) ++taken;
    }
    return taken;
}

void RequestBody::take_framing(char c) {
    switch (step_) {
        case Step::size:
            if (const int digit = hexadecimal(c); digit >= 0) {
                if (++digits_ > 15) return fail();
                left_ = left_ * 16 + static_cast<unsigned>(digit);
                return;
            }
            if (digits_ == 0) return fail();
            line_bytes_ = 0;
            if (c == ';') {
                step_ = Step::extension;
            } else if (c == '\r') {
                step_ = Step::size_line_feed;
            } else {
                fail();
            }
            return;
        case Step::extension:
            if (c == '\r') {
                step_ = Step::size_line_feed;
            } else if (c == '\n' || ++line_bytes_ > extension_limit) {
                fail();
            }
            return;
        case Step::size_line_feed:
            if (c != '\n') return fail();
            line_bytes_ = 0;
            line_empty_ = true;
            step_ = left_ > 0 ? Step::data : Step::trailer;
            return;
        case Step::data_return:
            if (c != '\r') return fail();
            step_ = Step::data_line_feed;
            return;
        case Step::data_line_feed:
            if (c != '\n') return fail();
            digits_ = 0;
            step_ = Step::size;
            return;
        case Step::trailer:
            if (c == '\n' || ++line_bytes_ > trailers_limit) return fail();
            if (c == '\r')
                step_ = Step::trailer_line_feed;
            else
                line_empty_ = false;
            return;
        case Step::trailer_line_feed:
            if (c != '\n') return fail();
            if (line_empty_) {
                over_ = true;
            } else {
                line_empty_ = true;
                step_ = Step::trailer;
            }
            return;
        case Step::data:
            return;  // taken in one piece by take()
    }
}

}  // namespace usher::clients::agent
