#pragma once
#include <deque>

#include "audit/audit.hpp"
#include "audit/journal/journal.hpp"

/// A journal that says when a record is durable only as the test tells it to. One thread.
class HeldJournal final : public usher::audit::Journal {
public:
    struct Held {
        usher::audit::JournalAppend record;
        Done done;
        usher::v1::AccessRecord access() const {
            usher::v1::AccessRecord out;
            out.ParseFromString(record.payload);
            return out;
        }
    };
    std::deque<Held> held;
    std::deque<Held> answered;

    /// Answers the oldest held record.
    void answer(bool durable) {
        Held next = std::move(held.front());
        held.pop_front();
        ++sequence_;
        if (next.done) {
            if (durable)
                next.done(sequence_);
            else
                next.done(usher::base::Error{usher::base::Errc::unavailable, "the disk is full"});
        }
        answered.push_back(std::move(next));
    }

    usher::base::Uuid gateway_id() const noexcept override { return {}; }
    void append(usher::audit::JournalAppend record, Done done) override {
        held.push_back({std::move(record), std::move(done)});
    }
    usher::base::Result<std::uint64_t> append_and_wait(usher::audit::JournalAppend) override { return sequence_; }
    usher::audit::JournalStatus status() const override { return {}; }
    std::uint64_t durable_sequence() const noexcept override { return sequence_; }
    std::uint64_t wait_beyond(std::uint64_t, usher::base::Microseconds) const override { return sequence_; }
    std::uint64_t add_listener(std::function<void()>) override { return 0; }
    void remove_listener(std::uint64_t) override {}
    usher::base::Result<std::vector<usher::audit::JournalRecord>> read(std::uint64_t, std::size_t,
                                                                       std::size_t) const override {
        return std::vector<usher::audit::JournalRecord>{};
    }
    void mark_shipped(std::uint64_t) override {}
    std::vector<usher::audit::JournalRecord> take_open_accesses() override { return {}; }

private:
    std::uint64_t sequence_ = 0;
};
