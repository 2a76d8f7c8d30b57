#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "audit/sinks/settings.hpp"
#include "audit/sinks/stop_event.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace usher::audit::sinks {

using TlsContext = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

/// A context for connections to the sink's receiver: TLS 1.2 or newer, the receiver's certificate verified by the
/// sink's `ca`, the gateway's own shown if there is one. Reads the files each time, so that they may be renewed.
/// invalid_argument names the file and what is wrong with it.
base::Result<TlsContext> make_client_context(const Settings& settings);

/// One connection that carries one batch. Blocks until its deadline at most, or until `stop` is set. For one thread.
class TlsClient {
public:
    /// Connects to one address after the other and shakes hands; the receiver's name is verified always.
    static base::Result<TlsClient> connect(const Settings& settings, Deadline deadline, const StopEvent& stop);

    /// Hands all of it to the kernel. An error when the receiver closes meanwhile.
    base::Result<void> write(std::string_view bytes, Deadline deadline);

    /// Says that this was all (close_notify, then the end of the stream) and waits for the receiver to close in its
    /// turn, which it does when it has read up to there. An error where it broke off instead, or where something that
    /// was written was not acknowledged: then nobody knows what has arrived.
    base::Result<void> finish(Deadline deadline);

private:
    TlsClient(base::UniqueFd fd, const StopEvent& stop) : fd_(std::move(fd)), stop_(&stop) {}
    base::Result<void> shake_hands(const Settings& settings, Deadline deadline);
    /// Waits for what OpenSSL asks for behind `result`; an error for everything else.
    base::Result<void> wait(int result, Deadline deadline, const char* what);
    base::Result<void> all_acknowledged() const;

    base::UniqueFd fd_;
    const StopEvent* stop_;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
};

}  // namespace usher::audit::sinks
