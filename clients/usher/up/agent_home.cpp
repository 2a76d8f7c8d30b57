#include "clients/usher/up/agent_home.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/text.hpp"

namespace usher::clients::agent {

using base::Errc;
using base::Error;

namespace {

Error failed(const std::string& what, const std::string& path) {
    return {Errc::unavailable, what + " " + base::escape_for_terminal(path) + ": " + std::strerror(errno)};
}

/// The address of a socket in an open directory: its path may be longer than a socket's address can be.
sockaddr_un address_in(int directory) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/agent.sock";
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

base::Result<base::UniqueFd> open_directory(const std::string& path) {
    base::UniqueFd directory{::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!directory) return failed("cannot open", path);
    struct stat info {};
    if (::fstat(directory.get(), &info) != 0) return failed("cannot look at", path);
    if (info.st_uid != ::geteuid() || (info.st_mode & 022) != 0)
        return {Errc::permission_denied, base::escape_for_terminal(path) +
                                             " belongs to another user, or others may write there; mend it with: " +
                                             "chmod 700 " + base::escape_for_terminal(path)};
    return directory;
}

}  // namespace

base::Result<std::string> agent_directory() {
    const auto variable = [](const char* name) -> std::string {
        const char* value = std::getenv(name);
        return value != nullptr && *value == '/' ? value : "";  // the specification: what is not absolute is ignored
    };
    if (const auto runtime = variable("XDG_RUNTIME_DIR"); !runtime.empty()) return runtime + "/usher";
    if (const auto state = variable("XDG_STATE_HOME"); !state.empty()) return state + "/usher";
    if (const auto home = variable("HOME"); !home.empty()) return home + "/.local/state/usher";
    return {Errc::failed_precondition,
            "neither XDG_RUNTIME_DIR nor HOME is set; the agent has no place to be found at"};
}

bool is_own_peer(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == ::geteuid();
}

AgentHome::~AgentHome() {
    // Only while the lock is held is the name this agent's.
    if (lock && listener) ::unlink(socket_path.c_str());
}

base::Result<AgentHome> become_agent(const std::string& directory, const std::string& about) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(directory).parent_path(), error);
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make", directory);
    auto opened = open_directory(directory);
    if (!opened) return std::move(opened).error();

    const std::string lock_path = directory + "/agent.lock", socket_path = directory + "/agent.sock";
    base::UniqueFd lock{::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!lock) return failed("cannot open", lock_path);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return failed("cannot lock", lock_path);
        std::array<char, 200> held{};
        const ssize_t n = ::pread(lock.get(), held.data(), held.size(), 0);
        return {Errc::already_exists,
                "an agent of yours runs already (" +
                    base::escape_for_terminal({held.data(), static_cast<std::size_t>(n > 0 ? n : 0)}) +
                    "); stop that one first"};
    }
    if (::ftruncate(lock.get(), 0) != 0 ||
        ::pwrite(lock.get(), about.data(), about.size(), 0) != static_cast<ssize_t>(about.size()))
        return failed("cannot write", lock_path);

    // Whoever left it behind is gone: the lock was free.
    if (::unlink(socket_path.c_str()) != 0 && errno != ENOENT) return failed("cannot remove", socket_path);
    base::UniqueFd listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!listener) return failed("cannot make a socket for", socket_path);
    const auto address = address_in(opened->get());
    const mode_t before = ::umask(0177);
    const int bound = ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::umask(before);
    if (bound != 0 || ::listen(listener.get(), 64) != 0) return failed("cannot listen on", socket_path);
    return AgentHome{std::move(lock), std::move(listener), socket_path};
}

base::Result<std::optional<base::UniqueFd>> connect_agent(const std::string& directory) {
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0) return std::optional<base::UniqueFd>{};
    auto opened = open_directory(directory);
    if (!opened) return std::move(opened).error();
    base::UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    if (!socket) return failed("cannot make a socket for", directory);
    const auto address = address_in(opened->get());
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) return std::optional<base::UniqueFd>{};
        return failed("cannot reach the agent at", directory + "/agent.sock");
    }
    if (!is_own_peer(socket.get()))
        return {Errc::permission_denied, "the agent at " + base::escape_for_terminal(directory) +
                                             "/agent.sock runs as another user; it is not used"};
    return std::optional<base::UniqueFd>{std::move(socket)};
}

}  // namespace usher::clients::agent
