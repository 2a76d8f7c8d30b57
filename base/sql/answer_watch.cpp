#include "base/sql/answer_watch.hpp"

#include <pthread.h>
#include <sys/socket.h>

namespace usher::base::sql {

AnswerWatch::AnswerWatch(std::chrono::milliseconds within)
    : within_(within), thread_([this] {
          pthread_setname_np(pthread_self(), "answer-watch");
          run();
      }) {}

AnswerWatch::~AnswerWatch() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

AnswerWatch::Question::Question(AnswerWatch* watch, int socket) : watch_(watch) {
    if (watch_ == nullptr) return;
    const auto until = std::chrono::steady_clock::now() + watch_->within_;
    const std::lock_guard lock(watch_->mutex_);
    place_ = watch_->asked_.insert(watch_->asked_.end(), {socket, until, false});
}

AnswerWatch::Question::~Question() {
    if (watch_ == nullptr) return;
    const std::lock_guard lock(watch_->mutex_);
    watch_->asked_.erase(place_);
}

bool AnswerWatch::Question::late() const noexcept {
    if (watch_ == nullptr) return false;
    const std::lock_guard lock(watch_->mutex_);
    return place_->late;
}

void AnswerWatch::run() {
    // Looked at from time to time, so that a question costs a lock and wakes nobody.
    const auto interval = within_ / 4;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, interval, [this] { return stopping_; })) {
        const auto now = std::chrono::steady_clock::now();
        for (auto& one : asked_) {
            if (one.until > now) break;  // the others were asked later
            if (!one.late) ::shutdown(one.socket, SHUT_RDWR);
            one.late = true;
        }
    }
}

}  // namespace usher::base::sql
