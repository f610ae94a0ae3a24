#include "transport/verbs_library.h"

#include <dlfcn.h>

#include <string>

#include "base/check.h"

namespace phub::transport {
namespace {

constexpr const char* kName = "libibverbs.so.1";

struct Loaded {
  VerbsLibrary functions;
  Status status;
};

template <typename F>
bool find(void* handle, const char* name, F* function) {
  *function = reinterpret_cast<F>(::dlsym(handle, name));
  return *function != nullptr;
}

const char* missing_function(void* handle, VerbsLibrary* library) {
  const struct {
    const char* name;
    bool is_there;
  } found[] = {
      {"ibv_get_device_list", find(handle, "ibv_get_device_list", &library->get_device_list)},
      {"ibv_free_device_list", find(handle, "ibv_free_device_list", &library->free_device_list)},
      {"ibv_get_device_name", find(handle, "ibv_get_device_name", &library->get_device_name)},
      {"ibv_open_device", find(handle, "ibv_open_device", &library->open_device)},
      {"ibv_close_device", find(handle, "ibv_close_device", &library->close_device)},
      {"ibv_query_device", find(handle, "ibv_query_device", &library->query_device)},
      {"ibv_query_port", find(handle, "ibv_query_port", &library->query_port)},
      {"ibv_alloc_pd", find(handle, "ibv_alloc_pd", &library->alloc_pd)},
      {"ibv_dealloc_pd", find(handle, "ibv_dealloc_pd", &library->dealloc_pd)},
      {"ibv_reg_mr_iova", find(handle, "ibv_reg_mr_iova", &library->reg_mr_iova)},
      {"ibv_dereg_mr", find(handle, "ibv_dereg_mr", &library->dereg_mr)},
      {"ibv_create_comp_channel",
       find(handle, "ibv_create_comp_channel", &library->create_comp_channel)},
      {"ibv_destroy_comp_channel",
       find(handle, "ibv_destroy_comp_channel", &library->destroy_comp_channel)},
      {"ibv_create_cq", find(handle, "ibv_create_cq", &library->create_cq)},
      {"ibv_resize_cq", find(handle, "ibv_resize_cq", &library->resize_cq)},
      {"ibv_destroy_cq", find(handle, "ibv_destroy_cq", &library->destroy_cq)},
      {"ibv_get_cq_event", find(handle, "ibv_get_cq_event", &library->get_cq_event)},
      {"ibv_ack_cq_events", find(handle, "ibv_ack_cq_events", &library->ack_cq_events)},
      {"ibv_create_qp", find(handle, "ibv_create_qp", &library->create_qp)},
      {"ibv_modify_qp", find(handle, "ibv_modify_qp", &library->modify_qp)},
      {"ibv_destroy_qp", find(handle, "ibv_destroy_qp", &library->destroy_qp)},
      {"ibv_create_ah", find(handle, "ibv_create_ah", &library->create_ah)},
      {"ibv_destroy_ah", find(handle, "ibv_destroy_ah", &library->destroy_ah)},
      {"ibv_get_async_event", find(handle, "ibv_get_async_event", &library->get_async_event)},
      {"ibv_ack_async_event", find(handle, "ibv_ack_async_event", &library->ack_async_event)},
      {"ibv_fork_init", find(handle, "ibv_fork_init", &library->fork_init)},
  };
  for (const auto& function : found) {
    if (!function.is_there) return function.name;
  }
  find(handle, "ibv_reg_mr_iova2", &library->reg_mr_iova2);
  return nullptr;
}

Loaded load_once() {
  Loaded loaded;
  // Never closed: the drivers that it loads do not expect it.
  void* const handle = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const why = ::dlerror();
    loaded.status = Status(Code::unavailable, std::string("load ") + kName + ": " +
                                                  (why == nullptr ? "unknown error" : why) +
                                                  "; for RDMA install rdma-core, libibverbs1 and "
                                                  "ibverbs-providers");
    return loaded;
  }
  if (const char* const name = missing_function(handle, &loaded.functions)) {
    loaded.status = Status(Code::unavailable, std::string("load ") + kName + ": it has no " + name +
                                                  "; install rdma-core 28 or newer");
    return loaded;
  }
  // Children of this process must not make registered pages move. Newer kernels see to that
  // themselves, and the call costs nothing there.
  loaded.functions.fork_init();
  return loaded;
}

Loaded& loaded() {
  static Loaded once = load_once();
  return once;
}

}  // namespace

Status VerbsLibrary::load() { return loaded().status; }

const VerbsLibrary& verbs() {
  PHUB_DCHECK(loaded().status.ok());
  return loaded().functions;
}

VerbsLibrary& verbs_to_change() { return loaded().functions; }

}  // namespace phub::transport
