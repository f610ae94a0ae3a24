// How a node's messages travel in a phub::Messenger's.
//
//   tag kControl: lines of text, the first says what it is
//   tag kData:    part 0 is a head and the body; the arrays follow, a part each
#pragma once

#include <phub/message.h>
#include <ps/internal/message.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ps {
namespace internal {

constexpr uint64_t kControl = 1;
constexpr uint64_t kData = 2;

std::string EncodeMeta(const Meta& meta);
// False: these bytes are not a head.
bool DecodeMeta(const char* bytes, size_t size, Meta* meta);
// The message that came; its arrays share the memory of `from`. False: it is not one.
bool Decode(const phub::Message& from, Message* message);

std::vector<std::string> Lines(const phub::Message& message);
std::string JoinLines(const std::vector<std::string>& lines);
int ToInt(const std::string& text);  // -1: it is none.

}  // namespace internal
}  // namespace ps
