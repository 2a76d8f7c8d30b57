#pragma once
#include <memory>

#include "wire/http2/session.hpp"

namespace usher::wire::http2 {

template <class T, void (*Delete)(T*)>
struct Deleter {
    void operator()(T* pointer) const { Delete(pointer); }
};
using OptionPtr = std::unique_ptr<nghttp2_option, Deleter<nghttp2_option, nghttp2_option_del>>;
using CallbacksPtr =
    std::unique_ptr<nghttp2_session_callbacks, Deleter<nghttp2_session_callbacks, nghttp2_session_callbacks_del>>;

/// nghttp2's events, turned into those of the session.
struct Session::Callbacks {
    static CallbacksPtr make();
    /// How much of `length` there is; the bytes themselves go in send_data().
    static ssize_t read(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length, std::uint32_t* flags,
                        nghttp2_data_source* source, void*);

private:
    static Session& self(void* user) { return *static_cast<Session*>(user); }
    static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user);
    static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user);
    static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user);
    static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user);
    static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user);
    static int invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                              const std::uint8_t*, std::size_t, std::uint8_t, void* user);
    static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                          void* user);
    static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user);
    static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user);
    static ssize_t read_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t session_window,
                               std::int32_t stream_window, std::uint32_t frame_size, void*);
    static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t length,
                         nghttp2_data_source* source, void* user);
};

}  // namespace usher::wire::http2
