// Goal: an operator sees how a model falls onto a machine before there is one.
// Method: phubctl without its main; machines in words and the example file with ten NICs.
#include "phub/phubctl_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "phub/phubctl.h"

namespace phub::hub {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

CtlResult run(const std::vector<std::string>& arguments) { return run_phubctl(arguments, {}); }

// The rows under the line that begins with `head`, by column, until a line has another number of
// words.
std::vector<std::map<std::string, std::string>> read_rows(const std::string& text,
                                                          const std::string& head) {
  const auto split = [](const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
  };
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line) && !line.starts_with(head)) continue;
  const std::vector<std::string> columns = split(line);
  std::vector<std::map<std::string, std::string>> rows;
  while (std::getline(lines, line)) {
    const std::vector<std::string> words = split(line);
    if (words.size() != columns.size()) break;
    std::map<std::string, std::string>& row = rows.emplace_back();
    for (size_t i = 0; i < words.size(); ++i) row[columns[i]] = words[i];
  }
  return rows;
}

TEST(PhubctlPlanTest, APlanShowsBalanceAndMemory) {
  const CtlResult result = run({"plan", "--elements", "81920", "--ranks=16", "--shards=4",
                                "--sockets=2", "--nics=2", "--optimizer=adam"});
  EXPECT_EQ(result.exit, CtlExit::done) << result.error;
  EXPECT_THAT(result.output, StartsWith("10 chunks of 1 tensors on 4 shards"));
  EXPECT_THAT(result.output,
              HasSubstr("81920 elements of fp32, 320 KiB, 16 ranks, optimizer adam"));
  // Sixteen copies of the model over a network; over shm the hub reads the ranks' own memory.
  EXPECT_THAT(result.output, ContainsRegex("slots \\(ranks x model\\) +0 B +5 MiB"));
  EXPECT_THAT(result.output, ContainsRegex("optimizer +960 KiB +960 KiB"));
}

TEST(PhubctlPlanTest, ShardsUseTheNicsOfTheirOwnSocket) {
  const CtlResult result = run({"plan", "--elements=819200", "--ranks=2", "--shards=4",
                                "--sockets=2", "--nics=4", "--chunks"});
  EXPECT_EQ(result.exit, CtlExit::done) << result.error;
  size_t chunks = 0;
  std::istringstream lines(result.output);
  std::string line;
  while (std::getline(lines, line) && !line.starts_with("chunk tensor")) continue;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string chunk, tensor, first, elements, hub, shard, core, numa, nic;
    words >> chunk >> tensor >> first >> elements >> hub >> shard >> core >> numa >> nic;
    EXPECT_EQ(numa, (nic == "nic0" || nic == "nic1") ? "0" : "1") << line;
    ++chunks;
  }
  EXPECT_EQ(chunks, 100u);
}

// The bound: at most a chunk above the mean, and what the shards of the node differ by.
TEST(PhubctlPlanTest, AMachineThatIsNotThisOneIsMappedOntoItsTenNics) {
  const std::string xml = std::string(PHUB_CONFIG_EXAMPLES) + "/two_sockets_ten_nics.xml";
  std::vector<std::string> machines = {"pack:2 core:14"};
  // hwloc reads such files by a plugin, which sanitizers do without.
  if (std::getenv("HWLOC_PLUGINS_PATH") == nullptr) machines.push_back(xml);
  for (const std::string& machine : machines) {
    std::vector<std::string> words = {"map", "--machine", machine, "--model",
                                      std::string(PHUB_TEST_MODELS) + "/resnet50.csv"};
    if (machine != xml) words.emplace_back("--nics=10");
    const CtlResult result = run(words);
    ASSERT_EQ(result.exit, CtlExit::done) << result.error;
    EXPECT_THAT(result.output, StartsWith("3223 chunks of 161 tensors on 28 shards, "));
    const auto chunks = read_rows(result.output, "chunk ");
    ASSERT_EQ(chunks.size(), 3223u);
    std::map<std::string, std::string> node_of_nic;
    const auto nics = read_rows(result.output, "nic ");
    ASSERT_EQ(nics.size(), 10u);
    for (auto nic : nics) {
      node_of_nic[nic["nic"]] = nic["numa"];
      EXPECT_LE(std::stoull(nic["elements"]), 25'557'032 / 10 * 1.003);
    }
    for (auto chunk : chunks) {
      ASSERT_EQ(node_of_nic.at(chunk["nic"]), chunk["numa"]) << chunk["chunk"];
      ASSERT_LT(std::stoul(chunk["qp"]), 5u);
    }
  }
}

