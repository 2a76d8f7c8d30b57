#include "audit/sinks/syslog_message.hpp"

#include "audit/ocsf/ocsf.hpp"
#include "audit/sinks/severity.hpp"
#include "base/text.hpp"

namespace usher::audit::sinks {
namespace {

namespace v1 = usher::v1;

constexpr int facility_audit = 13;
constexpr std::size_t host_bytes_max = 255;
/// RFC 5424 §7.3.1: numbers from 1 on, and behind this one 1 again.
constexpr std::uint64_t sequence_id_max = 2'147'483'647;

}  // namespace

std::string header_field(std::string_view text, std::size_t bytes_max) {
    if (text.empty()) return "-";
    std::string out(text.substr(0, bytes_max));
    for (char& c : out)
        if (c < 33 || c > 126) c = '_';
    return out;
}

std::string syslog_frame(const v1::AuditEvent& event, std::string_view host) {
    const auto& at = event.recorded_at();
    const auto time = base::from_micros(at.seconds() * 1'000'000 + at.nanos() / 1000);
    const std::uint64_t sequence_id = event.sequence() == 0 ? 1 : (event.sequence() - 1) % sequence_id_max + 1;
    std::string message = "<" + std::to_string(facility_audit * 8 + static_cast<int>(severity_of(event))) + ">1 " +
                          base::format_rfc3339(time) + " " + header_field(host, host_bytes_max) + " usherd - " +
                          kind_of(event) + " [meta sequenceId=\"" + std::to_string(sequence_id) +
                          "\"][origin software=\"usherd\" swVersion=\"" USHER_VERSION "\"] " +
                          ocsf::to_ocsf(event, ocsf::Charset::ascii);
    return std::to_string(message.size()) + " " + message;
}

}  // namespace usher::audit::sinks
