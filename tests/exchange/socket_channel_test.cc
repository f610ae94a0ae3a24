// Goal: a session lives while both sides do, ends when the hub closes or falls silent, and says
// which; messages sent last still arrive.
// Method: the channel against a hub's end held by the test; peer_timeout of 200 ms. Only lower
// bounds of time are asserted, and the patience of the tests: a slow machine passes.
#include "exchange/socket_channel.h"

#include <gtest/gtest.h>

#include "exchange/session_codec.h"
#include "exchange/session_stream.h"
#include "tests/exchange/poll_support.h"
#include "tests/exchange/session_samples.h"

namespace phub::exchange {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPeerTimeout{200};

Message make_welcome(milliseconds peer_timeout) {
  Welcome welcome{.hub = "test hub", .shape = {}};
  welcome.peer_timeout_ms = static_cast<uint64_t>(peer_timeout.count());
  welcome.shape.shards.resize(1);
  return Message{welcome, {}};
}

struct Session {
  std::unique_ptr<SessionChannel> channel;
  SessionStream hub;
};

Session make_pair_session() {
  auto [a, b] = make_socket_pair();
  auto channel = make_session(std::move(a));
  EXPECT_TRUE(channel.ok()) << channel.status().message();
  return {*std::move(channel), SessionStream(std::move(b), kFrameBytesMax)};
}

// The next message, or none if the channel ended first.
std::optional<Message> await_message(SessionChannel& channel) {
  while (true) {
    const Status state = channel.state();  // Before receive: what came before the end counts.
    if (auto message = channel.receive(base::now())) return message;
    if (!state.ok() || !wait_for(channel.fd(), POLLIN)) return std::nullopt;
  }
}

Status await_end(SessionChannel& channel) {
  while (channel.state().ok()) {
    if (!channel.receive(base::now()) && !wait_for(channel.fd(), POLLIN)) break;
  }
  return channel.state();
}

void say(Session& session, Message message) {
  session.hub.queue(std::move(message));
  ASSERT_TRUE(session.hub.write().ok());
}

TEST(SocketChannelTest, MessagesGoBothWaysWithTheirDescriptors) {
  Session session = make_pair_session();
  std::vector<Message> at_hub;
  for (Body& body : make_samples()) {
    if (fd_count(body) == 0) session.channel->send(Message{std::move(body), {}});
  }
  ASSERT_TRUE(read_until(session.hub, make_samples().size() - 2, at_hub).ok());

  auto event = base::make_event_fd();
  ASSERT_TRUE(event.ok());
  Message offer{Offer{.epoch = 1, .digest = 5, .links = {"x"}, .fd_counts = {1}}, {}};
  offer.fds.push_back(*std::move(event));
  say(session, std::move(offer));
  const auto message = await_message(*session.channel);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(std::get<Offer>(message->body).digest, 5u);
  EXPECT_EQ(message->fds.size(), 1u);
  EXPECT_TRUE(session.channel->state().ok());
}

TEST(SocketChannelTest, HeartbeatsKeepAnIdleSessionAliveBothWays) {
  Session session = make_pair_session();
  // Long enough that a busy machine does not delay the hub's answers by as much.
  const milliseconds peer_timeout = 5 * kPeerTimeout;
  say(session, make_welcome(peer_timeout));
  ASSERT_TRUE(await_message(*session.channel).has_value());
  const base::Instant start = base::now();
  // The hub answers each of the worker's heartbeats, for longer than the timeout.
  size_t heartbeats = 0;
  while (base::now() - start < peer_timeout * 3 / 2) {
    std::vector<Message> messages;
    const Status status = read_until(session.hub, 1, messages);
    ASSERT_TRUE(status.ok()) << status.message();
    for (const Message& message : messages) {
      EXPECT_TRUE(std::holds_alternative<Heartbeat>(message.body));
    }
    heartbeats += messages.size();
    say(session, Message{Heartbeat{}, {}});
  }
  EXPECT_GE(heartbeats, 2u);
  EXPECT_TRUE(session.channel->state().ok()) << session.channel->state().message();
  EXPECT_FALSE(session.channel->receive(base::now()).has_value()) << "heartbeats are swallowed";
}

TEST(SocketChannelTest, ASilentHubEndsTheSession) {
  Session session = make_pair_session();
  const base::Instant start = base::now();
  say(session, make_welcome(kPeerTimeout));
  const Status end = await_end(*session.channel);
  EXPECT_GE(base::now() - start, kPeerTimeout);
  EXPECT_EQ(end.code(), Code::unavailable);
  EXPECT_NE(end.message().find("silent for"), std::string::npos) << end.message();
}

TEST(SocketChannelTest, BeforeTheWelcomeSilenceIsTheCallersToJudge) {
  Session session = make_pair_session();
  pollfd wait{session.hub.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 2 * static_cast<int>(kPeerTimeout.count())), 0) << "no heartbeats";
  EXPECT_TRUE(session.channel->state().ok());
}

