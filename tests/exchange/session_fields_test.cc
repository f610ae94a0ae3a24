// Goal: a body with a field missing, of another type or out of range is refused, and the error
// names the field.
// Method: take every field of every sample out in turn, put every other JSON type in its place, and
// step over each stated limit.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "exchange/session_codec.h"
#include "tests/exchange/session_samples.h"

namespace phub::exchange {
namespace {

using Json = nlohmann::ordered_json;

struct Frame {
  std::string header;
  Json json;
  std::string blob;

  explicit Frame(const Body& body) {
    const std::string text = encode(body);
    const auto parts =
        read_frame_header(std::as_bytes(std::span(text)).first(kFrameHeaderBytes), kFrameBytesMax);
    header = text.substr(0, kFrameHeaderBytes);
    json = Json::parse(text.substr(kFrameHeaderBytes, parts->json_bytes));
    blob = text.substr(kFrameHeaderBytes + parts->json_bytes);
  }
};

Status decode_with(Frame frame, const std::string& json) {
  for (int i = 0; i < 4; ++i) {
    frame.header[8 + i] = static_cast<char>(json.size() >> (8 * i));
    frame.header[12 + i] = static_cast<char>(frame.blob.size() >> (8 * i));
  }
  const std::string text = frame.header + json + frame.blob;
  return decode(std::as_bytes(std::span(text))).status();
}

// Pointers to every field: objects' members, and the members of the first object in each array.
void list_fields(const Json& object, const std::string& prefix, std::vector<std::string>& out) {
  for (const auto& [key, value] : object.items()) {
    out.push_back(prefix + "/" + key);
    if (value.is_object()) list_fields(value, prefix + "/" + key, out);
    if (value.is_array() && !value.empty() && value[0].is_object()) {
      for (size_t i = 0; i < value.size(); ++i) {
        list_fields(value[i], prefix + "/" + key + "/" + std::to_string(i), out);
      }
    }
  }
}

std::vector<std::string> fields_of(const Frame& frame) {
  std::vector<std::string> out;
  list_fields(frame.json, "", out);
  return out;
}

std::string last_name(const std::string& pointer) { return pointer.substr(pointer.rfind('/') + 1); }

bool is_optional(const std::string& pointer) {
  const bool is_place = pointer.starts_with("/shards/") || pointer.starts_with("/nics/");
  return pointer == "/key" || pointer == "/host_proof" || last_name(pointer) == "optimizer" ||
         (is_place && last_name(pointer) == "hub");
}

TEST(SessionFieldsTest, EveryMissingFieldIsNamed) {
  size_t checked = 0;
  for (const Body& sample : make_samples()) {
    const Frame frame(sample);
    for (const std::string& field : fields_of(frame)) {
      if (is_optional(field)) continue;
      Json json = frame.json;
      const Json::json_pointer pointer(field);
      json[pointer.parent_pointer()].erase(last_name(field));
      const Status status = decode_with(frame, json.dump());
      EXPECT_EQ(status.code(), Code::invalid_argument) << name_of(sample) << field;
      EXPECT_TRUE(status.message().ends_with(last_name(field) + ": missing")) << status.message();
      ++checked;
    }
  }
  EXPECT_GT(checked, 60u);
}

TEST(SessionFieldsTest, EveryFieldOfAnotherTypeIsNamed) {
  const Json others[] = {
      nullptr, true, "text \x01", -1.5, Json::array({Json::array()}), Json::object({{"a", 1}})};
  for (const Body& sample : make_samples()) {
    const Frame frame(sample);
    for (const std::string& field : fields_of(frame)) {
      for (const Json& other : others) {
        Json json = frame.json;
        const Json::json_pointer pointer(field);
        const bool is_same_kind = json[pointer].type() == other.type() ||
                                  (json[pointer].is_number() && other.is_number());
        // Free text and reals accept all of their kind.
        if (is_same_kind && (json[pointer].is_boolean() || json[pointer].is_number_float() ||
                             last_name(field) == "message" || last_name(field) == "text")) {
          continue;
        }
        json[pointer] = other;
        const Status status = decode_with(frame, json.dump());
        EXPECT_EQ(status.code(), Code::invalid_argument)
            << name_of(sample) << field << " " << other.dump();
        EXPECT_NE(status.message().find(last_name(field)), std::string::npos) << status.message();
      }
    }
  }
}

struct Limit {
  size_t sample;  // Index into make_samples() and Body.
  const char* field;
  Json good;
  Json bad;
};

TEST(SessionFieldsTest, LimitsAreHeldExactly) {
  const std::string hex(64, 'c');
  const Limit limits[] = {
      {0, "/job", std::string(64, 'j'), std::string(65, 'j')},
      {0, "/job", "a.B_c-9", "a b"},
      {0, "/job", "a", ""},
      {0, "/job", "a", "../x"},
      {0, "/rank_count", 1024, 1025},
      {0, "/rank_count", 4, 3},  // Rank 3 is then out of range.
      {0, "/rank_count", 4, 0},
      {0, "/chunk_elements", 64, 63},
      {0, "/chunk_elements", 128, 100},
      {0, "/chunk_elements", 4'194'304, 4'194'368},
      {0, "/rank", 3, 4},
      {0, "/process", 0, -1},
      {0, "/host", std::string(255, 'h'), std::string(256, 'h')},
      {0, "/host", "node 7", "node\n7"},
      {0, "/fabric", "shm", "shm\t"},
      {0, "/nonce", hex, hex + "c"},
      {0, "/nonce", hex, std::string(64, 'C')},
      {1, "/hmac", hex, hex.substr(1)},
      {2, "/epoch", 1, 0},
      {2, "/epoch", UINT32_MAX, uint64_t{UINT32_MAX} + 1},
      {2, "/table/0/name", std::string(200, 'n'), std::string(201, 'n')},
      {2, "/table/0/type", "int64", "int128"},
      {2, "/table/0/op", "product", "average"},
      {2, "/table/0/count", UINT64_MAX, 0},
      {2, "/table/0/priority", INT32_MIN, int64_t{INT32_MIN} - 1},
      {2, "/table/0/priority", INT32_MAX, UINT64_MAX},
      {2, "/table/1/optimizer/kind", "sgd", "lamb"},
      {2, "/table/1/optimizer/beta1", 3.4e38, 3.5e38},
      {3, "/fd_counts", {0, 0, 3}, {0, 3}},
      {3, "/link_bytes", {5, 0, 0}, {5, 0, 1}},
      {7, "/kind", 2, kStepCount + 1},
      {7, "/count", 2, 3},  // The blob has two.
      {7, "/tensor", 999'999, 1'000'000},
      {12, "/peer_timeout_ms", 1, 0},
      {12, "/shards", Json::array({{{"numa_node", 0}, {"core", 0}}}), Json::array()},
      {12, "/shards/0/core", -1, -2},
      {18, "/code", 11, 12},
      {20, "/code", 1, 0},
      {20, "/code", 11, 12},
      {21, "/nonce", std::string(64, '0'), std::string(63, '0')},
      {22, "/protocol", 65'535, 65'536},
      {22, "/instance", std::string(64, 'f'), std::string(64, 'g')},
      {22, "/host_proof", std::string(64, 'f'), ""},
      {22, "/listen", Json::array(), Json::array({1})},
      {22, "/listen/0/address", std::string(300, 'x'), std::string(301, 'x')},
  };
  const std::vector<Body> samples = make_samples();
  for (const Limit& limit : limits) {
    const Frame frame(samples[limit.sample]);
    Json json = frame.json;
    json[Json::json_pointer(limit.field)] = limit.good;
    const Status good = decode_with(frame, json.dump());
    EXPECT_TRUE(good.ok()) << limit.field << ": " << good.message();
    json[Json::json_pointer(limit.field)] = limit.bad;
    EXPECT_EQ(decode_with(frame, json.dump()).code(), Code::invalid_argument)
        << limit.field << " " << limit.bad.dump().substr(0, 80);
  }
}

TEST(SessionFieldsTest, ErrorsGiveThePathAndTheValue) {
  const Frame frame(make_samples()[2]);
  Json json = frame.json;
  json["table"][1]["optimizer"]["beta2"] = "much";
  EXPECT_EQ(
      decode_with(frame, json.dump()).message(),
      "message tensors: field table[1].optimizer.beta2: want a number in float32's range, got "
      "\"much\"");
}

TEST(SessionFieldsTest, APeersBytesInAnErrorCannotBreakALogLine) {
  const Frame frame(make_samples()[0]);
  Json json = frame.json;
  json["job"] = "two\nlines\x1b[2J" + std::string(50, '!');
  const std::string message = decode_with(frame, json.dump()).message();
  for (const char c : message) EXPECT_TRUE(c >= ' ' && c <= '~') << message;
}

TEST(SessionFieldsTest, BodiesThatAreNotOneJsonObjectAreRefused) {
  const Frame frame(make_samples()[10]);
  for (const char* const json : {"", "[]", "1", "null", "{", "{}x", "{\"a\":1,}",
                                 "{\"a\":\"\xff\"}", "{\"a\":1e999}", "{a:1}", "//\n{}"}) {
    EXPECT_EQ(decode_with(frame, json).code(), Code::invalid_argument) << json;
  }
  EXPECT_TRUE(decode_with(frame, "{\"field_of_a_later_release\":[1]}").ok());
}

TEST(SessionFieldsTest, DeepNestingIsRefusedBeforeItIsBuilt) {
  const Frame frame(make_samples()[10]);
  const size_t depth = 1'000'000;
  const std::string bomb = "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  EXPECT_NE(decode_with(frame, bomb).message().find("deeper than"), std::string::npos);
  // Brackets inside of strings are no nesting.
  EXPECT_TRUE(decode_with(frame, "{\"a\":\"\\\"" + std::string(100, '[') + "\"}").ok());
}

TEST(SessionFieldsTest, ABlobWhereNoneBelongsIsRefused) {
  for (const Body& sample : make_samples()) {
    Frame frame(sample);
    frame.blob += "x";
    EXPECT_EQ(decode_with(frame, frame.json.dump()).code(), Code::invalid_argument)
        << name_of(sample);
  }
}

}  // namespace
}  // namespace phub::exchange
