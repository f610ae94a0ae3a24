// Goal: the operator's door answers every path, refuses what is wrong with a reason, guards what
// changes something, and no client, however broken or slow, keeps another from being served.
// Method: a real server on an ephemeral loopback port over a made-up hub; an HTTP client for good
// requests, bare sockets for bad ones.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/random.h"
#include "phub/http_server.h"
#include "tests/phub/fake_admin.h"

namespace phub::hub {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

constexpr const char* kToken = "0123456789abcdef0123456789abcdef";

class HttpTest : public testing::Test {
 protected:
  void start(const std::string& token = "") {
    options_.token = token;
    auto started = HttpServer::start(options_, admin_);
    ASSERT_TRUE(started.ok()) << started.status().message();
    server_ = std::move(started).value();
  }
  httplib::Client client() {
    httplib::Client result("127.0.0.1", server_->address().port);
    result.set_read_timeout(20);
    return result;
  }
  httplib::Result post(const std::string& path, const std::string& body) {
    return client().Post(path, body, "application/json");
  }
  static std::string error_code(const httplib::Result& reply) {
    return Json::parse(reply->body)["error"]["code"];
  }
  static std::string error_message(const httplib::Result& reply) {
    return Json::parse(reply->body)["error"]["message"];
  }
  base::Fd connect_raw() {
    base::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->address().port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  FakeAdmin admin_;
  FakeProgram program_;
  HttpOptions options_{{"127.0.0.1", 0}, "", nullptr};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTest, EveryPathOfTheManualAnswers) {
  start();
  EXPECT_EQ(client().Get("/healthz")->body, "ok\n");
  EXPECT_EQ(client().Get("/readyz")->body, "ready\n");
  EXPECT_THAT(client().Get("/metrics")->body, HasSubstr("phub_job_late_seconds"));
  EXPECT_EQ(Json::parse(client().Get("/v1/version")->body)["version"], "0.1.0");
  EXPECT_EQ(Json::parse(client().Get("/v1/status")->body)["shards"].size(), 1u);
  EXPECT_EQ(Json::parse(client().Get("/v1/jobs")->body)["jobs"][0]["name"], "resnet");
  EXPECT_EQ(Json::parse(client().Get("/v1/jobs/resnet")->body)["ranks"].size(), 2u);
  EXPECT_THAT(client().Get("/v1/jobs/resnet/map")->body, HasSubstr("0 0 0 8192 0 -1 0 - 0 fc"));
  EXPECT_EQ(Json::parse(client().Get("/v1/jobs/resnet/map?format=json")->body)["chunks"].size(),
            2u);
  EXPECT_EQ(Json::parse(client().Get("/v1/jobs/resnet/late")->body)["late"][0]["round"], 17);
}

TEST_F(HttpTest, ADrainingHubIsAliveButNotReady) {
  admin_.hub.is_draining = true;
  start();
  EXPECT_EQ(client().Get("/healthz")->body, "draining\n");
  EXPECT_EQ(client().Get("/healthz")->status, 200);
  EXPECT_EQ(client().Get("/readyz")->status, 503);
  EXPECT_EQ(post("/v1/undrain", "")->status, 200);
  EXPECT_EQ(admin_.undrain_count, 1);
}

TEST_F(HttpTest, WithoutAProgramThereIsNothingToReload) {
  start();
  EXPECT_EQ(post("/v1/reload", "")->status, 501);
  EXPECT_EQ(client().Get("/v1/log-level")->status, 501);
}

TEST_F(HttpTest, TheProgramReloadsAndChangesItsLogLevel) {
  options_.program = &program_;
  start();
  EXPECT_EQ(Json::parse(post("/v1/reload", "")->body)["applied"][0]["to"], "7");
  EXPECT_EQ(Json::parse(client().Get("/v1/log-level")->body)["level"], "info");
  const auto put = [&](const std::string& body) {
    return client().Put("/v1/log-level", body, "application/json");
  };
  EXPECT_EQ(Json::parse(put(R"({"level": "debug"})")->body)["level"], "debug");
  EXPECT_EQ(program_.level, base::LogLevel::debug);
  EXPECT_THAT(error_message(put(R"({"level": "loud"})")), HasSubstr("level = loud is none of"));
  EXPECT_EQ(put("{}")->status, 400);
  server_->set_token(kToken);
  EXPECT_EQ(put(R"({"level": "error"})")->status, 401);
  EXPECT_EQ(post("/v1/reload", "")->status, 401);
  EXPECT_EQ(client().Get("/v1/log-level")->status, 200);
}

TEST_F(HttpTest, WhatIsNotThereIsAJsonError) {
  start();
  for (const char* path : {"/", "/v1", "/v1/jobs/none", "/v1/jobs/none/map", "/v1/jobs/none/late",
                           "/v1/jobs/..%2f..%2fetc", "/v1/jobs/a b"}) {
    const httplib::Result reply = client().Get(path);
    ASSERT_TRUE(reply) << path;
    EXPECT_EQ(reply->status, 404) << path;
    EXPECT_EQ(error_code(reply), "not_found") << path;
  }
  EXPECT_EQ(client().Get("/v1/jobs/resnet/map?format=xml")->status, 400);
  EXPECT_EQ(client().Put("/v1/jobs", "{}", "application/json")->status, 404);
}

TEST_F(HttpTest, ACreatedJobWithoutASecretGetsOneOnce) {
  start();
  const httplib::Result reply = post("/v1/jobs", R"({"name": "a", "rank_count": 4})");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 201);
  ASSERT_EQ(admin_.created.size(), 1u);
  EXPECT_EQ(admin_.created[0].rank_count, 4u);
  EXPECT_EQ(admin_.created[0].chunk_elements, 8192u);
  EXPECT_GE(admin_.created[0].secret.size(), 64u);
  EXPECT_EQ(Json::parse(reply->body)["secret"], admin_.created[0].secret);
  post("/v1/jobs", R"({"name": "b", "rank_count": 4})");
  EXPECT_NE(admin_.created[0].secret, admin_.created[1].secret);
}

TEST_F(HttpTest, AGivenSecretIsNeverSentBack) {
  start();
  const httplib::Result reply =
      post("/v1/jobs", R"({"name": "a", "rank_count": 1, "secret": "open-sesame"})");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(admin_.created[0].secret, "open-sesame");
  EXPECT_EQ(reply->body.find("open-sesame"), std::string::npos);
}

TEST_F(HttpTest, WrongBodiesAreRefusedByField) {
  start();
  const std::pair<const char*, const char*> cases[] = {
      {"", "JSON"},
      {"{", "JSON"},
      {"[]", "object"},
      {R"({"rank_count": 1})", "name"},
      {R"({"name": "a/b", "rank_count": 1})", "name"},
      {R"({"name": 7, "rank_count": 1})", "name"},
      {R"({"name": "a"})", "rank_count"},
      {R"({"name": "a", "rank_count": 0})", "rank_count"},
      {R"({"name": "a", "rank_count": 1025})", "rank_count"},
      {R"({"name": "a", "rank_count": "2"})", "rank_count"},
      {R"({"name": "a", "rank_count": 1, "chunk_elements": 65})", "chunk_elements"},
      {R"({"name": "a", "rank_count": 1, "chunk_elements": 0})", "chunk_elements"},
      {R"({"name": "a", "rank_count": 1, "secret": ""})", "secret"},
      {R"({"name": "a", "rank_count": 1, "secret": 5})", "secret"}};
  for (const auto& [body, field] : cases) {
    const httplib::Result reply = post("/v1/jobs", body);
    ASSERT_TRUE(reply) << body;
    EXPECT_EQ(reply->status, 400) << body;
    EXPECT_THAT(error_message(reply), HasSubstr(field)) << body;
  }
  EXPECT_TRUE(admin_.created.empty());
}

TEST_F(HttpTest, TheHubsErrorsKeepTheirCodeAndSentence) {
  start();
  const std::pair<Code, int> cases[] = {{Code::already_exists, 409},
                                        {Code::resource_exhausted, 507},
                                        {Code::failed_precondition, 409},
                                        {Code::timed_out, 504}};
  for (const auto& [code, http] : cases) {
    admin_.answer = Status(code, "a sentence");
    const httplib::Result reply = post("/v1/jobs", R"({"name": "a", "rank_count": 1})");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, http);
    EXPECT_EQ(error_code(reply), to_string(code));
    EXPECT_EQ(error_message(reply), "a sentence");
  }
}

