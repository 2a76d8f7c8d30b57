#include "gateway/upgrade/predecessor.hpp"

#include <pthread.h>

#include <utility>

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "gateway/upgrade/process.hpp"

namespace usher::gateway::upgrade {
namespace {

using namespace std::chrono_literals;

constexpr base::Microseconds question_limit{5'000'000};
constexpr int kill_wait_ms = 5'000;
constexpr auto pulse_interval = 200ms;

Message appended(std::uint64_t number, const base::Result<std::uint64_t>& result) {
    Message message;
    auto& answer = *message.mutable_appended();
    answer.set_number(number);
    if (result)
        answer.set_sequence(*result);
    else
        answer.set_error(result.error().message);
    return message;
}

}  // namespace

Predecessor::Predecessor(std::shared_ptr<Link> link, const Message::Hello& hello,
                         std::vector<audit::JournalRecord> open, audit::Journal& journal, const base::Clock& clock,
                         std::function<void()> on_end)
    : link_(std::move(link)),
      journal_(journal),
      clock_(clock),
      process_id_(hello.process_id()),
      version_(hello.version()),
      process_(open_process(static_cast<pid_t>(hello.process_id()))),
      on_end_(std::move(on_end)),
      tunnels_(open.size()) {
    for (auto& record : open) open_.emplace(record.access_id, std::move(record));
}

void Predecessor::start() {
    link_->start([this](const Message& message) { on_message(message); }, [this] { close_rest(); });
    pulse_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "upgrade-pulse");
        pulse();
    });
    {
        std::lock_guard lock(mutex_);
        started_ = true;
    }
    changed_.notify_all();
}

void Predecessor::release() {
    {
        std::lock_guard lock(mutex_);
        lost_ = ended_ = true;
    }
    changed_.notify_all();
}

Predecessor::~Predecessor() {
    if (!pulse_.joinable()) return;  // never started: the link is still its maker's
    link_->close();
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    pulse_.join();
    wait_ended(base::Microseconds::max());
}

void Predecessor::on_message(const Message& message) {
    switch (message.message_case()) {
        case Message::kAppend:
            return append(message.append());
        case Message::kLeaving: {
            std::lock_guard lock(mutex_);
            tunnels_ = message.leaving().tunnels();
            deadline_ = clock_.mono() + std::chrono::milliseconds{message.leaving().milliseconds_left()};
            return;
        }
        case Message::kAnswer: {
            std::lock_guard lock(mutex_);
            const auto asked = answers_.find(message.answer().number());
            if (asked == answers_.end()) return;
            asked->second = message.answer().count();
            changed_.notify_all();
            return;
        }
        default:
            return;  // of a version that says more
    }
}

void Predecessor::append(const Message::Append& append) {
    audit::JournalAppend record;
    record.type = static_cast<audit::RecordType>(append.type());
    if (append.access_id().size() == record.access_id.bytes.size())
        std::copy(append.access_id().begin(), append.access_id().end(), record.access_id.bytes.begin());
    record.payload = append.payload();
    record.can_wait = append.can_wait();
    using Type = audit::RecordType;
    if (record.type == Type::access_opened || record.type == Type::access_progress)
        open_[record.access_id] = {0, clock_.utc(), record.type, record.access_id, record.payload};
    else if (record.type == Type::access_closed)
        open_.erase(record.access_id);
    journal_.append(std::move(record), [link = link_, number = append.number()](base::Result<std::uint64_t> result) {
        link->post(appended(number, result));
    });
}

/// It is gone. What it had open was not closed by it.
void Predecessor::close_rest() {
    {
        std::lock_guard lock(mutex_);
        lost_ = true;
    }
    changed_.notify_all();
    std::vector<audit::JournalRecord> open;
    for (auto& [id, record] : open_) open.push_back(std::move(record));
    open_.clear();
    if (auto closed = audit::close_crashed(journal_, open); !closed)
        base::log_error("accesses of the process before this one could not be closed; the next start does it",
                        {{"error", closed.error().message}});
    else if (*closed > 0)
        base::log_warning("accesses that the process before this one left open were closed", {{"accesses", *closed}});
    on_end_();
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

void Predecessor::pulse() {
    for (;;) {
        const auto status = journal_.status();
        Message message;
        message.mutable_health()->set_healthy(status.healthy);
        message.mutable_health()->set_problem(status.problem);
        link_->post(message);
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, pulse_interval, [&] { return stopping_ || lost_; });
        if (stopping_ || lost_) return;
    }
}

