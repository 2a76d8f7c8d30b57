#include "clients/common/child_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>

#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace usher::clients {

namespace {

using base::Errc;
using base::Result;
using Steady = std::chrono::steady_clock;

std::string words(int error) { return std::generic_category().message(error); }

/// What a child begins with. An error of any step stays, and is the first.
class SpawnSettings {
public:
    explicit SpawnSettings(int standard_output) {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
        note(::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0));
        note(::posix_spawn_file_actions_adddup2(&actions_, standard_output, STDOUT_FILENO));
        note(::posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0));
        note(::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
        // A group of its own, so that its children end with it; the signals as a new program expects them.
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        note(::posix_spawnattr_setpgroup(&attributes_, 0));
        note(::posix_spawnattr_setsigmask(&attributes_, &none));
        note(::posix_spawnattr_setsigdefault(&attributes_, &all));
        note(::posix_spawnattr_setflags(&attributes_,
                                        POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    }
    ~SpawnSettings() {
        ::posix_spawnattr_destroy(&attributes_);
        ::posix_spawn_file_actions_destroy(&actions_);
    }
    SpawnSettings(const SpawnSettings&) = delete;
    SpawnSettings& operator=(const SpawnSettings&) = delete;

    /// 0, or an error number.
    int spawn(pid_t& child, const std::vector<std::string>& command,
              const std::vector<std::string>& environment) const {
        if (error_ != 0) return error_;
        auto arguments = pointers(command), variables = pointers(environment);
        return ::posix_spawn(&child, arguments.front(), &actions_, &attributes_, arguments.data(), variables.data());
    }

private:
    /// posix_spawn() does not write to them.
    static std::vector<char*> pointers(const std::vector<std::string>& texts) {
        std::vector<char*> out;
        for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
        out.push_back(nullptr);
        return out;
    }
    void note(int error) noexcept {
        if (error_ == 0) error_ = error;
    }

    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
    int error_ = 0;
};

/// A child in a group of its own, which ends with this.
class Child {
public:
    explicit Child(pid_t pid) noexcept : pid_(pid) {}
    ~Child() { reap(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    /// Kills what is left of the group, and waits. The exit code; nullopt where a signal has ended it.
    std::optional<int> reap() noexcept {
        if (pid_ < 0) return std::nullopt;
        // Before the child is reaped: its number is nobody else's until then.
        ::kill(-pid_, SIGKILL);
        siginfo_t info{};
        int done = 0;
        do done = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
        while (done != 0 && errno == EINTR);
        pid_ = -1;
        return done == 0 && info.si_code == CLD_EXITED ? std::optional<int>(info.si_status) : std::nullopt;
    }

private:
    pid_t pid_;
};

/// Waits until `fd` can be read or is at its end, the time is over, or it is to stop.
Result<void> wait_readable(int fd, const std::string& program, const ChildLimits& limits, Steady::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Steady::now()).count();
        std::array<pollfd, 2> both{{{fd, POLLIN, 0}, {limits.stop == nullptr ? -1 : limits.stop->fd(), POLLIN, 0}}};
        const int ready = ::poll(both.data(), both.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
        if (ready > 0 && both[1].revents != 0) return {Errc::unavailable, program + " was stopped"};
        if (ready > 0) return {};
        if (ready < 0 && errno != EINTR && errno != EAGAIN)
            return {Errc::unavailable, program + " could not be waited for: " + words(errno)};
        if (left <= 0)
            return {Errc::deadline_exceeded, program + " took longer than " + base::format_duration(limits.time)};
    }
}

}  // namespace

Result<std::string> child_output(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                                 const ChildLimits& limits) {
    const std::string& program = command.front();
    const auto deadline = Steady::now() + limits.time;
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {Errc::unavailable, "no pipe to " + program + ": " + words(errno)};
    const base::UniqueFd reader(ends[0]);
    base::UniqueFd writer(ends[1]);
    pid_t pid = -1;
    if (const int error = SpawnSettings(writer.get()).spawn(pid, command, environment); error != 0) {
        const bool missing = error == ENOENT || error == EACCES || error == ENOEXEC || error == ENOTDIR;
        return {missing ? Errc::not_found : Errc::unavailable, program + " could not be run: " + words(error)};
    }
    Child child(pid);
    writer.reset();
    // Not by its function: the header of glibc 2.36 declares that for C alone.
    const base::UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!end) return {Errc::unavailable, program + " could not be waited for: " + words(errno)};

    std::string output;
    std::array<char, 4096> buffer;
    for (;;) {
        if (auto ready = wait_readable(reader.get(), program, limits, deadline); !ready) return ready.error();
        const auto n = ::read(reader.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return {Errc::unavailable, "what " + program + " prints could not be read: " + words(errno)};
        if (n == 0) break;
        output.append(buffer.data(), static_cast<std::size_t>(n));
        if (output.size() > limits.bytes)
            return {Errc::resource_exhausted, program + " prints more than " + std::to_string(limits.bytes) + " bytes"};
    }
    if (auto ended = wait_readable(end.get(), program, limits, deadline); !ended) return ended.error();
    const auto code = child.reap();
    if (!code) return {Errc::unavailable, program + " was ended by a signal"};
    if (*code != 0) return {Errc::failed_precondition, program + " ended with " + std::to_string(*code)};
    return output;
}

}  // namespace usher::clients