TEST(PhubctlPlanTest, AMachineThatCannotBeIsRefused) {
  const auto error_of = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"map", "--elements=9", "--machine"});
    return run(words).error;
  };
  EXPECT_THAT(error_of({"rack:full"}), HasSubstr("hwloc cannot read it"));
  EXPECT_THAT(error_of({"./nonexistent.xml"}), HasSubstr("machine ./nonexistent.xml"));
  EXPECT_THAT(error_of({"core:2", "--shards=3"}), HasSubstr("--machine has 2 cores"));
  EXPECT_THAT(error_of({"core:2", "--sockets=2"}), HasSubstr("leave one of them out"));
  EXPECT_THAT(run({"map"}).error, HasSubstr("give the job's NAME, or --machine"));
}

TEST(PhubctlPlanTest, SeveralHubsShareTheModelAndEachPlansItsPart) {
  const auto slot_bytes = [](const std::string& hubs) {
    const CtlResult result =
        run({"plan", "--elements=819200", "--ranks=2", "--shards=2", "--hubs=" + hubs, "--json"});
    EXPECT_EQ(result.exit, CtlExit::done) << result.error;
    return nlohmann::json::parse(result.output)["memory_network"]["slot_bytes"].get<uint64_t>();
  };
  EXPECT_EQ(slot_bytes("1"), 2u * 819'200 * 4);
  EXPECT_EQ(slot_bytes("4"), slot_bytes("1") / 4);
  const CtlResult text = run({"plan", "--elements=819200", "--ranks=2", "--shards=2", "--hubs=4"});
  EXPECT_THAT(text.output, HasSubstr("8 shards of 4 hubs"));
  EXPECT_THAT(text.output, HasSubstr("3/1"));
}

TEST(PhubctlPlanTest, APlanAsJsonAddsUp) {
  const CtlResult result = run({"plan", "--elements=1000000", "--ranks=2", "--shards=8", "--json"});
  const Json document = Json::parse(result.output);
  uint64_t elements = 0;
  for (const Json& shard : document["shards"]) elements += shard["elements"].get<uint64_t>();
  EXPECT_EQ(elements, 1'000'000u);
  EXPECT_EQ(document["memory_shm"]["slot_bytes"], 0);
}

TEST(PhubctlPlanTest, AModelIsReadWithCommentsAndRefusedByLine) {
  const auto tensors =
      parse_model("# a model\n\nconv1.weight, 9408 # first\r\nfc,bias,1000\n", "m.csv");
  ASSERT_TRUE(tensors.ok()) << tensors.status().message();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[0].name, "conv1.weight");
  EXPECT_EQ((*tensors)[0].count, 9408u);
  EXPECT_EQ((*tensors)[1].name, "fc,bias");
  for (const char* bad : {"x,1\nfc\n", "x,1\nfc,0\n", "x,1\nfc,many\n", "x,1\n,5\n"}) {
    const auto refused = parse_model(bad, "m.csv");
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_THAT(refused.status().message(), StartsWith("m.csv:2: ")) << bad;
  }
  EXPECT_FALSE(parse_model("# nothing\n", "m.csv").ok());
}

TEST(PhubctlPlanTest, AMissingModelIsNamed) {
  const CtlResult result = run({"plan", "--ranks=2", "--model=/nonexistent.csv"});
  EXPECT_EQ(result.exit, CtlExit::refused);
  EXPECT_THAT(result.error, HasSubstr("/nonexistent.csv"));
}

}  // namespace
}  // namespace phub::hub