TEST_F(HttpTest, DrainStopAndRemoveReachTheHub) {
  start();
  EXPECT_EQ(post("/v1/drain", "")->status, 200);
  EXPECT_EQ(post("/v1/stop", "")->status, 200);
  EXPECT_EQ(client().Delete("/v1/jobs/resnet")->status, 200);
  EXPECT_EQ(client().Delete("/v1/jobs/none")->status, 404);
  for (const char* path : {"/v1/jobs/none", "/v1/jobs/none/map", "/v1/jobs/none/late"}) {
    EXPECT_THAT(client().Get(path)->body, HasSubstr("the hub has no such job; see phubctl jobs"));
  }
  EXPECT_EQ(admin_.drain_count, 1);
  EXPECT_EQ(admin_.stop_count, 1);
  EXPECT_THAT(admin_.removed, testing::ElementsAre("resnet: removed by the operator"));
}

TEST_F(HttpTest, WithATokenOnlyItsHolderChangesAnything) {
  start(kToken);
  const std::string good = std::string("Bearer ") + kToken;
  for (const std::string& value :
       {std::string(), std::string("Bearer "), std::string(kToken), good + "0",
        good.substr(0, good.size() - 1), std::string("Basic ") + kToken}) {
    httplib::Headers headers;
    if (!value.empty()) headers.emplace("Authorization", value);
    for (const httplib::Result& reply :
         {client().Post("/v1/drain", headers, "", "application/json"),
          client().Post("/v1/stop", headers, "", "application/json"),
          client().Post("/v1/jobs", headers, R"({"name": "a", "rank_count": 1})",
                        "application/json"),
          client().Delete("/v1/jobs/resnet", headers)}) {
      ASSERT_TRUE(reply) << value;
      EXPECT_EQ(reply->status, 401) << value;
      EXPECT_EQ(reply->body.find(kToken), std::string::npos);
      const bool is_called_wrong = reply->body.find("is not the hub's admin token") < SIZE_MAX;
      EXPECT_EQ(is_called_wrong, !value.empty()) << reply->body;
    }
  }
  EXPECT_EQ(admin_.drain_count + admin_.stop_count, 0);
  EXPECT_TRUE(admin_.created.empty());
  EXPECT_TRUE(admin_.removed.empty());
  EXPECT_EQ(client().Get("/v1/status")->status, 200);  // Looking needs no token.
  EXPECT_EQ(client().Post("/v1/drain", {{"Authorization", good}}, "", "application/json")->status,
            200);
  EXPECT_EQ(admin_.drain_count, 1);
}

