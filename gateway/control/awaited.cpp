#include "gateway/control/awaited.hpp"

#include <grpcpp/alarm.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Error;
using base::Result;

/// What somebody waits for, for so long and no longer. Thread-safe.
class Awaited : public std::enable_shared_from_this<Awaited> {
public:
    explicit Awaited(std::function<void(const Result<void>&)> answer) : answer_(std::move(answer)) {}

    /// Once, and first.
    void begin(base::Microseconds limit) {
        const auto alarm = std::make_shared<grpc::Alarm>();
        alarm_ = alarm;
        alarm->Set(std::chrono::system_clock::now() + limit, [self = shared_from_this()](bool) {
            self->give(Error{Errc::deadline_exceeded, "nothing was answered in time"});
            (void)self->alarm(true);  // which has this function, and so all of this
        });
    }
    bool answered() const { return answered_; }
    /// The first one counts.
    void give(const Result<void>& found) {
        if (answered_.exchange(true)) return;
        answer_(found);
        if (const auto pending = alarm(false)) pending->Cancel();
    }

private:
    std::shared_ptr<grpc::Alarm> alarm(bool let_go) {
        std::lock_guard lock(mutex_);
        return let_go ? std::exchange(alarm_, nullptr) : alarm_;
    }

    std::atomic<bool> answered_{false};
    const std::function<void(const Result<void>&)> answer_;
    std::mutex mutex_;
    std::shared_ptr<grpc::Alarm> alarm_;  ///< until it has gone off
};

}  // namespace

void ask_within(Executor& executor, base::Microseconds limit, std::function<Result<void>()> question,
                std::function<void(const Result<void>&)> answer) {
    const auto awaited = std::make_shared<Awaited>(std::move(answer));
    Executor::Task task = [awaited, question = std::move(question)](bool stopped) {
        if (stopped) return awaited->give(Error{Errc::unavailable, "the gateway is stopping"});
        if (awaited->answered()) return;  // nobody waits any more, others do
        try {
            awaited->give(question());
        } catch (const std::exception& e) {
            awaited->give(Error{Errc::internal, e.what()});
        }
    };
    awaited->begin(limit);
    // From here on the answer is given, whatever happens.
    bool queued = false;
    try {
        queued = executor.post(std::move(task));
    } catch (const std::bad_alloc&) {
    }
    if (!queued) awaited->give(Error{Errc::resource_exhausted, "too many calls wait for the database"});
}

}  // namespace usher::gateway::control
