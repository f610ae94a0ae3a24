// Two mailboxes at the ends of one simulated link, and what users at both ends do with them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "exchange/mailbox.h"
#include "transport/sim.h"

namespace phub::exchange {

using Bytes = std::vector<std::byte>;

// Small slots, so that few bytes make every ring wrap.
constexpr MailboxOptions kSmallMailbox = {
    .eager_slots = 4, .eager_bytes = 256, .bulk_slots = 4, .bulk_bytes = 256, .sends_max = 16};

// Message `number` of a sender: parts of bytes that only it has.
inline std::vector<Bytes> make_parts(uint64_t seed, uint64_t number) {
  base::Random random(seed * 1'000'003 + number);
  std::vector<Bytes> parts(random.below(kMailPartsMax + 1));
  const bool is_large = random.chance(0.3);
  for (Bytes& part : parts) {
    part.resize(random.below(is_large ? 1500 : 40));
    for (std::byte& byte : part) byte = static_cast<std::byte>(random.next());
  }
  return parts;
}

// One end: sends numbered messages, and checks what comes against what the other end sends.
class MailboxUser {
 public:
  MailboxUser(transport::Fabric& fabric, bool is_acceptor, uint64_t seed, uint64_t peer_seed,
              const MailboxOptions& options = kSmallMailbox)
      : fabric_(fabric),
        mailbox_(std::move(
            Mailbox::create(fabric, is_acceptor, is_acceptor ? "worker" : "hub", options).value())),
        random_(seed),
        seed_(seed),
        peer_seed_(peer_seed) {}

  Mailbox& mailbox() { return *mailbox_; }
  void start(transport::LinkId link) { mailbox_->start(link); }
  void send_until(uint64_t count) { wanted_ = count; }

  size_t poll(base::Instant now) {
    std::array<transport::Event, 4> events;
    const size_t count = fabric_.poll(now, events);
    for (size_t i = 0; i < count; ++i) mailbox_->on_event(events[i]);
    size_t work = count + feed();
    while (std::optional<MailEvent> event = mailbox_->next()) {
      on_event(*event);
      ++work;
    }
    answer_some();
    return work + mailbox_->pump();
  }

  uint64_t begun_count() const { return begun_; }
  uint64_t ended_count() const { return ended_; }
  uint64_t sent_count() const { return sent_; }
  uint64_t failed_count() const { return failed_; }
  uint64_t started_count() const { return started_; }
  uint32_t lost_count() const { return lost_; }
  bool has_farewell() const { return has_farewell_; }
  // Begun messages are accepted late, in any order.
  void set_lazy(bool is_lazy) { is_lazy_ = is_lazy; }

 private:
  struct Large {
    uint64_t number = 0;
    uint64_t tag = 0;
    std::vector<size_t> sizes;
    std::vector<Bytes> parts;
    bool is_accepted = false;
    bool is_dropped = false;
  };

  size_t feed() {
    size_t work = 0;
    while (started_ < wanted_ && !mailbox_->is_lost()) {
      std::vector<Bytes> parts = make_parts(seed_, started_);
      OutgoingMail mail{.tag = seed_ << 32 | started_, .cookie = started_};
      for (const Bytes& part : parts) mail.parts[mail.part_count++] = part;
      if (!mailbox_->send(mail)) break;
      lent_[started_++] = std::move(parts);
      ++work;
    }
    return work;
  }

  void on_event(const MailEvent& event) {
    switch (event.kind) {
      case MailEventKind::message:
        expect_turn(event);
        expect_parts(begun_ - 1, event);
        ++ended_;
        return;
      case MailEventKind::begun: {
        expect_turn(event);
        Large& large = large_[event.id];
        large = Large();
        large.number = begun_ - 1;
        large.tag = event.tag;
        for (uint32_t i = 0; i < event.part_count; ++i) {
          large.sizes.push_back(event.parts[i].size());
        }
        return;
      }
      case MailEventKind::received:
        on_received(event);
        return;
      case MailEventKind::sent:
        EXPECT_EQ(lent_.erase(event.cookie), 1u) << "sent twice, or never begun";
        ++(event.ok ? sent_ : failed_);
        return;
      case MailEventKind::farewell:
        has_farewell_ = true;
        return;
      case MailEventKind::lost:
        ++lost_;
        return;
    }
  }

  void expect_turn(const MailEvent& event) {
    EXPECT_EQ(event.tag, peer_seed_ << 32 | begun_) << "out of turn";
    ++begun_;
  }

  void expect_parts(uint64_t number, const MailEvent& event) {
    const std::vector<Bytes> wanted = make_parts(peer_seed_, number);
    ASSERT_EQ(event.part_count, wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(event.parts[i].size(), wanted[i].size());
      EXPECT_TRUE(std::equal(wanted[i].begin(), wanted[i].end(), event.parts[i].begin()));
    }
  }

  void answer_some() {
    if (mailbox_->is_lost()) return;
    for (auto& [id, large] : large_) {
      if (large.is_accepted || (is_lazy_ && !random_.chance(0.1))) continue;
      large.is_accepted = true;
      large.is_dropped = random_.chance(0.1);
      std::vector<std::span<std::byte>> to;
      for (const size_t size : large.sizes) large.parts.emplace_back(size);
      for (Bytes& part : large.parts) to.emplace_back(part);
      mailbox_->accept(id, large.is_dropped ? std::span<std::span<std::byte>>() : to);
    }
  }

  void on_received(const MailEvent& event) {
    const auto found = large_.find(event.id);
    ASSERT_NE(found, large_.end());
    if (event.ok) {
      ++ended_;
      const Large& large = found->second;
      EXPECT_TRUE(large.is_accepted);
      if (!large.is_dropped) {
        EXPECT_EQ(large.parts, make_parts(peer_seed_, large.number));
      }
    }
    large_.erase(found);
  }

  transport::Fabric& fabric_;
  std::unique_ptr<Mailbox> mailbox_;
  base::Random random_;
  const uint64_t seed_;
  const uint64_t peer_seed_;
  bool is_lazy_ = false;
  uint64_t wanted_ = 0;
  uint64_t started_ = 0;
  uint64_t sent_ = 0;
  uint64_t failed_ = 0;
  uint64_t begun_ = 0;
  uint64_t ended_ = 0;
  uint32_t lost_ = 0;
  bool has_farewell_ = false;
  std::map<uint64_t, std::vector<Bytes>> lent_;
  std::map<uint32_t, Large> large_;
};

}  // namespace phub::exchange
