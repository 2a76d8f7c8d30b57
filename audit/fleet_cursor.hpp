#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace usher::audit {

/// More gateways than so on one database are not shown by one tail: the newest are.
inline constexpr std::size_t fleet_gateways_max = 64;

/// For each gateway the last sequence that is in the store, or that a reader has read.
using Sequences = std::map<base::Uuid, std::uint64_t>;

/// A position in the events of all gateways of a database: "2:GATEWAY:SEQUENCE,GATEWAY:SEQUENCE", version 2. Or of one
/// gateway alone, which says nothing of others: "GATEWAY:SEQUENCE".
struct FleetCursor {
    Sequences positions;  ///< one where it is not `whole`
    bool whole = false;   ///< a gateway that is not in it has come after it

    std::string to_string() const;
    /// nullopt for a text that to_string() does not make, whatever the order and the case of the gateways.
    static std::optional<FleetCursor> parse(std::string_view text);
};

}  // namespace usher::audit
