// What a subscriber is sent, as bytes: its own messages, and those that it shares with others.
#include "gateway/control/tail_batch.hpp"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <thread>

#include "audit/audit.hpp"
#include "catch.hpp"

using namespace usher;
using gateway::control::TailBatch;
using gateway::control::TailBundle;
using gateway::control::TailEdition;
using gateway::control::TailForm;
using gateway::control::TailView;
namespace v1 = usher::v1;

namespace {

const base::Uuid own_gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");
const std::string own_mark = own_gateway.to_string() + ":";

audit::JournalRecord record(std::uint64_t sequence, const v1::AdminRecord& admin) {
    auto append = audit::encode(admin);
    const auto at = base::from_micros(1'750'000'000'000'000 + static_cast<std::int64_t>(sequence));
    return {sequence, at, append.type, append.access_id, std::move(append.payload)};
}

std::shared_ptr<const audit::EventBlock> block(std::uint64_t first, int count) {
    std::vector<audit::JournalRecord> records;
    for (int i = 0; i < count; ++i) {
        v1::AdminRecord admin;
        admin.set_actor("admin-" + std::to_string(i));
        // Sizes around those at which the length of a message takes a byte more.
        admin.set_after_json(std::string(static_cast<std::size_t>(i) * 13, 'j'));
        records.push_back(record(first + static_cast<std::uint64_t>(i), admin));
    }
    return audit::EventBlock::make(own_gateway, first - 1, records, {});
}

audit::SharedEvents all_of(const std::shared_ptr<const audit::EventBlock>& events) {
    return {events, events->matching({}), 0, events->size()};
}

v1::TailResponse parsed(const grpc::ByteBuffer& bytes) {
    grpc::ByteBuffer copy(bytes);
    v1::TailResponse out;
    if (!grpc::SerializationTraits<v1::TailResponse>::Deserialize(&copy, &out).ok()) FAIL("is no TailResponse");
    return out;
}

}  // namespace

TEST_CASE("a shared event is sent as it is, with the subscriber's cursor") {
    const auto events = block(900, 200);
    REQUIRE(events);
    audit::FleetReader::Batch batch;
    batch.frame = {"2:" + own_mark, ",01900000-0000-7000-8000-00000000000a:7."};
    batch.shared.push_back(all_of(events));
    TailBatch sent(std::move(batch), TailView::full, TailForm::single);
    for (std::uint64_t sequence = 900; sequence < 1100; ++sequence) {
        REQUIRE_FALSE(sent.done());
        const auto item = parsed(sent.take());
        CHECK(sent.events() == 1);
        CHECK(item.event().sequence() == sequence);
        CHECK(item.event().gateway_id() == own_gateway.to_string());
        CHECK(item.event().admin().actor() == "admin-" + std::to_string(sequence - 900));
        CHECK(item.event().admin().after_json().size() == (sequence - 900) * 13);
        CHECK(item.event().cursor() ==
              "2:" + own_mark + std::to_string(sequence) + ",01900000-0000-7000-8000-00000000000a:7.");
        CHECK(sent.cursor() == item.event().cursor());
        // The same as gRPC would have written.
        v1::TailResponse again;
        *again.mutable_event() = item.event();
        CHECK(again.ByteSizeLong() == item.ByteSizeLong());
    }
    CHECK(sent.done());
}

TEST_CASE("subscribers with the same cursors and view are sent the same bytes, others their own") {
    const auto events = block(1, 5);
    REQUIRE(events);
    const auto shared = all_of(events);
    const audit::CursorFrame here{own_mark, {}}, elsewhere{"2:" + own_mark, "."};
    const auto first = TailEdition::of(shared, here, TailView::full);
    CHECK(TailEdition::of(shared, here, TailView::full) == first);
    const auto masked = TailEdition::of(shared, here, TailView::masked);
    CHECK(masked != first);
    const auto other = TailEdition::of(shared, elsewhere, TailView::full);
    CHECK(other != first);
    CHECK(parsed(first->message(3)).event().cursor() == own_mark + "4");
    CHECK(parsed(masked->message(3)).event().cursor() == own_mark + "4");
    CHECK(parsed(masked->message(3)).event().admin().actor() == "admin-3");
    CHECK(parsed(other->message(3)).event().cursor() == "2:" + own_mark + "4.");
}

TEST_CASE("a batch of a few of a block's messages does not hold the others") {
    const auto events = block(1, 200);
    REQUIRE(events);
    audit::FleetReader::Batch batch;
    batch.frame = {own_mark, {}};
    batch.shared.push_back(all_of(events));
    std::weak_ptr<const TailEdition> edition = TailEdition::of(batch.shared[0], batch.frame, TailView::full);
    batch.shared[0].begin = 199;
    TailBatch sent(std::move(batch), TailView::full, TailForm::single);
    events->forget_made();
    CHECK(edition.expired());
    CHECK(parsed(sent.take()).event().sequence() == 200);
    CHECK(sent.done());
}

TEST_CASE("personal fields are masked in what is shared and in what is not, one by one and in batches") {
    v1::AdminRecord admin;
    admin.set_action("account.update");
    admin.set_after_json(R"({"username":"alice","office_mail":"alice@example.com"})");
    const std::vector<audit::JournalRecord> records{record(1, admin)};
    const auto events = audit::EventBlock::make(own_gateway, 0, records, {});
    REQUIRE(events);
    const auto form = GENERATE(TailForm::single, TailForm::batched);
    for (const auto view : {TailView::full, TailView::masked}) {
        audit::FleetReader::Batch batch;
        batch.frame = {own_mark, {}};
        *batch.items.emplace_back().mutable_event() = *audit::decode(own_gateway, records[0]);
        batch.shared.push_back(all_of(events));
        TailBatch sent(std::move(batch), view, form);
        for (int i = 0; i < 2; ++i) {
            const auto item = parsed(sent.take());
            REQUIRE(item.events_size() == (form == TailForm::single ? 0 : 1));
            const auto& event = form == TailForm::single ? item.event() : item.events(0);
            const auto& json = event.admin().after_json();
            CHECK((json.find("alice@example.com") != std::string::npos) == (view == TailView::full));
            CHECK(json.find("alice") != std::string::npos);
        }
        CHECK(sent.done());
    }
}

TEST_CASE("of a block those events are made into messages that somebody is sent, by whoever comes first") {
    const auto events = block(1, 200);
    REQUIRE(events);
    const audit::CursorFrame frame{own_mark, {}};
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    for (std::size_t i = 0; i < 4; ++i)
        threads.emplace_back([&, i] {
            auto part = all_of(events);
            part.begin = 20 * i;
            part.end = 20 * i + 100;
            const auto edition = TailEdition::of(part, frame, TailView::full);
            bool good = true;
            for (auto place = part.begin; place < part.end; ++place) {
                grpc::ByteBuffer copy(edition->message(place));
                v1::TailResponse item;
                good = good && grpc::SerializationTraits<v1::TailResponse>::Deserialize(&copy, &item).ok() &&
                       item.event().sequence() == place + 1;
            }
            right += good;
        });
    for (auto& thread : threads) thread.join();
    CHECK(right == 4);
    const auto edition = TailEdition::of({events, events->matching({}), 0, 0}, frame, TailView::full);
    CHECK(edition->message(0).Valid());
    CHECK_FALSE(edition->message(199).Valid());
}

TEST_CASE("a subscriber's own messages carry their cursors, heartbeats and gaps among them") {
    audit::FleetReader::Batch batch;
    batch.items.emplace_back().mutable_event()->set_cursor("a");
    batch.items.emplace_back().mutable_gap()->set_cursor("b");
    batch.items.emplace_back().set_heartbeat_cursor("c");
    const auto items = batch.items;
    TailBatch sent(std::move(batch), TailView::full, TailForm::single);
    TailBatch moved;
    CHECK(moved.done());
    moved = std::move(sent);
    const std::vector<std::string> cursors{"a", "b", "c"};
    for (std::size_t i = 0; i < items.size(); ++i) {
        CHECK(parsed(moved.take()).SerializeAsString() == items[i].SerializeAsString());
        CHECK(moved.cursor() == cursors[i]);
        CHECK(moved.events() == (i == 0 ? 1u : 0u));
    }
    CHECK(moved.done());
}

TEST_CASE("who asks for batches is sent what is shared in few messages, made once for all who are sent the same") {
    const auto events = block(900, 200);
    REQUIRE(events);
    audit::FleetReader::Batch batch;
    batch.frame = {"2:" + own_mark, "."};
    auto part = all_of(events);
    batch.shared.push_back(part);
    part.end = 10;
    const auto bundle = TailBundle::of(part, batch.frame, TailView::full);
    CHECK(TailBundle::of(part, batch.frame, TailView::full) == bundle);
    CHECK(TailBundle::of(part, batch.frame, TailView::masked) != bundle);
    CHECK(TailBundle::of(part, {own_mark, {}}, TailView::full) != bundle);
    part.end = 9;
    CHECK(TailBundle::of(part, batch.frame, TailView::full) != bundle);

    TailBatch sent(std::move(batch), TailView::full, TailForm::batched);
    int messages = 0, seen = 0;
    for (; !sent.done(); ++messages) {
        const auto& message = sent.take();
        CHECK(message.Length() <= gateway::control::tail_message_bytes);
        const auto item = parsed(message);
        CHECK(item.item_case() == v1::TailResponse::ITEM_NOT_SET);
        CHECK(sent.events() == static_cast<std::size_t>(item.events_size()));
        for (const auto& event : item.events()) {
            CHECK(event.sequence() == 900u + static_cast<unsigned>(seen));
            CHECK(event.admin().actor() == "admin-" + std::to_string(seen));
            CHECK(event.admin().after_json().size() == static_cast<std::size_t>(seen) * 13);
            CHECK(event.cursor() == "2:" + own_mark + std::to_string(900 + seen) + ".");
            ++seen;
        }
        CHECK(sent.cursor() == "2:" + own_mark + std::to_string(899 + seen) + ".");
        CHECK(item.ByteSizeLong() == message.Length());
    }
    CHECK(seen == 200);
    CHECK(messages <= 12);  // of 290 KB
}

TEST_CASE("the cursors of many gateways are counted in what a message of many may have") {
    const auto events = block(1, 80);
    REQUIRE(events);
    audit::FleetReader::Batch batch;
    batch.frame = {std::string(1500, 'x'), std::string(1500, 'x')};
    batch.shared.push_back(all_of(events));
    TailBatch sent(std::move(batch), TailView::full, TailForm::batched);
    int seen = 0;
    while (!sent.done()) {
        const auto& message = sent.take();
        CHECK(message.Length() <= gateway::control::tail_message_bytes);
        seen += parsed(message).events_size();
    }
    CHECK(seen == 80);
}

TEST_CASE("an event that is larger than a message of many has one of its own") {
    std::vector<audit::JournalRecord> records;
    for (std::uint64_t i = 1; i <= 3; ++i) {
        v1::AdminRecord admin;
        admin.set_after_json(std::string(i == 2 ? 100'000 : 10, 'j'));
        records.push_back(record(i, admin));
    }
    const auto events = audit::EventBlock::make(own_gateway, 0, records, {});
    REQUIRE(events);
    for (const bool shared : {true, false}) {
        audit::FleetReader::Batch batch;
        batch.frame = {own_mark, {}};
        if (shared) batch.shared.push_back(all_of(events));
        for (const auto& record : records)
            if (!shared) *batch.items.emplace_back().mutable_event() = *audit::decode(own_gateway, record);
        TailBatch sent(std::move(batch), TailView::full, TailForm::batched);
        for (std::uint64_t i = 1; i <= 3; ++i) {
            REQUIRE_FALSE(sent.done());
            const auto item = parsed(sent.take());
            REQUIRE(item.events_size() == 1);
            CHECK(item.events(0).sequence() == i);
        }
        CHECK(sent.done());
    }
}

TEST_CASE("what somebody filters comes in a message of its own, and of nothing there is none") {
    const auto events = block(1, 10);
    REQUIRE(events);
    auto picks = std::make_shared<const std::vector<std::uint32_t>>(std::vector<std::uint32_t>{1, 4, 9});
    audit::FleetReader::Batch batch;
    batch.frame = {own_mark, {}};
    batch.shared.push_back({events, picks, 0, 0});
    CHECK(TailBatch(std::move(batch), TailView::full, TailForm::batched).done());
    batch = {};
    batch.frame = {own_mark, {}};
    batch.shared.push_back({events, picks, 1, 3});
    // What lies in several blocks comes in one message as well.
    const auto next = block(11, 3);
    REQUIRE(next);
    batch.shared.push_back(all_of(next));
    TailBatch sent(std::move(batch), TailView::full, TailForm::batched);
    const auto item = parsed(sent.take());
    CHECK(sent.events() == 5);
    CHECK(sent.cursor() == own_mark + "13");
    CHECK(sent.done());
    REQUIRE(item.events_size() == 5);
    const std::vector<std::uint64_t> sequences{5, 10, 11, 12, 13};
    for (int i = 0; i < 5; ++i) {
        CHECK(item.events(i).sequence() == sequences[static_cast<std::size_t>(i)]);
        CHECK(item.events(i).cursor() == own_mark + std::to_string(sequences[static_cast<std::size_t>(i)]));
    }
}

TEST_CASE("a subscriber's own events come together, up to what is no event") {
    audit::FleetReader::Batch batch;
    for (const char* cursor : {"a", "b"}) batch.items.emplace_back().mutable_event()->set_cursor(cursor);
    batch.items.emplace_back().mutable_gap()->set_cursor("c");
    batch.items.emplace_back().mutable_event()->set_cursor("d");
    batch.items.emplace_back().set_heartbeat_cursor("e");
    TailBatch sent(std::move(batch), TailView::full, TailForm::batched);
    const auto next = [&](std::size_t events, const std::string& cursor) {
        const auto item = parsed(sent.take());
        CHECK(sent.events() == events);
        CHECK(sent.cursor() == cursor);
        CHECK(item.events_size() == static_cast<int>(events));
        return item;
    };
    CHECK(next(2, "b").events(0).cursor() == "a");
    CHECK(next(0, "c").has_gap());
    next(1, "d");
    CHECK(next(0, "e").heartbeat_cursor() == "e");
    CHECK(sent.done());
}

TEST_CASE("what is made of a block for batches is counted, and gone when the block forgets it") {
    const auto made = std::make_shared<std::atomic<std::size_t>>(0);
    v1::AdminRecord admin;
    admin.set_after_json(std::string(50'000, 'j'));
    const std::vector<audit::JournalRecord> records{record(1, admin)};
    const auto events = audit::EventBlock::make(own_gateway, 0, records, {}, made);
    REQUIRE(events);
    const auto before = made->load();
    (void)TailBundle::of(all_of(events), {own_mark, {}}, TailView::full);
    CHECK(*made > before + 50'000);
    events->forget_made();
    CHECK(*made == 0);
}
