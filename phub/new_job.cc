#include "phub/new_job.h"

#include "base/try.h"
#include "config/hub_config.h"
#include "exchange/json_fields.h"
#include "exchange/session_auth.h"

namespace phub::hub {

Result<NewJob> parse_new_job(std::string_view body) {
  PHUB_TRY_ASSIGN(exchange::JsonDocument document, exchange::JsonDocument::parse(body));
  exchange::JsonObject root = document.root();
  NewJob job;
  job.spec.name = root.text("name", exchange::TextRule::token, 64);
  job.spec.rank_count = static_cast<uint32_t>(root.number("rank_count", 1, kRankCountMax));
  if (root.has("chunk_elements")) {
    job.spec.chunk_elements = static_cast<uint32_t>(root.number("chunk_elements", 64, 4'194'304));
    if (job.spec.chunk_elements % 64 != 0) {
      root.fail("chunk_elements", "want a multiple of 64");
    }
  }
  if (root.has("secret")) {
    job.spec.secret = root.text("secret", exchange::TextRule::line, 512);
    if (job.spec.secret.empty()) root.fail("secret", "want at least one character, or no field");
  }
  PHUB_TRY(document.status());
  if (job.spec.secret.empty()) {
    job.spec.secret = exchange::make_nonce();
    job.is_secret_ours = true;
  }
  return job;
}

Result<base::LogLevel> parse_new_log_level(std::string_view body) {
  PHUB_TRY_ASSIGN(exchange::JsonDocument document, exchange::JsonDocument::parse(body));
  const std::string text = document.root().text("level", exchange::TextRule::line, 64);
  PHUB_TRY(document.status());
  const Result<base::LogLevel> level = config::parse_log_level(text);
  if (!level.ok()) {
    return Status(level.status().code(), "level = " + text + level.status().message());
  }
  return level;
}

}  // namespace phub::hub
