#include "tests/unit/audit/simulation.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "audit/audit.hpp"
#include "audit/journal/file_journal.hpp"
#include "audit/ship.hpp"
#include "tests/unit/audit/journal/fake_disk.hpp"

namespace usher::audit::testing {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using journal::FileJournal;
using journal::testing::FakeDisk;

constexpr std::uint64_t segment_bytes = 64u << 10;

struct Violation {
    std::string what;
};

class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

private:
    std::mt19937_64 engine_;
};

/// A store whose transactions may fail, or be committed and look as if they had failed.
class FakeStore final : public Destination {
public:
    FakeStore(Random& random, Figures& figures, Planted planted)
        : random_(random), figures_(figures), planted_(planted) {}

    void set_calm(bool calm) { calm_ = calm; }
    const std::vector<JournalRecord>& rows() const { return rows_; }
    std::uint64_t mark() const { return mark_; }

    Result<std::uint64_t> watermark(const base::Uuid&) override {
        if (!calm_ && random_.one_in(10)) return away();
        return mark_;
    }
    Result<void> park(const base::Uuid&, const JournalRecord&, const base::Error& why) override { return why; }
    Result<void> ingest(const base::Uuid&, std::span<const JournalRecord> records) override {
        if (planted_ == Planted::watermark_before_commit && !records.empty()) {
            const auto before = mark_;
            mark_ = records.back().sequence;
            if (!calm_ && random_.one_in(6)) return away();
            for (const auto& record : records)
                if (record.sequence > before) rows_.push_back(record);
            return {};
        }
        if (!calm_ && random_.one_in(6)) return away();
        for (const auto& record : records) {
            if (record.sequence <= mark_) continue;
            if (record.sequence > mark_ + 1) throw Violation{"the store was sent a batch with a gap"};
            rows_.push_back(record);
            mark_ = record.sequence;
        }
        if (!calm_ && random_.one_in(6)) {
            ++figures_.lost_replies;
            return away();
        }
        return {};
    }

private:
    static Error away() { return {Errc::unavailable, "the store is away"}; }

    Random& random_;
    Figures& figures_;
    const Planted planted_;
    bool calm_ = false;
    std::vector<JournalRecord> rows_;
    std::uint64_t mark_ = 0;
};

class World {
public:
    World(std::uint64_t seed, Planted planted) : planted_(planted), random_(seed), store_(random_, figures_, planted) {
        disk_.set_lies(planted == Planted::sync_left_out, planted == Planted::directory_sync_left_out);
        if (planted == Planted::torn_end_left) disk_.ignore_writes_to_the_end();
        disk_.tear_failed_syncs(seed);
        disk_.set_hook([this](FakeDisk::Op op, const std::string& path) { return fault(op, path); });
    }

    Outcome run() {
        Outcome outcome;
        try {
            const auto lives = random_.between(2, 5);
            for (std::uint64_t life = 0; life < lives; ++life) live();
            end();
        } catch (const Violation& violation) {
            outcome.violation = violation.what;
        }
        figures_.stored = store_.rows().size();
        outcome.figures = figures_;
        return outcome;
    }

private:
    enum class State { opening, live, closing, gone };
    struct Access {
        base::Uuid id;
        State state = State::opening;
        bool begun = false;  ///< the app has seen it
    };

    std::optional<Error> fault(FakeDisk::Op op, const std::string& path) {
        const bool reads = op == FakeDisk::Op::read || op == FakeDisk::Op::open || op == FakeDisk::Op::list;
        if (fault_odds_ == 0 || !random_.one_in(reads ? fault_odds_ * 8 : fault_odds_)) return std::nullopt;
        ++figures_.faults;
        return Error{random_.one_in(4) ? Errc::resource_exhausted : Errc::unavailable, path + ": made to fail"};
    }

