#pragma once
#include <memory>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/settings.hpp"

namespace usher::gateway {

/// What speaks to a sink's receiver, by its kind. invalid_argument where the sink's files cannot be used.
base::Result<std::unique_ptr<audit::sinks::Outlet>> make_sink_outlet(const audit::sinks::Settings& settings);

}  // namespace usher::gateway
