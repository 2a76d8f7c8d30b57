#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/upgrade/link.hpp"

namespace usher::gateway::upgrade {

/// How a process of the gateway is run again.
struct Program {
    std::string path;    ///< of the executable, absolute: what lies there now, not what runs
    std::string config;  ///< of the configuration, absolute
};

/// The process that is to take over, seen from the one that is to go. Used by one thread until link() is taken.
class Successor {
public:
    /// Runs the program and waits until it says that it could take over. Nothing of this process has been touched when
    /// this returns, whatever it returns; an error says in the successor's words what is wrong.
    static base::Result<std::unique_ptr<Successor>> prepare(const Program& program, const Message::Hello& hello,
                                                            base::Microseconds limit);
    /// Kills it, unless release_link() was called.
    ~Successor();

    /// Hands over and waits until it serves. The caller has let go of the journal and the control API; after an error
    /// the successor is dead, and they may be opened again.
    base::Result<void> take_over(std::span<const int> descriptors, base::Microseconds limit);
    std::unique_ptr<Link> release_link() { return std::move(link_); }

    ::pid_t process_id() const noexcept { return process_id_; }
    const std::string& version() const noexcept { return version_; }

private:
    explicit Successor(std::unique_ptr<Link> link) : link_(std::move(link)) {}
    void kill();

    std::unique_ptr<Link> link_;
    base::UniqueFd process_;  ///< a pidfd: the number may come to mean another one
    ::pid_t process_id_ = 0;
    std::string version_;
};

}  // namespace usher::gateway::upgrade