std::optional<Predecessor::Status> Predecessor::status() const {
    std::lock_guard lock(mutex_);
    if (lost_) return std::nullopt;
    Status status{process_id_, version_, tunnels_, {}};
    if (deadline_) status.deadline = clock_.utc() + (*deadline_ - clock_.mono());
    return status;
}

std::optional<std::uint64_t> Predecessor::ask(Message::Question question, std::optional<Steady::time_point> by) {
    std::unique_lock lock(mutex_);
    const auto listens = [&] { return started_ || lost_; };
    if (!by)
        changed_.wait(lock, listens);
    else if (!changed_.wait_until(lock, *by, listens))
        return std::nullopt;
    if (lost_) return 0;
    const auto number = next_question_++;
    question.set_number(number);
    // Under the lock until it is sent: whoever asks after somebody else is answered after him, with all that he said.
    if (question.has_enforce())
        for (auto& id : std::exchange(ended_sessions_, {}))
            question.mutable_enforce()->add_ended_sessions(std::move(id));
    answers_[number];
    Message message;
    *message.mutable_question() = std::move(question);
    link_->post(message);
    const auto end = Steady::now() + question_limit;
    changed_.wait_until(lock, by ? std::min(*by, end) : end, [&] { return lost_ || answers_[number].has_value(); });
    const auto answer = answers_[number];
    answers_.erase(number);
    return lost_ ? answer.value_or(0) : answer;
}

void Predecessor::session_ended(const std::string& session_id) {
    std::lock_guard lock(mutex_);
    if (!lost_) ended_sessions_.push_back(session_id);
}

std::uint64_t Predecessor::enforce(std::uint64_t directory_version, const std::string& signed_out) {
    Message::Question question;
    question.mutable_enforce()->set_directory_version(directory_version);
    question.mutable_enforce()->set_signed_out(signed_out);
    if (const auto cut = ask(std::move(question), {})) return *cut;
    base::log_error("the process before this one does not do as it is told; it is killed", {{"process", process_id_}});
    kill();
    return 0;
}

std::optional<std::uint64_t> Predecessor::count_accesses(std::span<const std::string> session_ids,
                                                         Steady::time_point by) {
    {
        // One wait for one that hangs is enough, or orders would wait behind those who ask.
        std::lock_guard lock(mutex_);
        if (Steady::now() < silent_until_) return std::nullopt;
    }
    std::uint64_t total = 0;
    for (const auto& id : session_ids) {
        Message::Question question;
        question.set_count_accesses(id);
        const auto count = Steady::now() < by ? ask(std::move(question), by) : std::nullopt;
        if (!count) {
            std::lock_guard lock(mutex_);
            silent_until_ = Steady::now() + question_limit;
            return std::nullopt;
        }
        total += *count;
    }
    return total;
}

void Predecessor::leave(base::Microseconds limit) {
    Message message;
    message.mutable_leave()->set_milliseconds(std::chrono::floor<std::chrono::milliseconds>(limit).count());
    link_->post(message);
}

bool Predecessor::wait_ended(base::Microseconds limit) {
    std::unique_lock lock(mutex_);
    const auto over = [&] { return ended_; };
    if (limit == base::Microseconds::max()) {
        changed_.wait(lock, over);
        return true;
    }
    return changed_.wait_for(lock, limit, over);
}

void Predecessor::kill() {
    if (process_) kill_process(process_.get(), kill_wait_ms);
    link_->close();
    wait_ended(base::Microseconds::max());
}

}  // namespace usher::gateway::upgrade
