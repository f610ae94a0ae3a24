#include "wire.h"

#include <cstring>

namespace ps {
namespace internal {
namespace {

struct Head {
  int32_t head;
  int32_t app_id;
  int32_t customer_id;
  int32_t timestamp;
  int32_t sender;
  int32_t recver;
  int32_t priority;
  uint32_t flags;
};

constexpr uint32_t kRequest = 1;
constexpr uint32_t kPush = 2;
constexpr uint32_t kPull = 4;
constexpr uint32_t kSimpleApp = 8;
constexpr uint32_t kSameKeys = 16;

}  // namespace

std::string EncodeMeta(const Meta& meta) {
  const uint32_t flags = (meta.request ? kRequest : 0) | (meta.push ? kPush : 0) |
                         (meta.pull ? kPull : 0) | (meta.simple_app ? kSimpleApp : 0) |
                         (meta.same_keys ? kSameKeys : 0);
  const Head head = {meta.head,   meta.app_id, meta.customer_id, meta.timestamp,
                     meta.sender, meta.recver, meta.priority,    flags};
  return std::string(reinterpret_cast<const char*>(&head), sizeof(head)) + meta.body;
}

bool DecodeMeta(const char* bytes, size_t size, Meta* meta) {
  Head head;
  if (size < sizeof(head)) return false;
  std::memcpy(&head, bytes, sizeof(head));
  meta->head = head.head;
  meta->app_id = head.app_id;
  meta->customer_id = head.customer_id;
  meta->timestamp = head.timestamp;
  meta->sender = head.sender;
  meta->recver = head.recver;
  meta->priority = head.priority;
  meta->request = (head.flags & kRequest) != 0;
  meta->push = (head.flags & kPush) != 0;
  meta->pull = (head.flags & kPull) != 0;
  meta->simple_app = (head.flags & kSimpleApp) != 0;
  meta->same_keys = (head.flags & kSameKeys) != 0;
  meta->body.assign(bytes + sizeof(head), size - sizeof(head));
  return true;
}

bool Decode(const phub::Message& from, Message* message) {
  if (from.parts.empty()) return false;
  const auto& first = from.parts[0];
  const char* const bytes = reinterpret_cast<const char*>(first.data());
  if (!DecodeMeta(bytes, first.size(), &message->meta)) return false;
  for (size_t i = 1; i < from.parts.size(); ++i) {
    SArray<char> array;
    const size_t size = from.parts[i].size();
    auto* const data = reinterpret_cast<char*>(from.parts[i].data());
    const std::shared_ptr<void> memory = from.memory;
    array.reset(data, size, [memory](char*) {});
    message->meta.data_size += static_cast<int>(size);
    message->data.push_back(array);
  }
  return true;
}

std::vector<std::string> Lines(const phub::Message& message) {
  std::vector<std::string> lines;
  if (message.parts.empty()) return lines;
  const auto& part = message.parts[0];
  std::istringstream text(std::string(reinterpret_cast<const char*>(part.data()), part.size()));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

std::string JoinLines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

int ToInt(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  return text.empty() || *end != '\0' || value < -1 || value > INT32_MAX ? -1
                                                                         : static_cast<int>(value);
}

}  // namespace internal
}  // namespace ps
