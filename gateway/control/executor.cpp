#include "gateway/control/executor.hpp"

#include <pthread.h>

#include <utility>

namespace usher::gateway::control {

Executor::Executor(std::size_t threads, std::size_t queue_limit, const char* name) : queue_limit_(queue_limit) {
    threads_.reserve(threads);
    for (std::size_t i = 0; i < threads; ++i)
        threads_.emplace_back([this, name] {
            pthread_setname_np(pthread_self(), name);
            run();
        });
}

Executor::~Executor() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = closed_ = true;
    }
    work_.notify_all();
    for (auto& thread : threads_) thread.join();
}

bool Executor::post(Task task) {
    {
        std::lock_guard lock(mutex_);
        if (closed_ || queue_.size() >= queue_limit_) return false;
        queue_.push_back(std::move(task));
    }
    work_.notify_one();
    return true;
}

void Executor::stop() {
    std::lock_guard lock(mutex_);
    stopping_ = true;
}

void Executor::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        work_.wait(lock, [this] { return closed_ || !queue_.empty(); });
        if (queue_.empty()) return;
        Task task = std::move(queue_.front());
        queue_.pop_front();
        const bool stopping = stopping_;
        lock.unlock();
        task(stopping);
        task = nullptr;  // what it holds goes before the lock is taken again
        lock.lock();
    }
}

}  // namespace usher::gateway::control
