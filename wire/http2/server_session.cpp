#include "wire/http2/server_session.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "base/secret.hpp"

namespace usher::wire::http2 {
namespace {

/// A DATA frame of this payload is one whole TLS record with its nine bytes of head.
constexpr std::size_t frame_payload = 16 * 1024 - 9;
constexpr std::size_t frame_head = 9;
/// What a frame with bytes of a tunnel, and a stream that ends properly, pay for: a client may open both windows behind
/// each frame, and has a few words to say about each stream.
constexpr std::uint64_t control_per_data = 2, control_per_stream = 4;
/// Decoding goes on behind a head that is refused, for the tables' sake, but not without end (HPACK bombs).
constexpr std::size_t decoded_bytes_max = 16 * RequestBuilder::head_bytes_max;
/// A window that is turned over faster than this is too small for its path.
constexpr base::Microseconds window_time{500'000};

nghttp2_nv pair(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
        return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 only reads them
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::uint32_t number(ErrorCode code) { return static_cast<std::uint32_t>(code); }

template <class T, void (*Delete)(T*)>
struct Deleter {
    void operator()(T* pointer) const { Delete(pointer); }
};
using OptionPtr = std::unique_ptr<nghttp2_option, Deleter<nghttp2_option, nghttp2_option_del>>;
using CallbacksPtr =
    std::unique_ptr<nghttp2_session_callbacks, Deleter<nghttp2_session_callbacks, nghttp2_session_callbacks_del>>;

}  // namespace

struct ServerSession::Callbacks {
    static ServerSession& self(void* user) { return *static_cast<ServerSession*>(user); }

    static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
        auto& s = self(user);
        const bool known = s.find(head->stream_id) != nullptr;
        const auto last = nghttp2_session_get_last_proc_stream_id(s.session_);
        bool costs = false;
        switch (head->type) {
            case NGHTTP2_DATA:
                costs = !known || (head->length == 0 && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0);
                break;
            case NGHTTP2_HEADERS:
                costs = !known && head->stream_id <= last;  // nghttp2 ignores what comes late
                if (!known && !costs && s.streams_.size() >= s.limits_.streams) (void)s.spend(s.resets_);
                break;
            case NGHTTP2_RST_STREAM:
                costs = !known;
                break;
            case NGHTTP2_CONTINUATION:
                break;  // nghttp2 counts them
            default:
                costs = true;
        }
        if (costs) (void)s.spend(s.control_);
        return 0;
    }

    static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& s = self(user);
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
            // Trailers: nothing that is served here has any, and a tunnel must not (RFC 9113 §8.5).
            s.reset(frame->hd.stream_id, ErrorCode::protocol_error);
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        auto stream = std::make_unique<Stream>();
        stream->window = s.limits_.window;
        s.streams_.insert_or_assign(frame->hd.stream_id, std::move(stream));
        return 0;
    }

    static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
        auto& s = self(user);
        Stream* stream = s.find(frame->hd.stream_id);
        if (stream == nullptr || stream->head_done) return 0;
        stream->builder.add({reinterpret_cast<const char*>(name), name_size},
                            {reinterpret_cast<const char*>(value), value_size});
        if (stream->builder.bytes() > decoded_bytes_max) s.fatal(ErrorCode::enhance_your_calm);
        return s.failed_ ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
    }

