#include <ps/internal/message.h>

namespace ps {

std::string Node::DebugString() const {
  static const char* const kRoles[] = {"server", "worker", "scheduler", "joint"};
  std::ostringstream text;
  text << kRoles[role] << ", id=" << id << ", host=" << hostname << ", port=" << port;
  return text.str();
}

std::string Meta::DebugString() const {
  std::ostringstream text;
  text << sender << " -> " << recver << ": " << (request ? "request " : "response ") << timestamp
       << ", app=" << app_id << ", customer=" << customer_id << (push ? ", push" : "")
       << (pull ? ", pull" : "") << (simple_app ? ", simple" : "") << ", head=" << head;
  if (!body.empty()) text << ", body=" << body;
  return text.str();
}

std::string Message::DebugString() const {
  std::ostringstream text;
  text << meta.DebugString();
  for (const SArray<char>& part : data) text << ", " << part.size() << " bytes";
  return text.str();
}

}  // namespace ps
