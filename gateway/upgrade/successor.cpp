#include "gateway/upgrade/successor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "gateway/upgrade/process.hpp"

namespace usher::gateway::upgrade {
namespace {

using base::Errc;
using base::Error;
using base::Result;

/// How long a killed process is waited for; it holds the journal's lock until it is gone.
constexpr int kill_wait_ms = 10'000;

/// In the child: only what is safe after a fork() of a process with threads.
[[noreturn]] void execute(const char* path, char* const* arguments, int link, int complaint) {
    // A grandchild belongs to the service manager (or init) at once, which then knows of its end. Everything else that
    // is open here is the parent's.
    const pid_t again = ::fork();
    if (again != 0) ::_exit(again > 0 ? 0 : 1);
    ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    ::fcntl(link, F_SETFD, 0);
    ::execv(path, arguments);
    const int error = errno;
    (void)!::write(complaint, &error, sizeof error);
    ::_exit(127);
}

Result<void> spawn(const Program& program, int link) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return {Errc::resource_exhausted, std::string("a pipe: ") + std::strerror(errno)};
    base::UniqueFd heard{ends[0]}, complaint{ends[1]};
    std::string descriptor = std::to_string(link);
    std::string path = program.path, config = program.config;
    std::string config_option = "--config", link_option = "--take-over";
    const std::array<char*, 6> arguments{path.data(),        config_option.data(), config.data(),
                                         link_option.data(), descriptor.data(),    nullptr};
    const pid_t child = ::fork();
    if (child < 0) return {Errc::resource_exhausted, std::string("a process: ") + std::strerror(errno)};
    if (child == 0) execute(path.c_str(), arguments.data(), link, complaint.get());
    complaint.reset();
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    int error = 0;
    ssize_t n;
    do {
        n = ::read(heard.get(), &error, sizeof error);  // ends when the program runs
    } while (n < 0 && errno == EINTR);
    if (n == sizeof error) return {Errc::failed_precondition, program.path + " cannot be run: " + std::strerror(error)};
    if (status != 0) return {Errc::resource_exhausted, "a process could not be made"};
    return {};
}

}  // namespace

Result<std::unique_ptr<Successor>> Successor::prepare(const Program& program, const Message::Hello& hello,
                                                      base::Microseconds limit) {
    auto ends = Link::make_pair();
    if (!ends) return ends.error();
    auto link = Link::adopt(std::move(ends->first));
    if (!link) return link.error();
    Message message;
    *message.mutable_hello() = hello;
    if (auto sent = (*link)->send(message); !sent) return sent.error();
    if (auto spawned = spawn(program, ends->second.get()); !spawned) return spawned.error();
    ends->second.reset();

    std::unique_ptr<Successor> successor(new Successor(std::move(*link)));
    auto answer = successor->link_->receive(limit);
    if (!answer) return Error{answer.error().code, "before it was ready: " + answer.error().message};
    if (answer->message.has_failed()) return Error{Errc::failed_precondition, answer->message.failed().reason()};
    if (!answer->message.has_prepared()) return Error{Errc::data_loss, "the new process does not speak as expected"};
    const auto& prepared = answer->message.prepared();
    successor->process_id_ = static_cast<pid_t>(prepared.process_id());
    successor->version_ = prepared.version();
    successor->process_ = open_process(successor->process_id_);
    if (!successor->process_) return Error{Errc::unavailable, "the new process has ended"};
    return successor;
}

Successor::~Successor() {
    if (link_) kill();
}

void Successor::kill() {
    link_.reset();
    if (!process_) return;  // it had not said who it is; it ends with the link
    kill_process(process_.get(), kill_wait_ms);
    process_.reset();
}

Result<void> Successor::take_over(std::span<const int> descriptors, base::Microseconds limit) {
    Message message;
    message.mutable_take();
    auto done = link_->send(message, descriptors);
    if (done) {
        auto answer = link_->receive(limit);
        if (!answer)
            done = answer.error();
        else if (answer->message.has_failed())
            done = {Errc::failed_precondition, answer->message.failed().reason()};
        else if (!answer->message.has_serving())
            done = {Errc::data_loss, "the new process does not speak as expected"};
    }
    if (!done) kill();
    return done;
}

}  // namespace usher::gateway::upgrade
