#include "base/sql/postgresql_listener.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/ids.hpp"
#include "base/sql/postgresql_connection.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace usher::base::sql {
namespace {

/// More than this at once is not read on: a sign that somebody floods the channel.
constexpr std::size_t kMessagesMax = 100'000;

#if PQXX_VERSION_MAJOR < 7
using ConnectionBase = pqxx::connection_base;
#else
using ConnectionBase = pqxx::connection;
#endif

class Receiver final : public pqxx::notification_receiver {
public:
    Receiver(ConnectionBase& connection, const std::string& channel, std::vector<std::string>& into)
        : pqxx::notification_receiver(connection, channel), into_(into) {}
    void operator()(const std::string& payload, int) override {
        if (into_.size() < kMessagesMax)
            into_.push_back(payload);
        else
            overflown_ = true;
    }
    bool overflown() const noexcept { return overflown_; }

private:
    std::vector<std::string>& into_;
    bool overflown_ = false;
};

/// A channel that nobody else knows.
std::string echo_channel() {
    std::array<std::uint8_t, 12> random;
    random_bytes(random);
    return "usher_echo_" + to_hex(random);
}

class PostgresqlListener final : public Listener {
public:
    PostgresqlListener(const std::string& url, AnswerWatch& watch)
        : connection_(url, watch), echo_channel_(echo_channel()), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!wake_) throw SqlError({Errc::resource_exhausted, "no descriptor is left for an eventfd"});
        connection_.with([&](auto& connection) {
            changes_ = std::make_unique<Receiver>(connection, std::string(kChangesChannel), messages_);
            echoes_ = std::make_unique<Receiver>(connection, echo_channel_, heard_echoes_);
            socket_ = connection.sock();
            backend_ = connection.backendpid();
        });
    }

    /// Cut first: a server that hangs would not answer an UNLISTEN.
    ~PostgresqlListener() override { connection_.cut(); }

    Result<Heard> wait(Microseconds limit) override {
        try {
            collect();
            if (messages_.empty() && heard_echoes_.empty()) {
                std::array<pollfd, 2> ready{{{socket_, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
                const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
                const int count = ::poll(ready.data(), ready.size(),
                                         static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 3'600'000)));
                if (count < 0 && errno != EINTR) return {Errc::internal, "poll() failed on the database's connection"};
                if (count > 0 && ready[1].revents != 0) {
                    std::uint64_t value = 0;
                    if (::read(wake_.get(), &value, sizeof value) < 0 && errno != EAGAIN)
                        return {Errc::internal, "an eventfd could not be read"};
                }
                collect();
            }
        } catch (const SqlError& e) {
            return e.error;
        }
        if (changes_->overflown()) return {Errc::resource_exhausted, "too many messages of the database at once"};
        Heard heard;
        heard.messages = std::exchange(messages_, {});
        heard.echo = !std::exchange(heard_echoes_, {}).empty();
        return heard;
    }

    Result<void> echo() override {
        try {
            const std::array<Value, 1> channel{echo_channel_};
            connection_.execute("SELECT pg_catalog.pg_notify($1, '')", channel);
            // libpqxx 6 connects again by itself, and what was said meanwhile is lost.
            const int backend = connection_.with([](auto& connection) { return connection.backendpid(); });
            if (backend != backend_) return {Errc::unavailable, "PostgreSQL: the connection was lost"};
            return {};
        } catch (const SqlError& e) {
            return e.error;
        }
    }

    void wake() noexcept override {
        const std::uint64_t one = 1;
        // Full means woken already.
        if (::write(wake_.get(), &one, sizeof one) < 0) return;
    }

    void cut() noexcept override {
        connection_.cut();
        wake();
    }

private:
    void collect() {
        connection_.with([](auto& connection) { connection.get_notifs(); });
        if (!connection_.is_open())
            throw SqlError({Errc::unavailable, "PostgreSQL: the connection is lost; check that the server runs"});
    }

    PostgresqlConnection connection_;
    const std::string echo_channel_;
    UniqueFd wake_;
    int socket_ = -1;
    int backend_ = 0;
    std::vector<std::string> messages_, heard_echoes_;
    std::unique_ptr<Receiver> changes_, echoes_;  ///< unlisten before the connection goes
};

}  // namespace

std::unique_ptr<Listener> listen_on(const std::string& url, AnswerWatch& watch) {
    return std::make_unique<PostgresqlListener>(url, watch);
}

}  // namespace usher::base::sql
