#pragma once
// Audit events as sinks get them, for the tests of outlets.
#include <string>
#include <vector>

#include "tests/unit/audit/records.hpp"

namespace usher::test {

inline constexpr const char* a_gateway = "0198c0de-0000-7000-8000-00000000aaaa";

inline v1::AuditEvent event_of(const v1::AccessRecord& record, std::uint64_t sequence = 7) {
    v1::AuditEvent out;
    out.set_gateway_id(a_gateway);
    out.set_sequence(sequence);
    set(*out.mutable_recorded_at(), noon + base::Microseconds{123'456});
    *out.mutable_access() = record;
    return out;
}

/// So many closed accesses, with the sequences from 1 on.
inline std::vector<v1::AuditEvent> some_events(std::size_t count) {
    std::vector<v1::AuditEvent> out;
    for (std::size_t i = 1; i <= count; ++i)
        out.push_back(event_of(access(base::Uuid{}, v1::AccessEventType::CLOSED, i, 2), i));
    return out;
}

}  // namespace usher::test
