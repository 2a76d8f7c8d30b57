#include "gateway/upgrade/link.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <future>

#include "catch.hpp"
#include "link_pair.hpp"

using namespace usher;
using base::Errc;
using gateway::upgrade::Link;
using gateway::upgrade::Message;

TEST_CASE("a message comes over the link as a whole, with its descriptors") {
    LinkPair pair;
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    REQUIRE(pair.one->send(failed("why"), std::array{pipe[0], pipe[1]}));
    ::close(pipe[0]);
    ::close(pipe[1]);
    auto received = pair.other->receive(soon);
    REQUIRE(received);
    CHECK(received->message.failed().reason() == "why");
    REQUIRE(received->descriptors.size() == 2);
    for (const auto& descriptor : received->descriptors) CHECK((::fcntl(descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(::write(received->descriptors[1].get(), "x", 1) == 1);
    char byte = 0;
    CHECK(::read(received->descriptors[0].get(), &byte, 1) == 1);
    CHECK(byte == 'x');
}

TEST_CASE("silence, an end and nonsense on the link are told apart") {
    LinkPair pair;
    CHECK(pair.other->receive(base::Microseconds{1000}).error().code == Errc::deadline_exceeded);
    SECTION("nonsense") {
        REQUIRE(::send(pair.raw, "\xff\xff\xff", 3, 0) == 3);
        CHECK(pair.one->receive(soon).error().code == Errc::data_loss);
    }
    SECTION("an end") {
        pair.one.reset();
        const auto error = pair.other->receive(soon).error();
        CHECK(error.code == Errc::unavailable);
        CHECK(error.message == "the other process has ended");
        CHECK(pair.other->send(failed("x")).error().message == "the other process has ended");
    }
}

TEST_CASE("only one end of a packet socket pair is a link") {
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    const base::UniqueFd keep{pipe[1]};
    auto refused = Link::adopt(base::UniqueFd{pipe[0]});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("does not lead to another usherd") != std::string::npos);
    std::array<int, 2> stream{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, stream.data()) == 0);
    const base::UniqueFd other{stream[1]};
    CHECK_FALSE(Link::adopt(base::UniqueFd{stream[0]}));
    CHECK_FALSE(Link::adopt(base::UniqueFd{}));
}

TEST_CASE("posted messages come in their order, and the end is told once") {
    LinkPair pair;
    std::promise<void> all, end;
    std::vector<std::string> heard;
    pair.other->start(
        [&](const Message& message) {
            heard.push_back(message.failed().reason());
            if (heard.size() == 500) all.set_value();
        },
        [&] { end.set_value(); });
    pair.one->start([](const Message&) {}, [] {});
    for (int i = 0; i < 500; ++i) REQUIRE(pair.one->post(failed(std::to_string(i) + std::string(10'000, 'x'))));
    REQUIRE(all.get_future().wait_for(std::chrono::seconds{30}) == std::future_status::ready);
    for (int i = 0; i < 500; ++i) CHECK(heard[static_cast<std::size_t>(i)].starts_with(std::to_string(i) + "x"));
    pair.one->close();
    REQUIRE(end.get_future().wait_for(std::chrono::seconds{30}) == std::future_status::ready);
    CHECK_FALSE(pair.one->post(failed("late")));
}

TEST_CASE("an end that does not read costs a bounded queue, and then the link") {
    LinkPair pair;
    std::promise<void> end;
    pair.one->start([](const Message&) {}, [&] { end.set_value(); });
    const Message large = failed(std::string(100'000, 'x'));
    int posted = 0;
    while (posted < 10'000 && pair.one->post(large)) ++posted;
    CHECK(posted < 1'000);  // the kernel holds some too
    CHECK(posted > 500);
    REQUIRE(end.get_future().wait_for(std::chrono::seconds{30}) == std::future_status::ready);
}
