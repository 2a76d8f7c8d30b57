#pragma once
#include "base/notify.hpp"

namespace usher::gateway {

using base::notify;

}  // namespace usher::gateway
