#include "auth/known_sources.hpp"

#include <limits>

namespace usher::auth {

void learn_sources(const Sessions& sessions, SignInThrottle& throttle, const base::Clock& clock) {
    const auto now = clock.mono();
    for (const auto& session : sessions.list({}, {}, std::numeric_limits<std::size_t>::max()))
        if (!session->device_key) throttle.signed_in_before(session->client_ip, now - sessions.age(*session));
}

}  // namespace usher::auth
