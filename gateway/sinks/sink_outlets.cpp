#include "gateway/sinks/sink_outlets.hpp"

#include <unistd.h>

#include <array>

#include "audit/sinks/kafka_outlet.hpp"
#include "audit/sinks/syslog_outlet.hpp"
#include "gateway/sinks/otlp_outlet.hpp"

namespace usher::gateway {
namespace {

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) return {};
    return name.data();
}

}  // namespace

base::Result<std::unique_ptr<audit::sinks::Outlet>> make_sink_outlet(const audit::sinks::Settings& settings) {
    using Kind = audit::sinks::Settings::Kind;
    switch (settings.kind) {
        case Kind::syslog:
            return audit::sinks::make_syslog_outlet(settings, host_name());
        case Kind::otlp:
            return make_otlp_outlet(settings, host_name());
        case Kind::kafka:
            return audit::sinks::make_kafka_outlet(settings);
    }
    return base::Error{base::Errc::invalid_argument, "a kind of sink that nothing speaks"};
}

}  // namespace usher::gateway