TEST(SocketChannelTest, AClosedConnectionEndsTheSessionAfterTheLastMessage) {
  Session session = make_pair_session();
  say(session, Message{Failure{.code = 8, .message = "rank 2 is gone"}, {}});
  { const SessionStream closed = std::move(session.hub); }
  const auto last = await_message(*session.channel);
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(std::get<Failure>(last->body).message, "rank 2 is gone");
  const Status end = await_end(*session.channel);
  EXPECT_EQ(end.code(), Code::unavailable);
  EXPECT_NE(end.message().find("closed"), std::string::npos) << end.message();

  // After the end: still readable, and sending is dropped.
  session.channel->send(Message{Leave{}, {}});
  EXPECT_FALSE(session.channel->receive(base::now()).has_value());
  EXPECT_TRUE(wait_for(session.channel->fd(), POLLIN));
}

TEST(SocketChannelTest, BrokenBytesEndTheSession) {
  auto [a, b] = make_socket_pair();
  const auto channel = make_session(std::move(a));
  ASSERT_TRUE(channel.ok());
  const std::string_view noise = "this is not a frame at all";
  ASSERT_EQ(::send(b.get(), noise.data(), noise.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(noise.size()));
  EXPECT_EQ(await_end(**channel).code(), Code::invalid_argument);
}

TEST(SocketChannelTest, WhatWasSentLastArrivesAfterTheDestructor) {
  Session session = make_pair_session();
  session.channel->send(Message{Barrier{.id = 1}, {}});
  session.channel->send(Message{Leave{}, {}});
  session.channel.reset();
  std::vector<Message> messages;
  EXPECT_EQ(read_until(session.hub, 3, messages).code(), Code::unavailable);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<Leave>(messages[1].body));
}

TEST(SocketChannelTest, AHubThatDoesNotReadCannotHoldTheDestructor) {
  Session session = make_pair_session();
  StateQuery query{.id = 1, .write = true, .count = 4 << 20, .blob = ""};
  query.blob.assign(query.count * 4, 'x');
  session.channel->send(Message{query, {}});
  const base::Instant start = base::now();
  session.channel.reset();
  EXPECT_LT(base::now() - start, kPatience);
}

TEST(SocketChannelTest, TheDescriptorIsQuietWhenThereIsNoNews) {
  Session session = make_pair_session();
  say(session, Message{Start{.epoch = 1}, {}});
  ASSERT_TRUE(wait_for(session.channel->fd(), POLLIN));
  EXPECT_TRUE(session.channel->receive(base::now()).has_value());
  EXPECT_FALSE(session.channel->receive(base::now()).has_value());
  pollfd wait{session.channel->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
}

TEST(SocketChannelTest, ConnectingToAnAbsentHubIsUnavailable) {
  const auto channel =
      connect_session({"shm", "/tmp/phub-absent/hub.sock", {}}, milliseconds(1000));
  EXPECT_EQ(channel.status().code(), Code::unavailable);
}

}  // namespace
}  // namespace phub::exchange
