#include "clients/common/pump.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

namespace usher::clients {

namespace {

constexpr std::size_t buffer_bytes = 128 * 1024;

/// Bytes between a reader and a writer. Refilled when it is empty, so that nothing is ever moved about.
class Buffer {
public:
    std::span<char> room() noexcept { return {bytes_.data() + end_, bytes_.size() - end_}; }
    std::span<const char> content() const noexcept { return {bytes_.data() + begin_, end_ - begin_}; }
    bool empty() const noexcept { return begin_ == end_; }
    void filled(std::size_t n) noexcept { end_ += n; }
    void taken(std::size_t n) noexcept {
        begin_ += n;
        if (begin_ == end_) begin_ = end_ = 0;
    }

private:
    std::vector<char> bytes_ = std::vector<char>(buffer_bytes);
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

/// Writes to a descriptor that others may share and that must stay as it is (O_NONBLOCK on standard output would reach
/// every process that has it). Sockets take a flag per call, files never block, and a pipe or terminal is opened anew
/// for us; where that fails, PIPE_BUF bytes at a time never block after poll() (POSIX, pipe(7)).
class LocalWriter {
public:
    explicit LocalWriter(const LocalEnd& local) : fd_(local.out), socket_(local.is_socket()) {
        struct stat info {};
        if (socket_ || ::fstat(fd_, &info) != 0) return;
        if (S_ISSOCK(info.st_mode)) {
            socket_ = true;
        } else if (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)) {
            const std::string path = "/proc/self/fd/" + std::to_string(fd_);
            own_.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
            if (!own_) at_once_ = PIPE_BUF;
        }
    }
    int fd() const noexcept { return own_ ? own_.get() : fd_; }
    ssize_t write(std::span<const char> bytes) const noexcept {
        const std::size_t size = std::min(bytes.size(), at_once_);
        return socket_ ? ::send(fd_, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                       : ::write(fd(), bytes.data(), size);
    }
    /// Tells the reader that nothing more comes.
    void end(const LocalEnd& local) noexcept {
        own_.reset();
        if (socket_) (void)::shutdown(fd_, SHUT_WR);  // fails only where the reader is gone already
        if (!local.is_socket()) ::close(fd_);
    }
    bool polls_before_write() const noexcept { return at_once_ == PIPE_BUF; }

private:
    int fd_;
    bool socket_;
    base::UniqueFd own_;
    std::size_t at_once_ = SSIZE_MAX;
};

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

template <class Connection>
class Pump {
public:
    Pump(LocalEnd local, Connection& tunnel, std::string_view early, const StopSignal* stop)
        : local_(local), tunnel_(tunnel), stop_(stop), writer_(local) {
        const auto size = std::min(early.size(), down_.room().size());
        std::copy_n(early.data(), size, down_.room().data());
        down_.filled(size);
    }

    PumpResult run() {
        while (true) {
            bool moved = false;
            if (auto end = step_up(moved)) return *end;
            if (auto end = step_down(moved)) return *end;
            if (up_closed_ && down_closed_) return {PumpResult::End::finished, {}};
            if (auto end = wait(moved)) return *end;
        }
    }

private:
    using Io = TlsConnection::Io;
    using Ended = std::optional<PumpResult>;

    static Ended failed(std::string detail) { return PumpResult{PumpResult::End::failed, std::move(detail)}; }

    /// Once the gateway has ended its direction, a tunnel that takes nothing more is how it ends the other one.
    Ended tunnel_broke() {
        if (peer_ended_) {
            up_.taken(up_.content().size());
            local_ended_ = up_closed_ = true;
            return std::nullopt;
        }
        return failed(tunnel_.error_text());
    }

    Ended step_up(bool& moved) {
        if (up_closed_) return std::nullopt;
        if (in_ready_ && !local_ended_ && up_.empty()) {
            in_ready_ = false;
            const ssize_t n = ::read(local_.in, up_.room().data(), up_.room().size());
            if (n > 0) {
                up_.filled(static_cast<std::size_t>(n));
            } else if (n == 0) {
                local_ended_ = true;
            } else if (errno == ECONNRESET || errno == EIO) {
                return PumpResult{PumpResult::End::local_gone, {}};  // a reset socket, a terminal that hung up
            } else if (!would_block(errno)) {
                return failed(std::string("cannot read the local end: ") + std::strerror(errno));
            }
        }
        if (!tunnel_ready_up_) return std::nullopt;
        while (!up_.empty()) {
            const auto wrote = tunnel_.write(up_.content());
            if (wrote.io == Io::done) {
                up_.taken(wrote.bytes);
                unflushed_ = moved = true;
            } else if (wrote.io == Io::want_write || wrote.io == Io::want_read) {
                tunnel_ready_up_ = false;
                up_wants_ = wrote.io == Io::want_read ? POLLIN : POLLOUT;
                return std::nullopt;
            } else {
                return tunnel_broke();
            }
        }
        if (local_ended_) {
            const auto closed = tunnel_.close_write();
            if (closed.io == Io::done) {
                up_closed_ = moved = true;
            } else if (closed.io == Io::want_write || closed.io == Io::want_read) {
                tunnel_ready_up_ = false;
                up_wants_ = closed.io == Io::want_read ? POLLIN : POLLOUT;
            } else {
                return tunnel_broke();
            }
        } else if (unflushed_) {
            const auto flushed = tunnel_.flush();
            if (flushed.io == Io::done) {
                unflushed_ = false;
            } else if (flushed.io == Io::want_write) {
                tunnel_ready_up_ = false;
                up_wants_ = POLLOUT;
            } else {
                return tunnel_broke();
            }
        }
        return std::nullopt;
    }