TEST_F(HttpTest, AWebPageCannotStopTheHub) {
  start();
  const httplib::Result reply =
      client().Post("/v1/stop", {{"Origin", "http://evil.example"}}, "", "text/plain");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 403);
  EXPECT_EQ(admin_.stop_count, 0);
}

TEST_F(HttpTest, WithoutATokenOnlyLoopbackIsServed) {
  const auto started = HttpServer::start({{"0.0.0.0", 0}, ""}, admin_);
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.status().code(), Code::permission_denied);
  EXPECT_THAT(started.status().message(), HasSubstr("admin_token_file"));
}

TEST_F(HttpTest, ATakenPortIsAnErrorNotASecondServer) {
  start();
  const auto second = HttpServer::start({server_->address(), ""}, admin_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::unavailable);
}

TEST_F(HttpTest, OversizedBodiesAreRefused) {
  start();
  const std::string large = R"({"name": ")" + std::string(kHttpBodyBytesMax, 'a') + "\"}";
  const httplib::Result reply = post("/v1/jobs", large);
  // The server may close before the client has sent everything.
  if (reply) {
    EXPECT_EQ(reply->status, 413);
  }
  EXPECT_TRUE(admin_.created.empty());
  EXPECT_EQ(client().Get("/healthz")->status, 200);
}

TEST_F(HttpTest, RandomBytesDoNoHarm) {
  start();
  base::Random random(7);
  for (int round = 0; round < 50; ++round) {
    std::string bytes(1 + random.below(4096), '\0');
    for (char& c : bytes) c = static_cast<char>(random.next());
    if (round % 2 == 0) bytes = "POST /v1/jobs HTTP/1.1\r\n" + bytes;
    bytes += "\r\n\r\n";
    const base::Fd fd = connect_raw();
    ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::shutdown(fd.get(), SHUT_WR);
  }
  EXPECT_EQ(client().Get("/healthz")->status, 200);
  EXPECT_TRUE(admin_.created.empty());
}

TEST_F(HttpTest, LongPathsAndHeadersDoNoHarm) {
  start();
  EXPECT_EQ(client().Get("/v1/jobs/" + std::string(7'000, 'a'))->status, 404);
  const httplib::Result long_path = client().Get("/v1/jobs/" + std::string(20'000, 'a'));
  if (long_path) {
    EXPECT_EQ(long_path->status, 414);
  }
  const httplib::Result ranges =
      client().Get("/v1/status", {{"Range", "bytes=" + std::string(3'000, '1') + "-"}});
  if (ranges) {
    EXPECT_NE(ranges->status, 500);
  }
  EXPECT_EQ(client().Get("/healthz")->status, 200);
}

TEST_F(HttpTest, ConnectionsThatSayNothingDoNotBlockOthers) {
  start();
  std::vector<base::Fd> silent;
  for (int i = 0; i < 6; ++i) {
    silent.push_back(connect_raw());
    const std::string half = "POST /v1/jobs HTTP/1.1\r\nContent-Length: 100\r\n";
    ::send(silent.back().get(), half.data(), half.size(), MSG_NOSIGNAL);
  }
  const httplib::Result reply = client().Get("/v1/status");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(HttpTest, MoreSilentConnectionsThanThreadsAreDroppedAfterTheTimeout) {
  start();
  std::vector<base::Fd> silent;
  for (int i = 0; i < 12; ++i) silent.push_back(connect_raw());
  const httplib::Result reply = client().Get("/healthz");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(HttpTest, TheServerEndsWhileClientsAreConnected) {
  start();
  const base::Fd silent = connect_raw();
  server_.reset();
  EXPECT_FALSE(silent.get() < 0);
  char byte = 0;
  EXPECT_LE(::recv(silent.get(), &byte, 1, 0), 0);  // Closed by the server.
}

}  // namespace
}  // namespace phub::hub
