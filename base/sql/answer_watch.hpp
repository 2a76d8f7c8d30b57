#pragma once
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

namespace usher::base::sql {

/// Ends connections on which a server does not answer. A statement has the server's own limit (statement_timeout); a
/// server that is stopped, or whose disk hangs, does not keep to it, and its kernel answers keepalives all the same.
/// What waits on such a connection fails as if it were lost. Thread-safe.
class AnswerWatch {
public:
    /// `within`: from the question on, at least so long and at most a quarter more.
    explicit AnswerWatch(std::chrono::milliseconds within);
    ~AnswerWatch();
    AnswerWatch(const AnswerWatch&) = delete;
    AnswerWatch& operator=(const AnswerWatch&) = delete;

private:
    struct Asked {
        int socket;
        std::chrono::steady_clock::time_point until;
        bool late;
    };
    using Place = std::list<Asked>::iterator;

public:
    /// Something is asked on the socket, which is not closed before this has gone.
    class Question {
    public:
        /// `watch` null: nobody watches.
        Question(AnswerWatch* watch, int socket);
        ~Question();
        Question(const Question&) = delete;
        Question& operator=(const Question&) = delete;
        /// Whether the socket was shut down because nothing was answered.
        bool late() const noexcept;

    private:
        AnswerWatch* const watch_;
        Place place_;
    };

private:
    void run();

    const std::chrono::milliseconds within_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::list<Asked> asked_;
    bool stopping_ = false;
    std::thread thread_;  ///< the last one: it uses all of the others
};

}  // namespace usher::base::sql
