#include "gateway/control_feed.hpp"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "auth/shared_change.hpp"
#include "base/log.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;
using namespace std::chrono_literals;

constexpr base::Microseconds echo_interval = 1s;
/// An echo that takes longer will not come: the connection is dead, or goes through a pooler.
constexpr base::Microseconds echo_limit = 5s;
constexpr base::Microseconds first_pause = 100ms;
constexpr base::Microseconds longest_pause = 2s;

}  // namespace

std::unique_ptr<ControlFeed> ControlFeed::start(Parts parts) {
    if (parts.database.dialect() == base::sql::Dialect::sqlite) {
        parts.age.is_alone();
        return nullptr;
    }
    return std::make_unique<ControlFeed>(std::move(parts));
}

ControlFeed::ControlFeed(Parts parts)
    : parts_(std::move(parts)), thread_([this] {
          pthread_setname_np(pthread_self(), "control-feed");
          run();
      }) {}

ControlFeed::~ControlFeed() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        if (listener_ != nullptr) listener_->cut();
    }
    stopped_.notify_all();
    thread_.join();
}

bool ControlFeed::stopping() const {
    std::lock_guard lock(mutex_);
    return stopping_;
}

void ControlFeed::pause(base::Microseconds so_long) {
    std::unique_lock lock(mutex_);
    stopped_.wait_for(lock, so_long, [this] { return stopping_; });
}

void ControlFeed::run() {
    auto wait = first_pause;
    bool told = false;
    while (!stopping()) {
        base::Result<void> ended;
        if (auto listener = parts_.database.listen(); !listener) {
            ended = listener.error();
        } else {
            {
                std::lock_guard lock(mutex_);
                listener_ = listener->get();
                if (stopping_) listener_->cut();
            }
            ended = follow(**listener);
            std::lock_guard lock(mutex_);
            listener_ = nullptr;
        }
        const bool followed = follows_.exchange(false);
        if (stopping()) return;
        if (followed) {
            wait = first_pause;
            told = false;
        }
        if (!std::exchange(told, true))
            base::log_error(
                "changes of other gateways are not heard at once; the database is looked at every few seconds as far "
                "as it answers",
                {{"error", ended.error().message}});
        pause(wait);
        wait = std::min(wait * 2, longest_pause);
    }
}

/// Until the connection fails or the end: only then, with an error.
base::Result<void> ControlFeed::follow(base::sql::Listener& listener) {
    // It listens already, so nothing falls between this look and the first message.
    if (auto caught_up = catch_up(); !caught_up) return caught_up;
    auto last_echo = parts_.clock.mono() - echo_interval;
    bool awaited = false;
    for (;;) {
        const auto now = parts_.clock.mono();
        if (awaited && now - last_echo > echo_limit)
            return Error{Errc::unavailable,
                         "the database does not deliver notifications; connect to the server itself, or through a "
                         "pooler in session mode"};
        if (!awaited && now - last_echo >= echo_interval) {
            last_echo = now;
            awaited = true;
            if (auto sent = listener.echo(); !sent) return sent;
        }
        auto heard = listener.wait((awaited ? last_echo + echo_limit : last_echo + echo_interval) - now);
        if (!heard) return heard.error();
        if (auto taken = take_in(heard->messages); !taken) return taken;
        if (heard->echo) {
            awaited = false;
            parts_.age.current_at(last_echo);
            if (!follows_.exchange(true)) base::log_info("changes of other gateways are heard at once");
        }
        if (stopping()) return Error{Errc::unavailable, "stopping"};
    }
}

base::Result<void> ControlFeed::catch_up() {
    const auto from = parts_.clock.mono();
    if (auto directory = parts_.directory.refresh(); !directory) return directory.error();
    if (auto devices = parts_.devices.refresh(); !devices) return devices.error();
    auto sessions = parts_.sessions.refresh();
    if (!sessions) return sessions.error();
    parts_.enforce(*sessions);
    parts_.age.current_at(from);
    return {};
}

base::Result<void> ControlFeed::take_in(const std::vector<std::string>& messages) {
    bool directory = false, devices = false;
    std::vector<auth::SharedChange> changes;
    for (const auto& message : messages) {
        auto change = auth::parse_change(message);
        // Whoever may write to the channel may say anything; the rows decide.
        if (!change) continue;
        if (change->kind == auth::ChangeKind::directory)
            directory = true;
        else if (change->kind == auth::ChangeKind::devices)
            devices = true;
        else
            changes.push_back(std::move(*change));
    }
    // A session stands on an account and perhaps on a device: these come first.
    if (directory) {
        if (auto refreshed = parts_.directory.refresh(); !refreshed) return refreshed.error();
    }
    if (devices) {
        if (auto refreshed = parts_.devices.refresh(); !refreshed) return refreshed.error();
    }
    auto changed = parts_.sessions.refresh(changes);
    if (!changed) return changed.error();
    parts_.enforce(*changed);
    return {};
}

}  // namespace usher::gateway
