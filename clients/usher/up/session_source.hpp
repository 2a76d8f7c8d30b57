#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>

#include "base/clock.hpp"
#include "clients/common/saved_session.hpp"

namespace usher::clients::agent {

using SharedSession = std::shared_ptr<const SavedSession>;

/// The session of this machine, as `usher login` and `usher logout` leave it: the file is looked at with each call and
/// read when it has changed, so that a running agent follows a new sign-in. On one thread.
class SessionSource {
public:
    SessionSource(std::string file, const base::Clock& clock) : file_(std::move(file)), clock_(clock) {}

    /// The session; or, in words for its owner, why there is none: nobody signed in, its time is over, the file cannot
    /// be used.
    base::Result<SharedSession> current();

private:
    using Stamp = std::tuple<dev_t, ino_t, std::int64_t, std::int64_t, off_t>;

    std::string file_;
    const base::Clock& clock_;
    Stamp seen_{};
    bool looked_ = false;
    base::Result<SharedSession> loaded_{SharedSession{}};
};

/// What nobody being signed in is called, and what to do.
std::string signed_out_words();
/// The same for a session whose time is over.
std::string expired_words(const SavedSession& session);

}  // namespace usher::clients::agent