    Ended step_down(bool& moved) {
        if (down_closed_) return std::nullopt;
        while (tunnel_ready_down_ && !peer_ended_ && !down_.room().empty()) {
            const auto got = tunnel_.read(down_.room());
            if (got.io == Io::done) {
                down_.filled(got.bytes);
                moved = true;
            } else if (got.io == Io::want_read || got.io == Io::want_write) {
                tunnel_ready_down_ = false;
                down_wants_ = got.io == Io::want_read ? POLLIN : POLLOUT;
            } else if (got.io == Io::closed) {
                peer_ended_ = true;
            } else {
                // What came is still handed on, so that the local reader has all that there was.
                broken_ = PumpResult{got.io == Io::truncated ? PumpResult::End::truncated : PumpResult::End::failed,
                                     got.io == Io::truncated ? "the tunnel broke off" : tunnel_.error_text()};
                peer_ended_ = true;
            }
        }
        while (!down_.empty() && out_ready_) {
            if (writer_.polls_before_write()) out_ready_ = false;
            const ssize_t n = writer_.write(down_.content());
            if (n > 0) {
                down_.taken(static_cast<std::size_t>(n));
                moved = true;
            } else if (n < 0 && would_block(errno)) {
                out_ready_ = false;
            } else if (n < 0 && (errno == EPIPE || errno == ECONNRESET || errno == EIO)) {
                return PumpResult{PumpResult::End::local_gone, {}};
            } else {
                return failed(std::string("cannot write to the local end: ") + std::strerror(errno));
            }
        }
        if (peer_ended_ && down_.empty()) {
            if (broken_) return broken_;
            writer_.end(local_);
            down_closed_ = moved = true;
        }
        return std::nullopt;
    }

    Ended wait(bool moved) {
        std::array<pollfd, 4> fds{};
        const bool read_local = !local_ended_ && up_.empty() && !up_closed_;
        const bool write_local = !down_closed_ && !down_.empty() && !out_ready_;
        short tunnel = 0;
        if (!up_closed_ && !tunnel_ready_up_) tunnel = static_cast<short>(tunnel | up_wants_);
        const bool read_tunnel = !down_closed_ && !peer_ended_ && !down_.room().empty();
        if (read_tunnel) tunnel = static_cast<short>(tunnel | (tunnel_ready_down_ ? POLLIN : down_wants_));
        fds[0] = {read_local ? local_.in : -1, POLLIN, 0};
        fds[1] = {write_local ? writer_.fd() : -1, POLLOUT, 0};
        fds[2] = {tunnel != 0 ? tunnel_.fd() : -1, tunnel, 0};
        fds[3] = {stop_ ? stop_->fd() : -1, POLLIN, 0};
        // Input that OpenSSL already holds does not make the socket readable.
        const bool more_now = moved || (read_tunnel && tunnel_ready_down_ && tunnel_.has_buffered_input());
        const int ready = ::poll(fds.data(), fds.size(), more_now ? 0 : -1);
        if (ready < 0 && errno != EINTR) return failed(std::string("poll: ") + std::strerror(errno));
        if (fds[3].revents != 0) return PumpResult{PumpResult::End::stopped, {}};
        if (fds[0].revents != 0) in_ready_ = true;
        if (fds[1].revents != 0) out_ready_ = true;
        if (fds[2].revents != 0) tunnel_ready_up_ = tunnel_ready_down_ = true;
        return std::nullopt;
    }

    LocalEnd local_;
    Connection& tunnel_;
    const StopSignal* stop_;
    LocalWriter writer_;
    Buffer up_;
    Buffer down_;
    bool in_ready_ = false;
    bool out_ready_ =
        false;  // set by poll(), which is asked first: a pipe that is not ours must not be written blindly
    bool tunnel_ready_up_ = true;
    bool tunnel_ready_down_ = true;
    short up_wants_ = POLLOUT;
    short down_wants_ = POLLIN;
    bool unflushed_ = false;
    bool local_ended_ = false;
    bool peer_ended_ = false;
    bool up_closed_ = false;
    bool down_closed_ = false;
    std::optional<PumpResult> broken_;
};

}  // namespace

PumpResult pump(LocalEnd local, TlsConnection& tunnel, std::string_view early, const StopSignal* stop) {
    return Pump<TlsConnection>(local, tunnel, early, stop).run();
}

PumpResult pump(LocalEnd local, PacketConnection& tunnel, const StopSignal* stop) {
    return Pump<PacketConnection>(local, tunnel, {}, stop).run();
}

}  // namespace usher::clients
