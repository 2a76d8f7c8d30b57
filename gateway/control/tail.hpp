#pragma once
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "audit/fleet_reader.hpp"
#include "audit/recent_events.hpp"
#include "gateway/control/caller.hpp"
#include "gateway/control/control_server.hpp"
#include "gateway/control/executor.hpp"
#include "gateway/control/tail_batch.hpp"
#include "gateway/control/tail_limits.hpp"
#include "gateway/control/tail_view.hpp"

namespace usher::gateway::control {

inline constexpr std::size_t tail_subscribers_max = 256;
inline constexpr std::size_t tail_batch_bytes_max = 256u << 10;
inline constexpr base::Microseconds tail_heartbeat{10'000'000};
/// How often the store is asked how far the other gateways are, while there are subscribers.
inline constexpr base::Microseconds tail_others{1'000'000};
/// How often a stream's caller is looked at again, besides at each batch.
inline constexpr base::Microseconds tail_recheck{3'000'000};

/// Where a stream starts.
struct TailStart {
    std::optional<audit::FleetCursor> after;  ///< wins over `since`
    std::optional<base::UtcTime> since;       ///< neither: from now on
};

class TailHub;

/// Up to where the store has the events of each gateway; another one whenever there is something to learn from it.
using Watermarks = std::shared_ptr<const audit::FleetWatermarks>;

/// One subscriber. It pulls a batch, from what others have read too or from the journal or the store, writes it one
/// message at a time, and pulls the next one when the last was taken: a subscriber that stops reading holds its batch
/// and nothing else, and is cut off after a while (TailLimits). Between batches it waits in the hub. Its messages are
/// bytes, so that gRPC sends those that are shared as they are.
///
/// Threads: pull() on the tail executor, tick() on the hub's, the reactions on gRPC's. Lives until OnDone() and until
/// the last task that knows it is gone.
class TailStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                         public std::enable_shared_from_this<TailStream> {
public:
    TailStream(TailHub& hub, const CallerPolicy& callers, grpc::CallbackServerContext* call, Caller caller,
               audit::FleetReader reader, TailStart start, usher::v1::TailRequest request);

    /// Takes the first batch, once its start is on record; once, after TailHub::add().
    void begin();
    /// Wakes the stream where there is something new, a heartbeat is due or the caller must be looked at, and cuts it
    /// off where its subscriber has stalled. Returns the position that it waits behind; nullopt when it does not wait.
    std::optional<std::uint64_t> tick(std::uint64_t durable, const Watermarks& others, base::MonoTime now);
    /// Ends the stream; the first end counts. Safe in every state and on every thread.
    void end(grpc::Status status);

private:
    enum class State { pulling, writing, waiting, ended };

    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override;

    void post_pull();
    void pull();
    base::Result<void> start();
    /// nullopt: its caller may no longer read.
    std::optional<TailView> view_now() const;
    TailForm form() const noexcept { return request_.batches() ? TailForm::batched : TailForm::single; }
    /// False: the last ones have been put back.
    bool keep_within_bytes(audit::TailItems& items);
    /// `at_end`: behind it there was nothing to be sent.
    void write(TailBatch batch, bool at_end);
    void write_next();
    void wait();
    void cut(base::MonoTime now);

    TailHub& hub_;
    const CallerPolicy& callers_;
    const Caller caller_;
    const TailStart start_;
    const usher::v1::TailRequest request_;

    // Of the pulling task alone; there is never more than one.
    audit::FleetReader reader_;
    Watermarks known_;  ///< what the reader was told of the other gateways
    bool started_ = false;

    std::mutex mutex_;
    grpc::CallbackServerContext* call_;  ///< nullptr after OnDone()
    State state_ = State::pulling;
    TailBatch batch_;
    bool at_end_ = false;         ///< behind the batch there was nothing
    std::uint64_t position_ = 0;  ///< in this gateway's events, behind the batch
    std::optional<base::MonoTime> last_sent_;
    base::MonoTime checked_;
    base::MonoTime write_began_;
    std::optional<base::MonoTime> cut_at_;
    bool distrusted_ = false;   ///< its caller was found gone while a message was under way
    bool recorded_ = false;     ///< its start is on record
    std::uint64_t events_ = 0;  ///< that were given to gRPC
    std::string why_ended_;
};

/// The subscribers of both servers. One thread wakes those that wait when the journal has grown. Thread-safe.
class TailHub {
public:
    TailHub(audit::Journal& journal, audit::Store& store, const base::Clock& clock, const TailLimits& limits);
    ~TailHub();
    TailHub(const TailHub&) = delete;
    TailHub& operator=(const TailHub&) = delete;

    /// False past the bound of subscribers, or when stopping.
    bool add(const std::shared_ptr<TailStream>& stream);
    void remove(const std::shared_ptr<TailStream>& stream);
    /// The stream has been cut off: it takes nobody's place any more. gRPC keeps it for as long as its connection takes
    /// nothing, the reset neither.
    void leave(const std::shared_ptr<TailStream>& stream);
    /// A stream has begun to wait: look at it. False: not before the journal has grown beyond those that waited before.
    bool wake();
    bool post(Executor::Task task) { return executor_.post(std::move(task)); }
    /// Ends every stream and takes no more. Does not wait.
    void stop();

    audit::Journal& journal() const noexcept { return journal_; }
    const base::Clock& clock() const noexcept { return clock_; }
    const TailLimits& limits() const noexcept { return limits_; }
    audit::RecentEvents& recent() noexcept { return recent_; }
    /// nullptr: not known now, the store hangs, or there are no others.
    Watermarks watermarks() const;
    /// A reader leaves the other gateways alone, since the store failed: it is told anew once the store answers, were
    /// it the same.
    void tell_anew();
    /// The database has been asked about the others and has not answered for a while, or only with errors: whoever
    /// follows does not wait for it.
    bool store_hangs() const;

private:
    void run();
    void look_at_others(base::MonoTime now);
    Watermarks read_watermarks();
    bool hangs() const;  ///< with mutex_
    void say_whether_it_hangs();

    audit::Journal& journal_;
    audit::Store& store_;
    const base::Clock& clock_;
    const TailLimits& limits_;
    audit::RecentEvents recent_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::unordered_set<std::shared_ptr<TailStream>> streams_;
    std::unordered_set<std::shared_ptr<TailStream>> leaving_;  ///< that were cut off
    Watermarks watermarks_;
    std::optional<base::MonoTime> looked_at_;  ///< of the thread
    bool said_hanging_ = false;                ///< of the thread
    bool looking_ = false;                     ///< the task is queued, or looks
    std::optional<base::MonoTime> asked_;      ///< since when the database has been asked in vain
    bool tell_anew_ = false;
    // Of the task that looks; there is never more than one.
    bool said_more_ = false;
    bool said_failing_ = false;
    bool wake_ = false;
    bool listens_ = false;  ///< the thread waits for a wake()
    bool sleeps_ = false;   ///< the thread waits for the journal
    bool stopping_ = false;
    bool closed_ = false;
    Executor executor_;
    std::thread thread_;
};

}  // namespace usher::gateway::control