    Result<std::unique_ptr<FileJournal>> try_open() {
        JournalOptions options;
        options.directory = "journal";
        options.segment_bytes = segment_bytes;
        options.keep_shipped_segments = keep_shipped_;
        return FileJournal::open_stepped(std::move(options), clock_, disk_);
    }

    /// The process is gone; the power too, or not.
    void die() {
        live_accesses_.clear();
        const bool power = disk_.power_is_off() ? random_.one_in(2) : random_.one_in(4);
        if (power) {
            ++figures_.power_cuts;
            disk_.restore_power(random_.below(UINT64_MAX));
        } else {
            ++figures_.kills;
            disk_.restart_process();
        }
    }

    /// Starts until a start succeeds, and checks what it recovered.
    std::unique_ptr<FileJournal> start(bool calm) {
        keep_shipped_ = random_.below(3);
        for (int attempt = 0;; ++attempt) {
            const bool faults = !calm && attempt < 6;
            fault_odds_ = faults && random_.one_in(2) ? 25 : 0;
            if (!faults) disk_.set_capacity(UINT64_MAX);
            if (faults && random_.one_in(2)) disk_.cut_power_after(random_.between(1, 12));
            auto opened = try_open();
            if (opened && !disk_.power_is_off()) {
                check_recovered(**opened);
                // What close_crashed() cannot write it writes at the next start.
                const auto closed =
                    planted_ == Planted::closed_dropped ? Result<std::uint64_t>(0) : close_crashed(**opened);
                if (closed && !disk_.power_is_off()) {
                    ++figures_.lives;
                    return std::move(*opened);
                }
                if (!faults) throw Violation{"a start on a disk in order fails: " + closed.error().message};
            } else if (!opened) {
                const auto& error = opened.error();
                if (error.code == Errc::data_loss || error.code == Errc::internal)
                    throw Violation{"a start finds damage: " + error.message};
                if (!faults) throw Violation{"a start on a disk in order fails: " + error.message};
            }
            ++figures_.starts_cut;
            if (opened) opened->reset();
            fault_odds_ = 0;
            die();
        }
    }

    std::vector<JournalRecord> read_all(const FileJournal& journal) {
        const auto odds = std::exchange(fault_odds_, 0);
        const auto first = journal.status().first_sequence;
        auto records = journal.read(first - 1, SIZE_MAX, SIZE_MAX);
        fault_odds_ = odds;
        if (!records) {
            if (disk_.power_is_off()) return {};
            throw Violation{"the journal cannot be read: " + records.error().message};
        }
        return std::move(*records);
    }

    void check_recovered(const FileJournal& journal) {
        const auto first = journal.status().first_sequence;
        const auto durable = journal.durable_sequence();
        const auto records = read_all(journal);
        if (disk_.power_is_off()) return;
        if (records.size() != durable + 1 - first) throw Violation{"the journal holds another number of records"};
        for (std::size_t i = 0; i < records.size(); ++i) {
            const auto& record = records[i];
            if (record.sequence != first + i) throw Violation{"sequences are not dense"};
            note(record);
        }
        const auto last_known = known_.empty() ? 0 : known_.rbegin()->first;
        if (durable < last_known)
            throw Violation{"record " + std::to_string(last_known) + " was durable, the journal ends at " +
                            std::to_string(durable)};
        if (store_.mark() > durable) throw Violation{"the store has what the journal never had"};
        if (first > store_.mark() + 1)
            throw Violation{"record " + std::to_string(store_.mark() + 1) +
                            " is neither in the journal nor in the store"};
        figures_.pruned = std::max(figures_.pruned, first - 1);
    }

    /// A record that was durable once stays as it was.
    void note(const JournalRecord& record) {
        auto [at, inserted] = known_.try_emplace(record.sequence, record);
        if (!inserted && !same(at->second, record))
            throw Violation{"record " + std::to_string(record.sequence) + " has changed"};
    }

    static bool same(const JournalRecord& a, const JournalRecord& b) {
        return a.sequence == b.sequence && a.type == b.type && a.access_id == b.access_id && a.payload == b.payload;
    }