    static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
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
                    if (frame->hd.length > 0) s.control_.refund(control_per_data);
                    if (!ended || std::exchange(stream->client_ended, true)) break;
                    if (stream->served) s.owner_.on_end(id);
                }
                break;
            case NGHTTP2_WINDOW_UPDATE:
                s.owner_.on_window(id);
                break;
            case NGHTTP2_SETTINGS:
                if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) s.owner_.on_window(0);
                break;
            default:
                break;
        }
        return 0;
    }

    static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
        auto& s = self(user);
        if (frame->hd.type == NGHTTP2_HEADERS) s.owner_.on_rejected({400, "http2-headers"});
        return 0;
    }

    /// nghttp2 would drop such a field and serve the rest.
    static int invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                              const std::uint8_t*, std::size_t, std::uint8_t, void* user) {
        auto& s = self(user);
        s.owner_.on_rejected({400, "http2-headers"});
        nghttp2_submit_rst_stream(s.session_, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }

    static int skip_extension(nghttp2_session*, void**, const nghttp2_frame_hd*, void*) { return NGHTTP2_ERR_CANCEL; }

    static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                          void* user) {
        auto& s = self(user);
        Stream* stream = s.find(id);
        if (stream == nullptr || !stream->served) {  // on its way while the stream ended, or behind a refusal
            nghttp2_session_consume_connection(s.session_, size);
            return 0;
        }
        stream->unread += size;
        s.buffered_ += size;
        if (s.buffered_ <= s.limits_.buffered)
            nghttp2_session_consume_connection(s.session_, size);
        else
            s.owed_ += size;
        s.owner_.on_data(id, {reinterpret_cast<const char*>(data), size});
        return 0;
    }

    static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& s = self(user);
        const std::int32_t id = frame->hd.stream_id;
        // nghttp2 ends the connection by itself for what RFC 9113 calls a connection error.
        if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && s.failure_.empty())
            s.failure_ = "http2-protocol";
        if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            // A whole answer to a request that is still being sent: the client need not finish it (RFC 9113 §8.1).
            if (Stream* stream = s.find(id); stream != nullptr && stream->finish_with_reset && !stream->client_ended)
                s.reset(id, ErrorCode::no_error);
        }
        return 0;
    }

    static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
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
        base::wipe(stream->content);  // a token may be in it
        if (code == NGHTTP2_NO_ERROR) {
            s.resets_.refund(1);
            s.control_.refund(control_per_stream);
        } else if (!stream->reset_here) {
            (void)s.spend(s.resets_);
        }
        if (stream->served) s.owner_.on_closed(id, code != NGHTTP2_NO_ERROR, unsent);
        return 0;
    }

    /// How much of `length` there is; the bytes themselves go in send_data().
    static ssize_t read(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length, std::uint32_t* flags,
                        nghttp2_data_source* source, void*) {
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

    static ssize_t read_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t session_window,
                               std::int32_t stream_window, std::uint32_t frame_size, void*) {
        const auto window = std::max(0, std::min(session_window, stream_window));
        return static_cast<ssize_t>(
            std::min({static_cast<std::size_t>(window), static_cast<std::size_t>(frame_size), frame_payload}));
    }

    static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t length,
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
        if (length > 0) s.control_.refund(control_per_data);
        if (length > 0 && stream.pending.empty() && stream.served) s.owner_.on_sent(frame->hd.stream_id);
        return 0;
    }

    static CallbacksPtr make() {
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
};

ServerSession::ServerSession(Owner& owner, Limits limits)
    : owner_(owner),
      limits_(limits),
      control_(limits.control_burst, limits.control_per_second),
      resets_(limits.resets_burst, limits.resets_per_second) {
    const auto callbacks = Callbacks::make();
    nghttp2_option* raw = nullptr;
    if (nghttp2_option_new(&raw) != 0) throw std::bad_alloc();
    const OptionPtr options(raw);
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
    if (nghttp2_session_server_new2(&session_, callbacks.get(), this, raw) != 0) throw std::bad_alloc();

    const std::array<nghttp2_settings_entry, 5> settings{{
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RequestBuilder::head_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096},
    }};
    if (nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0 ||
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              static_cast<std::int32_t>(limits_.connection_window)) != 0)
        throw std::bad_alloc();
}

ServerSession::~ServerSession() {
    nghttp2_session_del(session_);
    for (auto& [id, stream] : streams_) base::wipe(stream->content);
}

ServerSession::Stream* ServerSession::find(std::int32_t id) const {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
}

bool ServerSession::spend(Budget& budget) {
    if (failed_) return false;
    if (budget.spend(now_)) return true;
    fatal(ErrorCode::enhance_your_calm);
    return false;
}

/// The connection ends: GOAWAY is the last thing that is sent.
void ServerSession::fatal(ErrorCode code) {
    if (failed_) return;
    failed_ = true;
    failure_ = code == ErrorCode::enhance_your_calm ? "http2-flood" : "http2-protocol";
    nghttp2_session_terminate_session(session_, number(code));
}

