// Goal: programs get every number of a snapshot as valid JSON, whatever bytes a rank has put in.
// Method: render a made-up hub, parse it with the library, compare fields.
#include "phub/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/phub/fake_admin.h"

namespace phub::hub {
namespace {

using Json = nlohmann::json;

TEST(JsonTest, AStatusHoldsHubShardsAndJobs) {
  const Json document = Json::parse(to_json(make_snapshot()));
  EXPECT_EQ(document["host"], "node7");
  EXPECT_EQ(document["memory_limit_bytes"], uint64_t{8} << 30);
  EXPECT_EQ(document["is_draining"], false);
  ASSERT_EQ(document["shards"].size(), 1u);
  EXPECT_EQ(document["shards"][0]["pushes"], 1234567);
  EXPECT_EQ(document["shards"][0]["core"], 3);
  ASSERT_EQ(document["jobs"].size(), 1u);
  EXPECT_EQ(document["jobs"][0]["ranks_ready"], 1);
  EXPECT_TRUE(document["jobs"][0].contains("ranks_joined"));
  EXPECT_EQ(document["jobs"][0]["rank_count"], 2);
}

TEST(JsonTest, AJobHoldsItsRanksAndMemory) {
  const Json document = Json::parse(to_json(make_snapshot().jobs[0]));
  EXPECT_EQ(document["state"], "running");
  EXPECT_EQ(document["memory"]["total_bytes"], 4096);
  ASSERT_EQ(document["ranks"].size(), 2u);
  EXPECT_EQ(document["ranks"][1]["state"], "left");
  EXPECT_EQ(document["ranks"][1]["process"], 4712);
}

TEST(JsonTest, LatenessNamesTensorRoundAndRanks) {
  const Json document = Json::parse(to_json("resnet", {{5, "fc1.weight", 17, 3.25, {1, 3}}}));
  EXPECT_EQ(document["job"], "resnet");
  EXPECT_EQ(document["late"][0]["tensor_name"], "fc1.weight");
  EXPECT_EQ(document["late"][0]["since_seconds"], 3.25);
  EXPECT_EQ(document["late"][0]["missing_ranks"], Json::parse("[1, 3]"));
}

TEST(JsonTest, NamesThatAreNotUtf8StillGiveValidJson) {
  HubSnapshot hub = make_snapshot();
  hub.jobs[0].ranks[0].host = "node\xff\xfe\"\n\x01";
  const Json document = Json::parse(to_json(hub.jobs[0]));
  const std::string host = document["ranks"][0]["host"];
  EXPECT_TRUE(host.starts_with("node"));
  EXPECT_TRUE(host.ends_with("\"\n\x01"));
}

TEST(JsonTest, AMapBecomesOneObjectAChunk) {
  FakeAdmin admin;
  const Json document = Json::parse(map_to_json("resnet", *admin.map_text("resnet")));
  ASSERT_EQ(document["chunks"].size(), 2u);
  EXPECT_EQ(document["chunks"][1]["first_element"], 8192);
  EXPECT_EQ(document["chunks"][1]["core"], -1);
  EXPECT_EQ(document["chunks"][1]["nic"], "-");
  EXPECT_EQ(document["chunks"][1]["name"], "fc 1.weight");
  EXPECT_EQ(document["summary"], "2 chunks of 1 tensors on 1 shards, max/mean 1.0000");
}

TEST(JsonTest, NicsOfAMapStandBesideItsChunks) {
  const Json document = Json::parse(map_to_json("resnet",
                                                "1 chunks of 1 tensors on 1 shards\n"
                                                "1 NICs, max/mean 1.0000\n"
                                                "nic hub numa chunks elements bytes\n"
                                                "mlx5_0 0 1 1 64 256\n"
                                                "chunk numa nic qp slot name\n"
                                                "0 1 mlx5_0 0 0 fc\n"));
  ASSERT_EQ(document["nics"].size(), 1u);
  EXPECT_EQ(document["nics"][0]["nic"], "mlx5_0");
  EXPECT_EQ(document["nics"][0]["bytes"], 256);
  ASSERT_EQ(document["chunks"].size(), 1u);
  EXPECT_EQ(document["chunks"][0]["qp"], 0);
  EXPECT_EQ(document["chunks"][0]["name"], "fc");
}

TEST(JsonTest, ATextThatIsNoMapGivesNoChunks) {
  EXPECT_TRUE(Json::parse(map_to_json("x", ""))["chunks"].empty());
  EXPECT_TRUE(Json::parse(map_to_json("x", "one line"))["chunks"].empty());
}

TEST(JsonTest, ASecretIsShownOnlyWhenAsked) {
  JobSpec spec;
  spec.secret = "open-sesame";
  EXPECT_EQ(created_to_json(spec, false).find("open-sesame"), std::string::npos);
  EXPECT_EQ(Json::parse(created_to_json(spec, true))["secret"], "open-sesame");
}

TEST(JsonTest, AnErrorHasCodeAndMessage) {
  const Json document = Json::parse(error_to_json(Status(Code::not_found, "job \"x\": gone")));
  EXPECT_EQ(document["error"]["code"], "not_found");
  EXPECT_EQ(document["error"]["message"], "job \"x\": gone");
}

}  // namespace
}  // namespace phub::hub
