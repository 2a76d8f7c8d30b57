#include "wire/http2/client_session.hpp"

#include <array>
#include <memory>
#include <new>

#include "wire/http2/callbacks.hpp"

namespace usher::wire::http2 {
namespace {

constexpr std::size_t head_bytes_max = 16 * 1024, fields_max = 64;

OptionPtr client_options() {
    nghttp2_option* raw = nullptr;
    if (nghttp2_option_new(&raw) != 0) throw std::bad_alloc();
    OptionPtr options(raw);
    nghttp2_option_set_no_auto_window_update(raw, 1);
    nghttp2_option_set_no_closed_streams(raw, 1);
    nghttp2_option_set_max_outbound_ack(raw, 100);
    return options;
}

int parse_status(std::string_view text) {
    if (text.size() != 3) return 0;
    int status = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return 0;
        status = status * 10 + (c - '0');
    }
    return status;
}

}  // namespace

struct ClientSession::Response final : Stream {
    ResponseHead head;
    std::size_t bytes = 0;
};

std::string_view ResponseHead::field(std::string_view lower_name) const noexcept {
    const std::string* found = nullptr;
    for (const auto& [name, value] : fields) {
        if (name != lower_name) continue;
        if (found != nullptr) return {};
        found = &value;
    }
    return found != nullptr ? std::string_view(*found) : std::string_view();
}

ClientSession::ClientSession(Owner& owner, const FlowLimits& flow)
    : Session(owner, flow, Side::client, client_options().get()), owner_(owner) {
    const std::array<nghttp2_settings_entry, 4> settings{{
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, flow.window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_bytes_max},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096},
    }};
    start(settings);
}

bool ClientSession::may_open() const {
    if (failed() || going_away_) return false;
    return open_streams() < nghttp2_session_get_remote_settings(handle(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

std::int32_t ClientSession::open(const std::vector<nghttp2_nv>& pairs, bool tunnel) {
    if (!may_open()) return -1;
    auto stream = std::make_unique<Response>();
    stream->served = true;
    stream->end = !tunnel;
    const auto provider = provider_of(*stream);
    const auto id =
        nghttp2_submit_request(handle(), nullptr, pairs.data(), pairs.size(), tunnel ? &provider : nullptr, nullptr);
    if (id < 0) {  // stream ids are used up; nothing else is possible here
        going_away_ = true;
        return -1;
    }
    add(id, std::move(stream));
    return id;
}

namespace {
nghttp2_nv secret(nghttp2_nv pair) {
    pair.flags |= NGHTTP2_NV_FLAG_NO_INDEX;  // RFC 7541 §7.1.3
    return pair;
}
}  // namespace

std::int32_t ClientSession::connect(std::string_view authority, std::string_view authorization) {
    return open(
        {pair(":method", "CONNECT"), pair(":authority", authority), secret(pair("proxy-authorization", authorization))},
        true);
}

std::int32_t ClientSession::request(std::string_view method, std::string_view authority, std::string_view path,
                                    std::string_view authorization) {
    return open({pair(":method", method), pair(":scheme", "https"), pair(":authority", authority), pair(":path", path),
                 secret(pair("authorization", authorization))},
                false);
}

void ClientSession::ping() { nghttp2_submit_ping(handle(), NGHTTP2_FLAG_NONE, nullptr); }

void ClientSession::finish() {
    if (failed()) return;
    going_away_ = true;
    nghttp2_submit_goaway(handle(), NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
}

int ClientSession::head_begins(const nghttp2_frame& frame) {
    if (frame.headers.cat == NGHTTP2_HCAT_RESPONSE) return 0;
    // Behind the head: trailers, which nothing that is asked for has; push is switched off.
    reset(frame.hd.stream_id, ErrorCode::protocol_error);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int ClientSession::head_field(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
    Stream* stream = find(frame.hd.stream_id);
    if (stream == nullptr || stream->head_done) return 0;
    auto& response = static_cast<Response&>(*stream);
    response.bytes += name.size() + value.size() + 32;  // as RFC 9113 §6.5.2 counts
    if (response.bytes > head_bytes_max || response.head.fields.size() >= fields_max) {
        reset(frame.hd.stream_id, ErrorCode::protocol_error);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (name == ":status")
        response.head.status = parse_status(value);
    else
        response.head.fields.emplace_back(name, value);
    return 0;
}

void ClientSession::head_complete(std::int32_t id, Stream& stream, bool ended) {
    auto& response = static_cast<Response&>(stream);
    // An interim response would need a head behind it; nothing that is asked for has one.
    if (response.head.status < 200) return reset(id, ErrorCode::protocol_error);
    stream.head_done = true;
    stream.peer_ended = ended;
    owner_.on_response(id, std::move(response.head), ended);
}

void ClientSession::going_away_received() {
    going_away_ = true;
    owner_.on_going_away();
}

}  // namespace usher::wire::http2
