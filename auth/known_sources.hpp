#pragma once
#include "auth/sessions.hpp"
#include "auth/sign_in_throttle.hpp"
#include "base/clock.hpp"

namespace usher::auth {

/// Where those who are signed in have come from, at any gateway of the database, is where somebody has signed in: a
/// gateway that starts in the middle of a flood knows them. Those on a device's connection make no address good, as
/// with an enrolled device when they sign in. Copies the table of sessions.
void learn_sources(const Sessions& sessions, SignInThrottle& throttle, const base::Clock& clock);

}  // namespace usher::auth
