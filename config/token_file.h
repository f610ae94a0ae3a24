// The operator's token, or a job's secret: in a file of its own, so that no process list shows it.
#pragma once

#include <phub/status.h>

#include <string>

namespace phub::config {

// The first line of the file, 16 to 512 printable characters without spaces.
// not_found: no such file. permission_denied: unreadable, or readable by others.
// invalid_argument: too short, too long, or not printable. No message ever holds the token;
// they call the file `what`.
Result<std::string> read_token_file(const std::string& path,
                                    const std::string& what = "token file");

}  // namespace phub::config
