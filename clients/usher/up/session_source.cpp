#include "clients/usher/up/session_source.hpp"

#include <sys/stat.h>

#include "clients/common/table.hpp"

namespace usher::clients::agent {

std::string signed_out_words() {
    return "nobody is signed in here; sign in with: usher login --gateway HOST:PORT --username NAME";
}

std::string expired_words(const SavedSession& session) {
    return "your session ended at its time, " + short_time(session.expires_at) +
           "; sign in again with: usher login --gateway " + session.gateway.to_string();
}

base::Result<SharedSession> SessionSource::current() {
    struct stat info {};
    Stamp stamp{};
    if (::stat(file_.c_str(), &info) == 0)
        stamp = {info.st_dev, info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size};
    if (!looked_ || stamp != seen_) {
        seen_ = stamp;
        looked_ = true;
        auto read = load_session(file_);
        if (!read)
            loaded_ = std::move(read).error();
        else if (!*read)
            loaded_ = SharedSession{};
        else
            loaded_ = SharedSession{std::make_shared<SavedSession>(std::move(**read))};
    }
    if (!loaded_) return loaded_;
    if (!*loaded_) return {base::Errc::unauthenticated, signed_out_words()};
    if ((*loaded_)->expires_at <= clock_.utc()) return {base::Errc::unauthenticated, expired_words(**loaded_)};
    return loaded_;
}

}  // namespace usher::clients::agent
