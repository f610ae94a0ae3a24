// libibverbs, loaded at run time: one binary serves machines with and without it.
//
// The inline functions of <infiniband/verbs.h> that go through the device's own table (ibv_poll_cq,
// ibv_post_send, ibv_post_recv, ibv_req_notify_cq, ibv_alloc_mw) are used as they are; all others
// are called through verbs(). Nothing links against the library.
#pragma once

#include <infiniband/verbs.h>
#include <phub/status.h>

#include <memory>

namespace phub::transport {

struct VerbsLibrary {
  decltype(&::ibv_get_device_list) get_device_list = nullptr;
  decltype(&::ibv_free_device_list) free_device_list = nullptr;
  decltype(&::ibv_get_device_name) get_device_name = nullptr;
  decltype(&::ibv_open_device) open_device = nullptr;
  decltype(&::ibv_close_device) close_device = nullptr;
  decltype(&::ibv_query_device) query_device = nullptr;
  // The exported function fills the fields up to link_layer and flags; zero the rest before.
  int (*query_port)(ibv_context*, uint8_t, ibv_port_attr*) = nullptr;
  decltype(&::ibv_alloc_pd) alloc_pd = nullptr;
  decltype(&::ibv_dealloc_pd) dealloc_pd = nullptr;
  ibv_mr* (*reg_mr_iova)(ibv_pd*, void*, size_t, uint64_t, int) = nullptr;
  // Null before rdma-core 28: optional access flags are then not known.
  ibv_mr* (*reg_mr_iova2)(ibv_pd*, void*, size_t, uint64_t, unsigned int) = nullptr;
  decltype(&::ibv_dereg_mr) dereg_mr = nullptr;
  decltype(&::ibv_create_comp_channel) create_comp_channel = nullptr;
  decltype(&::ibv_destroy_comp_channel) destroy_comp_channel = nullptr;
  decltype(&::ibv_create_cq) create_cq = nullptr;
  decltype(&::ibv_resize_cq) resize_cq = nullptr;
  decltype(&::ibv_destroy_cq) destroy_cq = nullptr;
  decltype(&::ibv_get_cq_event) get_cq_event = nullptr;
  decltype(&::ibv_ack_cq_events) ack_cq_events = nullptr;
  decltype(&::ibv_create_qp) create_qp = nullptr;
  decltype(&::ibv_modify_qp) modify_qp = nullptr;
  decltype(&::ibv_destroy_qp) destroy_qp = nullptr;
  decltype(&::ibv_create_ah) create_ah = nullptr;
  decltype(&::ibv_destroy_ah) destroy_ah = nullptr;
  decltype(&::ibv_get_async_event) get_async_event = nullptr;
  decltype(&::ibv_ack_async_event) ack_async_event = nullptr;
  decltype(&::ibv_fork_init) fork_init = nullptr;

  // Loads it once; later calls give the same answer. unavailable: it is not there, or too old; the
  // message says what to install. Thread-safety: any thread.
  static Status load();
};

// REQUIRES: VerbsLibrary::load() was ok.
const VerbsLibrary& verbs();
// For tests of devices that are not there: its functions may be others while no fabric is in use.
VerbsLibrary& verbs_to_change();

struct VerbsDeleter {
  void operator()(ibv_context* it) const { verbs().close_device(it); }
  void operator()(ibv_pd* it) const { verbs().dealloc_pd(it); }
  void operator()(ibv_mr* it) const { verbs().dereg_mr(it); }
  void operator()(ibv_mw* it) const { ibv_dealloc_mw(it); }
  void operator()(ibv_comp_channel* it) const { verbs().destroy_comp_channel(it); }
  void operator()(ibv_cq* it) const { verbs().destroy_cq(it); }
  void operator()(ibv_qp* it) const { verbs().destroy_qp(it); }
  void operator()(ibv_ah* it) const { verbs().destroy_ah(it); }
};

// Owns a thing of the library. Declare what it hangs on (context, domain) before it.
template <typename T>
using VerbsPtr = std::unique_ptr<T, VerbsDeleter>;

}  // namespace phub::transport
