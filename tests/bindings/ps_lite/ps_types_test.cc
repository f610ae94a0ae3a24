// Goal: the types of the ps-lite headers behave as programs expect: arrays that share, ranges that
// lose no key, an environment that comes before the process's.
// Method: values known by hand; both dialects' names are used, so that they stay.
#include <gtest/gtest.h>
#include <ps/ps.h>

namespace ps {
namespace {

TEST(SArrayTest, CopiesAndSegmentsShare) {
  SArray<int> a({1, 2, 3, 4, 5});
  SArray<int> b = a;
  SArray<int> middle = a.segment(1, 3);
  b[1] = 20;
  EXPECT_EQ(a[1], 20);
  EXPECT_EQ(middle.size(), 2u);
  EXPECT_EQ(middle[0], 20);
  a.clear();
  EXPECT_EQ(middle.back(), 3);
  EXPECT_THROW(b.segment(2, 6), dmlc::Error);
}

TEST(SArrayTest, GrowsAndConverts) {
  SArray<float> a;
  for (int i = 0; i < 100; ++i) a.push_back(static_cast<float>(i));
  EXPECT_EQ(a.size(), 100u);
  EXPECT_EQ(a[99], 99.0f);
  a.resize(102, 7);
  EXPECT_EQ(a.back(), 7.0f);
  a.resize(1 << 20);
  EXPECT_EQ(a[99], 99.0f);
  EXPECT_EQ(a.back(), 0.0f);
  SArray<char> bytes(a);
  EXPECT_EQ(bytes.size(), sizeof(float) << 20);
  EXPECT_EQ(reinterpret_cast<float*>(bytes.data()), a.data());
  EXPECT_THROW(SArray<double>(SArray<char>(5)), dmlc::Error);
  SArray<float> b;
  b.append(a.segment(98, 102));
  EXPECT_EQ(b.size(), 4u);
  EXPECT_EQ(DebugStr(b.data(), 4), "[4]: 98 99 7 7 ");
}

TEST(SArrayTest, ADeleterRunsWithTheLastCopy) {
  int deleted = 0;
  int memory[3] = {1, 2, 3};
  SArray<int> part;
  {
    SArray<int> all;
    all.reset(memory, 3, [&deleted](int*) { ++deleted; });
    part = all.segment(2, 3);
  }
  EXPECT_EQ(deleted, 0);
  part.clear();
  EXPECT_EQ(deleted, 1);
}

TEST(RangeTest, FindRangeGivesPositions) {
  const SArray<Key> keys({Key{1}, Key{3}, Key{5}, Key{7}});
  EXPECT_EQ(FindRange(keys, Key{3}, Key{7}).begin(), 1u);
  EXPECT_EQ(FindRange(keys, Key{3}, Key{7}).end(), 3u);
  EXPECT_EQ(FindRange(keys, Key{8}, Key{2}).size(), 0u);
}

TEST(EnvironmentTest, ValuesComeBeforeTheProcesss) {
  ::setenv("PS_TEST_VARIABLE", "outer", 1);
  Environment::Init({{"PS_TEST_VARIABLE", "inner"}});
  EXPECT_STREQ(Environment::Get()->find("PS_TEST_VARIABLE"), "inner");
  Environment::Init({});
  EXPECT_STREQ(Environment::Get()->find("PS_TEST_VARIABLE"), "outer");
  EXPECT_EQ(GetEnv("PS_TEST_NOT_SET", 5), 5);
}

TEST(PostofficeTest, AMissingVariableIsNamed) {
  ::unsetenv("DMLC_NUM_WORKER");
  try {
    Start(0);
    FAIL();
  } catch (const dmlc::Error& error) {
    EXPECT_NE(std::string(error.what()).find("DMLC_NUM_WORKER is not set"), std::string::npos);
  }
  EXPECT_EQ(Postoffice::WorkerRankToID(1), 11);
  EXPECT_EQ(Postoffice::ServerRankToID(1), 10);
  EXPECT_EQ(Postoffice::IDtoRank(11), 1);
  EXPECT_EQ(GetRole("server"), Node::SERVER);
  EXPECT_THROW(GetRole("cook"), dmlc::Error);
}

}  // namespace
}  // namespace ps
