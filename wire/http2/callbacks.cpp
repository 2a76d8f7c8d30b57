#include "wire/http2/callbacks.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace usher::wire::http2 {
namespace {

/// A DATA frame of this payload is one whole TLS record with its nine bytes of head.
constexpr std::size_t frame_payload = 16 * 1024 - 9;
constexpr std::size_t frame_head = 9;

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

int skip_extension(nghttp2_session*, void**, const nghttp2_frame_hd*, void*) { return NGHTTP2_ERR_CANCEL; }

}  // namespace

int Session::Callbacks::begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    self(user).frame_begins(*head);
    return 0;
}

int Session::Callbacks::begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    return self(user).head_begins(*frame);
}

int Session::Callbacks::header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                               std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                               void* user) {
    return self(user).head_field(*frame, text(name, name_size), text(value, value_size));
}

int Session::Callbacks::frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& s = self(user);
    const std::int32_t id = frame->hd.stream_id;
    const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
        case NGHTTP2_HEADERS:
            if (Stream* stream = s.find(id); stream != nullptr && !stream->head_done)
                s.head_complete(id, *stream, ended);
            break;
        case NGHTTP2_DATA:
            if (Stream* stream = s.find(id); stream != nullptr) {
                if (frame->hd.length > 0) s.data_moved();
                if (!ended || std::exchange(stream->peer_ended, true)) break;
                if (stream->served) s.owner_.on_end(id);
            }
            break;
        case NGHTTP2_WINDOW_UPDATE:
            s.owner_.on_window(id);
            break;
        case NGHTTP2_SETTINGS:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) s.owner_.on_window(0);
            break;
        case NGHTTP2_GOAWAY:
            s.going_away_received();
            break;
        case NGHTTP2_PING:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) s.pong_received();
            break;
        default:
            break;
    }
    return 0;
}

int Session::Callbacks::invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS) self(user).head_invalid();
    return 0;
}

/// nghttp2 would drop such a field and serve the rest.
int Session::Callbacks::invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                                       const std::uint8_t*, std::size_t, std::uint8_t, void* user) {
    auto& s = self(user);
    s.head_invalid();
    nghttp2_submit_rst_stream(s.session_, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int Session::Callbacks::data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                                   std::size_t size, void* user) {
    auto& s = self(user);
    Stream* stream = s.find(id);
    if (stream == nullptr || !stream->served) {  // on its way while the stream ended, or behind a refusal
        nghttp2_session_consume_connection(s.session_, size);
        return 0;
    }
    stream->unread += size;
    s.buffered_ += size;
    if (s.buffered_ <= s.flow_.buffered)
        nghttp2_session_consume_connection(s.session_, size);
    else
        s.owed_ += size;
    s.owner_.on_data(id, text(data, size));
    return 0;
}

int Session::Callbacks::frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& s = self(user);
    const std::int32_t id = frame->hd.stream_id;
    // nghttp2 ends the connection by itself for what RFC 9113 calls a connection error.
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && s.failure_.empty())
        s.failure_ = "http2-protocol";
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        if (Stream* stream = s.find(id)) s.end_sent(id, *stream);
    }
    return 0;
}

int Session::Callbacks::stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
    auto& s = self(user);
    const auto found = s.streams_.find(id);
    if (found == s.streams_.end()) return 0;
    const auto stream = std::move(found->second);
    s.streams_.erase(found);
    const std::size_t unsent = stream->pending.size();
    s.let_go(*stream);
    s.buffered_ -= stream->unread;
    if (s.owed_ > 0) {
        const std::size_t back = std::min(s.owed_, stream->unread);
        s.owed_ -= back;
        nghttp2_session_consume_connection(s.session_, back);
    }
    s.stream_over(*stream, code);
    if (stream->served) s.owner_.on_closed(id, code != NGHTTP2_NO_ERROR, unsent);
    return 0;
}

ssize_t Session::Callbacks::read(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length,
                                 std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    if (stream.pending.empty() && !stream.end) {
        stream.deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    const std::size_t n = std::min(length, stream.pending.size());
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream.end && n == stream.pending.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
}

ssize_t Session::Callbacks::read_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t session_window,
                                        std::int32_t stream_window, std::uint32_t frame_size, void*) {
    const auto window = std::max(0, std::min(session_window, stream_window));
    return static_cast<ssize_t>(
        std::min({static_cast<std::size_t>(window), static_cast<std::size_t>(frame_size), frame_payload}));
}

int Session::Callbacks::send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t length,
                                  nghttp2_data_source* source, void* user) {
    auto& s = self(user);
    auto& stream = *static_cast<Stream*>(source->ptr);
    if (length > stream.pending.size()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // reset() came between
    if (s.out_.size() - s.out_used_ < frame_head + length) {
        s.out_full_ = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    char* to = s.out_.data() + s.out_used_;
    std::memcpy(to, head, frame_head);
    if (length > 0) std::memcpy(to + frame_head, stream.pending.data(), length);
    s.out_used_ += frame_head + length;
    stream.pending.remove_prefix(length);
    s.pending_total_ -= length;
    if (length > 0) s.data_moved();
    if (length > 0 && stream.pending.empty() && stream.served) s.owner_.on_sent(frame->hd.stream_id);
    return 0;
}

CallbacksPtr Session::Callbacks::make() {
    nghttp2_session_callbacks* raw = nullptr;
    if (nghttp2_session_callbacks_new(&raw) != 0) throw std::bad_alloc();
    CallbacksPtr made(raw);
    nghttp2_session_callbacks_set_on_begin_frame_callback(raw, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(raw, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(raw, header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(raw, frame_received);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(raw, invalid_frame);
    nghttp2_session_callbacks_set_on_invalid_header_callback(raw, invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw, data_chunk);
    nghttp2_session_callbacks_set_unpack_extension_callback(raw, skip_extension);
    nghttp2_session_callbacks_set_on_frame_send_callback(raw, frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(raw, stream_closed);
    nghttp2_session_callbacks_set_send_data_callback(raw, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(raw, read_length);
    return made;
}

}  // namespace usher::wire::http2
