#pragma once
#include <atomic>
#include <memory>
#include <utility>

#include "audit/journal/journal.hpp"

namespace usher::test {

/// A real journal that takes nothing while it is told to refuse, as with a full disk. Thread-safe.
class RefusingJournal final : public audit::Journal {
public:
    explicit RefusingJournal(std::unique_ptr<audit::Journal> journal) : journal_(std::move(journal)) {}

    std::atomic<bool> refuse{false};

    base::Uuid gateway_id() const noexcept override { return journal_->gateway_id(); }
    void append(audit::JournalAppend record, Done done) override {
        if (!refuse) return journal_->append(std::move(record), std::move(done));
        if (done) done(full());
    }
    base::Result<std::uint64_t> append_and_wait(audit::JournalAppend record) override {
        if (refuse) return full();
        return journal_->append_and_wait(std::move(record));
    }
    audit::JournalStatus status() const override { return journal_->status(); }
    std::uint64_t durable_sequence() const noexcept override { return journal_->durable_sequence(); }
    std::uint64_t wait_beyond(std::uint64_t after, base::Microseconds timeout) const override {
        return journal_->wait_beyond(after, timeout);
    }
    std::uint64_t add_listener(std::function<void()> listener) override {
        return journal_->add_listener(std::move(listener));
    }
    void remove_listener(std::uint64_t id) override { journal_->remove_listener(id); }
    base::Result<std::vector<audit::JournalRecord>> read(std::uint64_t after, std::size_t max_records,
                                                         std::size_t max_bytes) const override {
        return journal_->read(after, max_records, max_bytes);
    }
    void mark_shipped(std::uint64_t sequence) override { journal_->mark_shipped(sequence); }
    std::vector<audit::JournalRecord> take_open_accesses() override { return journal_->take_open_accesses(); }

private:
    static base::Error full() { return {base::Errc::unavailable, "the disk is full"}; }

    std::unique_ptr<audit::Journal> journal_;
};

}  // namespace usher::test
