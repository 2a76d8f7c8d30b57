#include "wire/http2/server_session.hpp"

#include <array>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.hpp"
#include "wire/http2/callbacks.hpp"

namespace usher::wire::http2 {
namespace {

/// What a frame with bytes of a tunnel, and a stream that ends properly, pay for: a client may open both windows behind
/// each frame, and has a few words to say about each stream.
constexpr std::uint64_t control_per_data = 2, control_per_stream = 4;
/// Decoding goes on behind a head that is refused, for the tables' sake, but not without end (HPACK bombs).
constexpr std::size_t decoded_bytes_max = 16 * RequestBuilder::head_bytes_max;

OptionPtr server_options() {
    nghttp2_option* raw = nullptr;
    if (nghttp2_option_new(&raw) != 0) throw std::bad_alloc();
    OptionPtr options(raw);
    nghttp2_option_set_no_auto_window_update(raw, 1);
    nghttp2_option_set_no_closed_streams(raw, 1);
    nghttp2_option_set_max_outbound_ack(raw, 100);
    nghttp2_option_set_max_settings(raw, 16);
    // Ours counts what nghttp2's would not, and lets those who work go on.
    nghttp2_option_set_stream_reset_rate_limit(raw, 1u << 30, 1u << 20);
    // Frames of unknown types are ignored (RFC 9113 §5.5), but counted: without this nghttp2 would not tell of them.
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= 255; ++type)
        nghttp2_option_set_user_recv_extension_type(raw, static_cast<std::uint8_t>(type));
    nghttp2_option_set_max_reserved_remote_streams(raw, 0);
    return options;
}

}  // namespace

/// A stream with the request that opened it.
struct ServerSession::Request final : Stream {
    ~Request() override { base::wipe(content); }                                   // a token may be in it
    std::unique_ptr<RequestBuilder> builder = std::make_unique<RequestBuilder>();  ///< until the head is whole
    std::string content;                                                           ///< of a whole response
    bool finish_with_reset = false;
};

ServerSession::ServerSession(Owner& owner, Limits limits)
    : Session(owner, limits.flow, Side::server, server_options().get()),
      owner_(owner),
      limits_(limits),
      control_(limits.control_burst, limits.control_per_second),
      resets_(limits.resets_burst, limits.resets_per_second) {
    const std::array<nghttp2_settings_entry, 5> settings{{
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, flow().window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RequestBuilder::head_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096},
    }};
    start(settings);
}

void ServerSession::spend(Budget& budget) {
    if (!failed() && !budget.spend(now())) fatal(ErrorCode::enhance_your_calm, "http2-flood");
}

void ServerSession::frame_begins(const nghttp2_frame_hd& head) {
    const bool known = find(head.stream_id) != nullptr;
    bool costs = false;
    switch (head.type) {
        case NGHTTP2_DATA:
            costs = !known || (head.length == 0 && (head.flags & NGHTTP2_FLAG_END_STREAM) == 0);
            break;
        case NGHTTP2_HEADERS:
            // nghttp2 ignores what comes late.
            costs = !known && head.stream_id <= nghttp2_session_get_last_proc_stream_id(handle());
            if (!known && !costs && open_streams() >= limits_.streams) {
                spend(resets_);
                owner_.on_stream_refused();
            }
            break;
        case NGHTTP2_RST_STREAM:
            costs = !known;
            break;
        case NGHTTP2_CONTINUATION:
            break;  // nghttp2 counts them
        default:
            costs = true;
    }
    if (costs) spend(control_);
}

int ServerSession::head_begins(const nghttp2_frame& frame) {
    if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) {
        // Trailers: nothing that is served here has any, and a tunnel must not (RFC 9113 §8.5).
        reset(frame.hd.stream_id, ErrorCode::protocol_error);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    add(frame.hd.stream_id, std::make_unique<Request>());
    return 0;
}

int ServerSession::head_field(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
    Stream* stream = find(frame.hd.stream_id);
    if (stream == nullptr || stream->head_done) return 0;
    auto& builder = *static_cast<Request&>(*stream).builder;
    builder.add(name, value);
    if (builder.bytes() > decoded_bytes_max) fatal(ErrorCode::enhance_your_calm, "http2-flood");
    return failed() ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

void ServerSession::head_complete(std::int32_t id, Stream& stream, bool ended) {
    const auto builder = std::move(static_cast<Request&>(stream).builder);
    stream.head_done = true;
    stream.peer_ended = ended;
    builder->finish();
    if (const auto& rejection = builder->rejection()) {
        const http1::Rejection copy = *rejection;
        http1::Response response(copy.status);
        response.no_store().text(copy.reason);
        respond(id, response);
        owner_.on_rejected(copy);
        return;
    }
    auto& request = builder->request();
    if (ended && request.content_length > 0) return reset(id, ErrorCode::protocol_error);
    http1::Request taken = std::move(request);
    request = {};
    // Whoever asks for little at a time shall not wait for those who ask for much.
    const nghttp2_extpri turns{NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
    nghttp2_session_change_extpri_stream_priority(handle(), id, &turns, 1);
    stream.served = true;
    owner_.on_request(id, std::move(taken), ended);
}

void ServerSession::data_moved() { control_.refund(control_per_data); }

void ServerSession::end_sent(std::int32_t id, Stream& stream) {
    // A whole answer to a request that is still being sent: the client need not finish it (RFC 9113 §8.1).
    if (static_cast<Request&>(stream).finish_with_reset && !stream.peer_ended) reset(id, ErrorCode::no_error);
}

void ServerSession::stream_over(Stream& stream, std::uint32_t code) {
    if (code == NGHTTP2_NO_ERROR) {
        resets_.refund(1);
        control_.refund(control_per_stream);
    } else if (!stream.reset_here) {
        spend(resets_);
    }
}

void ServerSession::drain() {
    if (!failed())
        nghttp2_submit_goaway(handle(), NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(handle()),
                              NGHTTP2_NO_ERROR, nullptr, 0);
}

void ServerSession::respond(std::int32_t id, const http1::Response& response) {
    Stream* stream = find(id);
    if (stream == nullptr) return;
    auto& request = static_cast<Request&>(*stream);
    const std::string status = std::to_string(response.status());
    const auto fields = response.fields();
    std::vector<nghttp2_nv> pairs{pair(":status", status)};
    for (const auto& field : fields)
        if (field.name != "connection") pairs.push_back(pair(field.name, field.value));
    request.content = response.content();
    preload(request, request.content);
    request.end = true;
    request.finish_with_reset = true;
    const auto provider = provider_of(request);
    nghttp2_submit_response(handle(), id, pairs.data(), pairs.size(), request.content.empty() ? nullptr : &provider);
}

void ServerSession::establish(std::int32_t id) {
    Stream* stream = find(id);
    if (stream == nullptr) return;
    const nghttp2_nv status = pair(":status", "200");
    const auto provider = provider_of(*stream);
    nghttp2_submit_response(handle(), id, &status, 1, &provider);
}

}  // namespace usher::wire::http2
