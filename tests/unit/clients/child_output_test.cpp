#include "clients/common/child_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/unique_fd.hpp"
#include "catch.hpp"

using namespace usher;
using namespace usher::clients;
using base::Errc;
using namespace std::chrono_literals;

namespace {

const ChildLimits limits{1000, 60s, nullptr};
const std::vector<std::string> environment{"PATH=/usr/bin:/bin", "NAME=a value"};

base::Result<std::string> shell(const std::string& text, const ChildLimits& to = limits) {
    return child_output({"/bin/sh", "-c", text}, environment, to);
}

/// A pipe with a name that a test's children hold open: one byte tells that they have it, the end that they are gone.
class Held {
public:
    Held() {
        folder_ = std::filesystem::temp_directory_path() / "usher-child-XXXXXX";
        REQUIRE(::mkdtemp(folder_.data()) != nullptr);
        REQUIRE(::mkfifo(path().c_str(), 0600) == 0);
        reader_.reset(::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        REQUIRE(reader_);
    }
    ~Held() { std::filesystem::remove_all(folder_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    std::string path() const { return folder_ + "/held"; }
    /// For the shell: a child that has it and sleeps.
    std::string child() const { return "(echo >&9; exec sleep 1000) 9>" + path() + " & "; }
    /// Whether a child had it at any time.
    bool came() const {
        pollfd one{reader_.get(), POLLIN, 0};
        return ::poll(&one, 1, 0) == 1;
    }
    /// Behind came(): whether all are gone, within 20 s.
    bool all_gone() const {
        char byte;
        pollfd one{reader_.get(), POLLIN, 0};
        while (::poll(&one, 1, 20'000) == 1)
            if (::read(reader_.get(), &byte, 1) == 0) return true;
        return false;
    }

private:
    std::string folder_;
    base::UniqueFd reader_;
};

}  // namespace

TEST_CASE("what a program prints is what it prints", "[child]") {
    CHECK(*shell("echo one; echo not this >&2; echo two") == "one\ntwo\n");
    CHECK(*child_output({"/bin/echo", "a b", "$HOME; `false`"}, {}, limits) == "a b $HOME; `false`\n");
    CHECK(*child_output({"/usr/bin/env"}, environment, limits) == "PATH=/usr/bin:/bin\nNAME=a value\n");
    CHECK(*shell("true") == "");
    CHECK(*shell("cat") == "");  // its standard input is empty
    CHECK(shell("printf '%1000s' x")->size() == 1000);
}

TEST_CASE("a program that fails, or is not there, is told apart", "[child]") {
    CHECK(shell("echo begun; exit 3").error().code == Errc::failed_precondition);
    CHECK(shell("kill -9 $$").error().code == Errc::unavailable);
    CHECK(child_output({"/nowhere/at/all"}, {}, limits).error().code == Errc::not_found);
    CHECK(child_output({"/etc/passwd"}, {}, limits).error().code == Errc::not_found);
    CHECK(shell("printf '%1001s' x; sleep 1000").error().code == Errc::resource_exhausted);
}

TEST_CASE("a program that takes too long is killed with its children", "[child]") {
    // The second one has closed its standard output, as its child has, and goes on.
    for (const char* closing : {"", "exec >&-; "}) {
        // A busy machine may not have begun the child by then.
        for (const auto limit : {1s, 8s, 64s}) {
            const Held held;
            const auto code = shell(closing + held.child() + "sleep 1000", {1000, limit, nullptr}).error().code;
            CHECK(code == Errc::deadline_exceeded);
            if (!held.came() && limit < 64s) continue;
            CHECK(held.came());
            CHECK(held.all_gone());
            break;
        }
    }
}

TEST_CASE("a program ends when it is to stop", "[child]") {
    const Held held;
    StopSignal stop;
    std::thread later([&] {
        // When the child is there.
        pollfd one{-1, POLLIN, 0};
        const base::UniqueFd reader(::open(held.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        one.fd = reader.get();
        ::poll(&one, 1, 20'000);
        stop.set();
    });
    CHECK(shell(held.child() + "sleep 1000", {1000, 60s, &stop}).error().code == Errc::unavailable);
    later.join();
    CHECK(held.came());
    CHECK(held.all_gone());
    CHECK(shell("sleep 1000", {1000, 60s, &stop}).error().code == Errc::unavailable);
}

TEST_CASE("a program gets no descriptor, signal mask or ignored signal of ours", "[child]") {
    const base::UniqueFd ours(::open("/dev/null", O_RDONLY));  // not O_CLOEXEC, as a library may leave one
    REQUIRE(ours);
    // Its own three, and the folder that it reads.
    CHECK(*child_output({"/bin/ls", "/proc/self/fd"}, {}, limits) == "0\n1\n2\n3\n");
    sigset_t blocked, before;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const auto pipe_before = ::signal(SIGPIPE, SIG_IGN);
    const auto seen = child_output({"/bin/grep", "SigBlk", "/proc/self/status"}, {}, limits);
    const auto broken = shell("kill -s PIPE $$; echo ignored");
    ::signal(SIGPIPE, pipe_before);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    CHECK(*seen == "SigBlk:\t0000000000000000\n");
    CHECK(broken.error().code == Errc::unavailable);
}
