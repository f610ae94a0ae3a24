// One request to a hub's HTTP door, and its answer. Internal to phubctl.
#pragma once

#include <string>

#include "config/ctl_config.h"
#include "phub/phubctl.h"

namespace phub::hub {

struct CtlRequest {
  std::string method = "GET";
  std::string path;
  std::string body;
};

struct CtlReply {
  CtlExit exit = CtlExit::done;  // done, refused or no_hub.
  std::string body;              // If done.
  std::string error;             // Else a sentence that names the hub.
  bool is_gone = false;          // Nothing accepts connections there.
};

// Takes at most some seconds: connecting, sending and receiving have a deadline each.
CtlReply ask(const config::CtlCommand& command, const CtlRequest& request);

// "hub at http 127.0.0.1:7070".
std::string hub_text(const config::CtlCommand& command);

}  // namespace phub::hub