void ServerSession::head_complete(std::int32_t id, Stream& stream, bool ended) {
    stream.head_done = true;
    stream.client_ended = ended;
    stream.builder.finish();
    if (const auto& rejection = stream.builder.rejection()) {
        const http1::Rejection copy = *rejection;
        http1::Response response(copy.status);
        response.no_store().text(copy.reason);
        respond(id, response);
        owner_.on_rejected(copy);
        return;
    }
    auto& request = stream.builder.request();
    if (ended && request.content_length > 0) return reset(id, ErrorCode::protocol_error);
    http1::Request taken = std::move(request);
    request = {};
    // Whoever asks for little at a time shall not wait for those who ask for much.
    const nghttp2_extpri turns{NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
    nghttp2_session_change_extpri_stream_priority(session_, id, &turns, 1);
    stream.served = true;
    owner_.on_request(id, std::move(taken), ended);
}

bool ServerSession::receive(std::string_view bytes, base::MonoTime now) {
    now_ = now;
    while (!bytes.empty() && !failed_) {
        const auto n =
            nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        if (n < 0) {
            // What nghttp2 counts by itself (CONTINUATION, SETTINGS, acknowledgements) comes out here.
            fatal(n == NGHTTP2_ERR_FLOODED || n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS ? ErrorCode::enhance_your_calm
                                                                                      : ErrorCode::protocol_error);
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return !failed_ && nghttp2_session_want_read(session_) != 0;
}

std::size_t ServerSession::fill(std::span<char> out) {
    out_ = out;
    out_used_ = 0;
    out_full_ = false;
    for (;;) {
        const std::size_t n = std::min(leftover_.size(), out_.size() - out_used_);
        if (n > 0) std::memcpy(out_.data() + out_used_, leftover_.data(), n);
        out_used_ += n;
        leftover_.remove_prefix(n);
        if (!leftover_.empty() || out_full_) break;
        const std::uint8_t* data = nullptr;
        const auto size = nghttp2_session_mem_send(session_, &data);
        if (size < 0) {
            failed_ = true;
            failure_ = "http2-protocol";
            break;
        }
        if (size > 0)
            leftover_ = {reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)};
        else if (nghttp2_session_want_write(session_) == 0 || out_full_)
            break;
    }
    out_ = {};
    return out_used_;
}

bool ServerSession::wants_write() const { return !leftover_.empty() || nghttp2_session_want_write(session_) != 0; }

bool ServerSession::over() const {
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0 && leftover_.empty();
}

void ServerSession::drain() {
    if (!failed_)
        nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                              NGHTTP2_NO_ERROR, nullptr, 0);
}

void ServerSession::respond(std::int32_t id, const http1::Response& response) {
    Stream* stream = find(id);
    if (stream == nullptr) return;
    const std::string status = std::to_string(response.status());
    const auto fields = response.fields();
    std::vector<nghttp2_nv> pairs{pair(":status", status)};
    for (const auto& field : fields)
        if (field.name != "connection") pairs.push_back(pair(field.name, field.value));
    stream->content = response.content();
    stream->pending = stream->content;
    pending_total_ += stream->content.size();
    stream->end = true;
    stream->finish_with_reset = true;
    nghttp2_data_provider provider{{}, Callbacks::read};
    provider.source.ptr = stream;
    nghttp2_submit_response(session_, id, pairs.data(), pairs.size(), stream->content.empty() ? nullptr : &provider);
}

void ServerSession::establish(std::int32_t id) {
    Stream* stream = find(id);
    if (stream == nullptr) return;
    const nghttp2_nv status = pair(":status", "200");
    nghttp2_data_provider provider{{}, Callbacks::read};
    provider.source.ptr = stream;
    nghttp2_submit_response(session_, id, &status, 1, &provider);
}

std::size_t ServerSession::room(std::int32_t id) const {
    const Stream* stream = find(id);
    if (stream == nullptr || !stream->pending.empty() || stream->end) return 0;
    const std::int64_t of_stream = nghttp2_session_get_stream_remote_window_size(session_, id);
    const std::int64_t of_connection =
        nghttp2_session_get_remote_window_size(session_) - static_cast<std::int64_t>(pending_total_);
    return static_cast<std::size_t>(std::max<std::int64_t>(0, std::min(of_stream, of_connection)));
}

void ServerSession::send(std::int32_t id, std::string_view bytes) {
    Stream* stream = find(id);
    if (stream == nullptr || bytes.empty()) return;
    stream->pending = bytes;
    pending_total_ += bytes.size();
    resume(id, *stream);
}

std::size_t ServerSession::unsent(std::int32_t id) const {
    const Stream* stream = find(id);
    return stream == nullptr ? 0 : stream->pending.size();
}

void ServerSession::end(std::int32_t id) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->end) return;
    stream->end = true;
    resume(id, *stream);
}

void ServerSession::resume(std::int32_t id, Stream& stream) {
    if (!std::exchange(stream.deferred, false)) return;
    nghttp2_session_resume_data(session_, id);
}

void ServerSession::consumed(std::int32_t id, std::size_t bytes, base::MonoTime now) {
    Stream* stream = find(id);
    if (stream == nullptr || bytes == 0) return;
    bytes = std::min(bytes, stream->unread);
    stream->unread -= bytes;
    buffered_ -= bytes;
    if (owed_ > 0) {
        const std::size_t back = std::min(owed_, bytes);
        owed_ -= back;
        nghttp2_session_consume_connection(session_, back);
    }
    nghttp2_session_consume_stream(session_, id, bytes);
    stream->turnover += bytes;
    if (stream->turnover < stream->window) return;
    if (stream->window < limits_.window_max && now - stream->turned_at < window_time) {
        stream->window = std::min(stream->window * 2, limits_.window_max);
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, id,
                                              static_cast<std::int32_t>(stream->window));
    }
    stream->turnover = 0;
    stream->turned_at = now;
}

void ServerSession::reset(std::int32_t id, ErrorCode code) {
    if (Stream* stream = find(id)) {
        stream->reset_here = code != ErrorCode::protocol_error;
        let_go(*stream);
    }
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, number(code));
}

void ServerSession::drop(std::int32_t id) {
    if (Stream* stream = find(id)) let_go(*stream);
}

void ServerSession::let_go(Stream& stream) {
    stream.end = true;
    if (stream.pending.empty()) return;
    pending_total_ -= stream.pending.size();
    stream.pending = {};
    owner_.on_window(0);  // what it had taken of the connection's window is there for the others
}

}  // namespace usher::wire::http2
