#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace usher::audit {

/// More gateways than so on one database are not shown by one tail: the newest by their ids are, and the one that is
/// asked. A cursor of so many has 3.6 KiB, and is in each event.
inline constexpr std::size_t fleet_gateways_max = 64;

/// For each gateway the last sequence that is in the store, or that a reader has read.
using Sequences = std::map<base::Uuid, std::uint64_t>;

/// Up to where the store has the events of its gateways.
struct FleetWatermarks {
    Sequences of;       ///< the newest fleet_gateways_max of them
    bool more = false;  ///< there are others

    bool operator==(const FleetWatermarks&) const = default;
};

/// A position in the events of all gateways of a database: "2:GATEWAY:SEQUENCE,GATEWAY:SEQUENCE.", version 2. Or of
/// one gateway alone, which says nothing of others: "GATEWAY:SEQUENCE". Whoever may read the stream may read all of it,
/// so a cursor proves nothing and is not signed.
struct FleetCursor {
    Sequences positions;  ///< one where it is not `whole`
    bool whole = false;   ///< a gateway that is not in it has come after it

    std::string to_string() const;
    /// nullopt for a text that to_string() does not make, whatever the order and the case of the gateways.
    static std::optional<FleetCursor> parse(std::string_view text);
};

}  // namespace usher::audit
