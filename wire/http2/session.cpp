#include "wire/http2/session.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "wire/http2/callbacks.hpp"

namespace usher::wire::http2 {
namespace {

/// A window that is turned over faster than this is too small for its path.
constexpr base::Microseconds window_time{500'000};

std::uint32_t number(ErrorCode code) { return static_cast<std::uint32_t>(code); }

}  // namespace

Session::Session(Owner& owner, const FlowLimits& flow, Side side, nghttp2_option* option) : owner_(owner), flow_(flow) {
    const auto callbacks = Callbacks::make();
    const int made = side == Side::server ? nghttp2_session_server_new2(&session_, callbacks.get(), this, option)
                                          : nghttp2_session_client_new2(&session_, callbacks.get(), this, option);
    if (made != 0) throw std::bad_alloc();
}

void Session::start(std::span<const nghttp2_settings_entry> settings) {
    if (nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0 ||
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              static_cast<std::int32_t>(flow_.connection_window)) != 0)
        throw std::bad_alloc();
}

Session::~Session() { nghttp2_session_del(session_); }

Session::Stream* Session::find(std::int32_t id) const {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
}

void Session::add(std::int32_t id, std::unique_ptr<Stream> stream) {
    stream->window = flow_.window;
    streams_.insert_or_assign(id, std::move(stream));
}

void Session::preload(Stream& stream, std::string_view bytes) {
    stream.pending = bytes;
    pending_total_ += bytes.size();
}

nghttp2_data_provider Session::provider_of(Stream& stream) {
    nghttp2_data_provider provider{{}, Callbacks::read};
    provider.source.ptr = &stream;
    return provider;
}

nghttp2_nv Session::pair(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
        return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 only reads them
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

void Session::fatal(ErrorCode code, std::string_view why) {
    if (failed_) return;
    failed_ = true;
    failure_ = why;
    nghttp2_session_terminate_session(session_, number(code));
}

bool Session::receive(std::string_view bytes, base::MonoTime now) {
    now_ = now;
    while (!bytes.empty() && !failed_) {
        const auto n =
            nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        if (n == NGHTTP2_ERR_FLOODED || n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
            // What nghttp2 counts by itself: CONTINUATION, SETTINGS, acknowledgements.
            fatal(ErrorCode::enhance_your_calm, "http2-flood");
            return false;
        }
        if (n < 0) {
            fatal(ErrorCode::protocol_error, "http2-protocol");
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return !failed_ && nghttp2_session_want_read(session_) != 0;
}

std::size_t Session::fill(std::span<char> out) {
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

bool Session::wants_write() const { return !leftover_.empty() || nghttp2_session_want_write(session_) != 0; }

bool Session::over() const {
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0 && leftover_.empty();
}

std::size_t Session::room(std::int32_t id) const {
    const Stream* stream = find(id);
    if (stream == nullptr || !stream->pending.empty() || stream->end) return 0;
    const std::int64_t of_stream = nghttp2_session_get_stream_remote_window_size(session_, id);
    const std::int64_t of_connection =
        nghttp2_session_get_remote_window_size(session_) - static_cast<std::int64_t>(pending_total_);
    return static_cast<std::size_t>(std::max<std::int64_t>(0, std::min(of_stream, of_connection)));
}

void Session::send(std::int32_t id, std::string_view bytes) {
    Stream* stream = find(id);
    if (stream == nullptr || bytes.empty()) return;
    preload(*stream, bytes);
    resume(id, *stream);
}

std::size_t Session::unsent(std::int32_t id) const {
    const Stream* stream = find(id);
    return stream == nullptr ? 0 : stream->pending.size();
}

void Session::end(std::int32_t id) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->end) return;
    stream->end = true;
    resume(id, *stream);
}

void Session::resume(std::int32_t id, Stream& stream) {
    if (!std::exchange(stream.deferred, false)) return;
    nghttp2_session_resume_data(session_, id);
}

void Session::consumed(std::int32_t id, std::size_t bytes, base::MonoTime now) {
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
    if (stream->window < flow_.window_max && now - stream->turned_at < window_time) {
        stream->window = std::min(stream->window * 2, flow_.window_max);
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, id,
                                              static_cast<std::int32_t>(stream->window));
    }
    stream->turnover = 0;
    stream->turned_at = now;
}

void Session::reset(std::int32_t id, ErrorCode code) {
    if (Stream* stream = find(id)) {
        stream->reset_here = code != ErrorCode::protocol_error;
        let_go(*stream);
    }
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, number(code));
}

void Session::drop(std::int32_t id) {
    if (Stream* stream = find(id)) let_go(*stream);
}

void Session::let_go(Stream& stream) {
    stream.end = true;
    if (stream.pending.empty()) return;
    pending_total_ -= stream.pending.size();
    stream.pending = {};
    owner_.on_window(0);  // what it had taken of the connection's window is there for the others
}

}  // namespace usher::wire::http2
