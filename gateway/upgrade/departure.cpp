#include "gateway/upgrade/departure.hpp"

#include <pthread.h>

#include <utility>

namespace usher::gateway::upgrade {
namespace {

/// What is queued when the process ends is given so long to go out.
constexpr base::Microseconds flush_limit{1'000'000};

Message to_message(std::uint64_t number, const audit::JournalAppend& record) {
    Message message;
    auto& append = *message.mutable_append();
    append.set_number(number);
    append.set_type(static_cast<std::uint32_t>(record.type));
    if (!record.access_id.is_nil()) append.set_access_id(record.access_id.bytes.data(), record.access_id.bytes.size());
    append.set_payload(record.payload);
    append.set_can_wait(record.can_wait);
    return message;
}

}  // namespace

Departure::Departure(std::unique_ptr<Link> link, HandoverJournal& journal, Duties duties)
    : journal_(journal), duties_(std::move(duties)), link_(std::move(link)) {
    auto* const way = link_.get();
    journal_.follow([way](std::uint64_t number, const audit::JournalAppend& record) {
        return way->post(to_message(number, record));
    });
    answering_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "upgrade-answer");
        answer_questions();
    });
    link_->start([this](const Message& message) { on_message(message); },
                 [this] {
                     journal_.fail("the process that took over has ended");
                     std::lock_guard lock(mutex_);
                     lost_ = true;
                 });
}

Departure::~Departure() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    asked_.notify_all();
    answering_.join();
    link_->flush(flush_limit);
    journal_.fail("the process is ending");  // it sends through the link
    link_.reset();
}

void Departure::on_message(const Message& message) {
    switch (message.message_case()) {
        case Message::kAppended: {
            const auto& appended = message.appended();
            if (appended.sequence() > 0) return journal_.answer(appended.number(), appended.sequence());
            return journal_.answer(appended.number(), base::Error{base::Errc::unavailable, appended.error()});
        }
        case Message::kHealth:
            return journal_.set_health(message.health().healthy(), message.health().problem());
        case Message::kLeave:
        case Message::kQuestion: {
            // They may wait for the database, and the journal's answers must not wait for them.
            std::lock_guard lock(mutex_);
            questions_.push_back(message);
            asked_.notify_all();
            return;
        }
        default:
            return;  // of a version that says more
    }
}

void Departure::answer_questions() {
    std::unique_lock lock(mutex_);
    for (;;) {
        asked_.wait(lock, [&] { return stopping_ || !questions_.empty(); });
        if (stopping_) return;
        const Message asked = std::move(questions_.front());
        questions_.pop_front();
        lock.unlock();
        if (asked.has_leave()) {
            duties_.leave(std::chrono::milliseconds{asked.leave().milliseconds()});
        } else {
            const auto& question = asked.question();
            Message message;
            auto& answer = *message.mutable_answer();
            answer.set_number(question.number());
            answer.set_count(question.has_enforce() ? duties_.enforce(question.enforce())
                                                    : duties_.count_accesses(question.count_accesses()));
            link_->post(message);
        }
        lock.lock();
    }
}

void Departure::report(std::uint64_t tunnels, base::Microseconds left) {
    Message message;
    message.mutable_leaving()->set_tunnels(tunnels);
    message.mutable_leaving()->set_milliseconds_left(std::chrono::ceil<std::chrono::milliseconds>(left).count());
    link_->post(message);
}

bool Departure::lost() const {
    std::lock_guard lock(mutex_);
    return lost_;
}

}  // namespace usher::gateway::upgrade
