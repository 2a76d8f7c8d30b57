#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace usher::gateway::control {

/// A few threads for what blocks on the database and the journal, behind a bounded queue: gRPC's own threads never
/// wait. Thread-safe.
class Executor {
public:
    /// Called exactly once on one of the threads; `stopping` true: the server ends, answer without doing the work.
    /// Must not throw.
    using Task = std::function<void(bool stopping)>;

    /// `name` is that of its threads, at most 15 characters; a literal.
    Executor(std::size_t threads, std::size_t queue_limit, const char* name = "control");
    /// stop(), and waits for the tasks.
    ~Executor();
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// False when the queue is full, or the executor has stopped and nobody would run it: nothing happened then.
    bool post(Task task);
    /// What is queued, and what still comes until the destructor, is called with `stopping`. Does not wait.
    void stop();

private:
    void run();

    const std::size_t queue_limit_;
    std::mutex mutex_;
    std::condition_variable work_;
    std::deque<Task> queue_;
    bool stopping_ = false;
    bool closed_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace usher::gateway::control