    void append(FileJournal& journal, JournalAppend record, std::function<void(bool)> answered) {
        JournalRecord expected{0, {}, record.type, record.access_id, record.payload};
        if (planted_ == Planted::acknowledged_early) {
            expected.sequence = ++early_;
            early_ = std::max(early_, journal.durable_sequence() + 1);
            known_.try_emplace(early_, expected).first->second.sequence = early_;
        }
        journal.append(std::move(record), [this, expected = std::move(expected),
                                           answered = std::move(answered)](Result<std::uint64_t> done) mutable {
            if (done && disk_.power_is_off()) throw_later_ = "an append is acknowledged without power";
            if (done) {
                ++figures_.acknowledged;
                expected.sequence = *done;
                const auto [at, inserted] = known_.try_emplace(*done, expected);
                if (!inserted && !same(at->second, expected) && throw_later_.empty())
                    throw_later_ = "sequence " + std::to_string(*done) + " was given twice";
            }
            if (answered) answered(done.ok());
        });
    }

    usher::v1::AccessRecord access_record(const base::Uuid& id, usher::v1::AccessEventType::Value event) {
        usher::v1::AccessRecord record;
        record.set_access_id(id.to_string());
        record.set_event(event);
        record.mutable_opened_at()->set_seconds(1'700'000'000);
        record.set_bytes_up(random_.below(1'000'000));
        if (random_.one_in(6)) record.set_app(std::string(random_.below(5000), 'a'));
        return record;
    }

    void produce(FileJournal& journal) {
        using Event = usher::v1::AccessEventType;
        const auto count = random_.between(1, 12);
        for (std::uint64_t i = 0; i < count; ++i) {
            const auto what = random_.below(5);
            if (what <= 1) {
                auto access = std::make_shared<Access>();
                access->id = next_id();
                live_accesses_.push_back(access);
                all_accesses_.push_back(access);
                if (planted_ == Planted::opened_not_awaited) access->begun = true;
                append(journal, encode(access_record(access->id, Event::OPENED)), [access](bool ok) {
                    access->state = ok ? State::live : State::gone;
                    access->begun = access->begun || ok;
                });
            } else if (what <= 3 && !live_accesses_.empty()) {
                auto access = live_accesses_[random_.below(live_accesses_.size())];
                if (access->state != State::live) continue;
                const bool closes = what == 3;
                if (closes) access->state = State::closing;
                append(journal, encode(access_record(access->id, closes ? Event::CLOSED : Event::PROGRESS)), {});
            } else {
                append(journal, {RecordType::admin, {}, std::string(random_.below(900), 'z')}, {});
            }
        }
    }

    base::Uuid next_id() {
        base::Uuid id;
        const auto number = ++ids_;
        for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
        id.bytes[15] = 1;
        return id;
    }

    void ship(FileJournal& journal, Shipment& shipment) {
        if (planted_ == Planted::prune_ahead) journal.mark_shipped(journal.durable_sequence());
        const auto shipped = shipment.ship_batch();
        if (shipped || disk_.power_is_off()) return;
        const auto code = shipped.error().code;
        if (code != Errc::unavailable && code != Errc::resource_exhausted)
            throw Violation{"shipping is refused: " + shipped.error().message};
    }

    void live() {
        auto journal = start(false);
        Shipment shipment(*journal, store_);
        fault_odds_ = random_.one_in(2) ? random_.between(20, 200) : 0;
        const auto rounds = random_.between(3, 40);
        if (random_.one_in(2)) disk_.cut_power_after(random_.between(1, rounds * 4));
        for (std::uint64_t round = 0; round < rounds && !disk_.power_is_off(); ++round) {
            if (random_.one_in(12)) disk_.set_capacity(random_.one_in(2) ? UINT64_MAX : 3 * segment_bytes);
            if (random_.one_in(3)) clock_.advance(base::Microseconds{600'000});
            produce(*journal);
            if (!random_.one_in(8)) journal->step();
            if (random_.one_in(2)) ship(*journal, shipment);
            if (!throw_later_.empty()) throw Violation{throw_later_};
        }
        if (!disk_.power_is_off() && random_.one_in(4)) journal->step();
        journal.reset();
        fault_odds_ = 0;
        early_ = known_.empty() ? 0 : known_.rbegin()->first;
        die();
    }

    void end() {
        disk_.set_capacity(UINT64_MAX);
        store_.set_calm(true);
        auto journal = start(true);
        check_again(journal);
        Shipment shipment(*journal, store_);
        while (store_.mark() < journal->durable_sequence()) {
            const auto before = store_.mark();
            ship(*journal, shipment);
            if (store_.mark() == before) throw Violation{"the store gets no further than " + std::to_string(before)};
        }
        for (const auto& record : read_all(*journal)) note(record);
        check_store(journal->durable_sequence());
        check_accesses();
    }

    /// A start on what a start left changes nothing.
    void check_again(std::unique_ptr<FileJournal>& journal) {
        const auto before = read_all(*journal);
        journal.reset();
        disk_.restore_power(random_.below(UINT64_MAX));
        journal = start(true);
        const auto after = read_all(*journal);
        if (!std::equal(before.begin(), before.end(), after.begin(), after.end(), same))
            throw Violation{"a second start finds other records"};
    }

    void check_store(std::uint64_t durable) {
        const auto& rows = store_.rows();
        if (rows.size() != durable)
            throw Violation{"the store has " + std::to_string(rows.size()) + " events of " + std::to_string(durable)};
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (rows[i].sequence != i + 1) throw Violation{"the store's events are not in order"};
            const auto known = known_.find(i + 1);
            if (known != known_.end() && !same(known->second, rows[i]))
                throw Violation{"the store's event " + std::to_string(i + 1) + " is another one"};
        }
        for (const auto& [sequence, record] : known_)
            if (sequence > rows.size()) throw Violation{"event " + std::to_string(sequence) + " was lost"};
    }

    void check_accesses() {
        struct Seen {
            bool opened = false, closed = false;
        };
        std::map<std::string, Seen> seen;
        for (const auto& row : store_.rows()) {
            if (row.access_id.is_nil()) continue;
            auto& access = seen[row.access_id.to_string()];
            if (access.closed) throw Violation{"an event follows the CLOSED of its access"};
            if (row.type == RecordType::access_opened) {
                if (access.opened) throw Violation{"an access has two OPENED"};
                access.opened = true;
            }
            if (!access.opened) throw Violation{"an access lacks its OPENED"};
            if (row.type == RecordType::access_closed) access.closed = true;
        }
        for (const auto& access : all_accesses_)
            if (access->begun && !seen[access->id.to_string()].opened)
                throw Violation{"an access that the app saw has no OPENED"};
        for (const auto& [id, access] : seen)
            if (!access.closed) throw Violation{"an access was never closed"};
        figures_.accesses = seen.size();
    }

    const Planted planted_;
    Random random_;
    Figures figures_;
    base::ManualClock clock_{base::from_micros(1'700'000'000'000'000)};
    FakeDisk disk_;
    FakeStore store_;
    std::uint64_t fault_odds_ = 0;  ///< one operation in so many fails; 0: none
    std::size_t keep_shipped_ = 0;
    std::uint64_t ids_ = 0;
    std::uint64_t early_ = 0;
    std::string throw_later_;                       ///< found within the journal's own call
    std::map<std::uint64_t, JournalRecord> known_;  ///< what was acknowledged or recovered, by sequence
    std::vector<std::shared_ptr<Access>> live_accesses_, all_accesses_;
};

}  // namespace

Outcome simulate(std::uint64_t seed, Planted planted) { return World(seed, planted).run(); }

}  // namespace usher::audit::testing
