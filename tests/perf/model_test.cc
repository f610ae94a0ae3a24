// Goal: the workloads are the real networks, to the last parameter.
// Method: the tables in perf/models against the published parameter counts; broken tables by hand.
#include "perf/model.h"

#include <gtest/gtest.h>

namespace phub::perf {
namespace {

TEST(ModelTest, TablesHaveThePublishedParameterCounts) {
  // torchvision's documentation for the vision networks, their papers' reference code for BERT and
  // GPT-2. Inception-v3 with its auxiliary classifier, GoogLeNet without. ResNet-269 is published
  // only as a recipe: the count is that of MXNet's example symbol, by hand in make_models.py.
  const std::pair<const char*, uint64_t> published[] = {
      {"alexnet", 61'100'840},  {"vgg11", 132'863'336},       {"vgg19", 143'667'240},
      {"googlenet", 6'624'904}, {"inception_v3", 27'161'264}, {"resnet18", 11'689'512},
      {"resnet50", 25'557'032}, {"resnet269", 102'065'838},   {"bert_large", 335'141'888},
      {"gpt2", 124'439'808},
  };
  for (const auto& [name, count] : published) {
    const Result<Model> model = load_model(name);
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ(model->element_count(), count) << name;
  }
}

TEST(ModelTest, CommentsAndEmptyLinesAreSkipped) {
  const Result<Model> model = parse_model("m", "# source\n\na.weight,12\nb,1\n");
  ASSERT_TRUE(model.ok()) << model.status().message();
  ASSERT_EQ(model->tensors.size(), 2u);
  EXPECT_EQ(model->tensors[0].name, "a.weight");
  EXPECT_EQ(model->element_count(), 13u);
}

TEST(ModelTest, BrokenLinesAreNamed) {
  for (const char* text : {"a", "a,", "a,x", "a,0", ",5", "a,-1", "a,5x", "# nothing\n"}) {
    EXPECT_EQ(parse_model("m", text).status().code(), Code::invalid_argument) << text;
  }
  EXPECT_NE(parse_model("m", "a,1\nb\n").status().message().find("line 2"), std::string::npos);
}

TEST(ModelTest, AnUnknownModelSaysWhereItLooked) {
  const Result<Model> model = load_model("no_such_net");
  EXPECT_EQ(model.status().code(), Code::not_found);
  EXPECT_NE(model.status().message().find("no_such_net.csv"), std::string::npos);
}

TEST(ModelTest, AFlatModelIsOneTensorOfWholeElements) {
  EXPECT_EQ(flat_model(4096, 4)->element_count(), 1024u);
  EXPECT_FALSE(flat_model(4098, 4).ok());
  EXPECT_FALSE(flat_model(0, 4).ok());
}

}  // namespace
}  // namespace phub::perf
