// The operator's token: a secret in a file of its own, so that no process list shows it.
#pragma once

#include <phub/status.h>

#include <string>

namespace phub::config {

// The first line of the file, 16 to 512 printable characters without spaces.
// not_found: no such file. permission_denied: unreadable, or readable by others.
// invalid_argument: too short, too long, or not printable. No message ever holds the token.
Result<std::string> read_token_file(const std::string& path);

}  // namespace phub::config
