#pragma once

namespace usher::wire {

/// How a step of I/O ended.
enum class IoStatus {
    done,         ///< bytes moved
    would_block,  ///< wait, then try again
    eof,          ///< the peer ended its direction properly (close_notify, END_STREAM, or FIN on a plain socket)
    failed,       ///< reset, truncated, or a violation of the protocol
};

}  // namespace usher::wire
