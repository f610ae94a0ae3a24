#include "transport/verbs_event.h"

namespace phub::transport {

VerbsEvent meaning_of(const ibv_async_event& event, uint8_t port) {
  using Kind = VerbsEvent::Kind;
  const bool is_own_port = event.element.port_num == port;
  switch (event.event_type) {
    case IBV_EVENT_PORT_ERR:
      return {is_own_port ? Kind::port_down : Kind::other};
    case IBV_EVENT_PORT_ACTIVE:
    case IBV_EVENT_GID_CHANGE:
    case IBV_EVENT_LID_CHANGE:
    case IBV_EVENT_PKEY_CHANGE:
      return {is_own_port ? Kind::port_change : Kind::other};
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_QP_REQ_ERR:
      return {Kind::offence, "wrote where it must not", event.element.qp->qp_num};
    case IBV_EVENT_QP_FATAL:
      return {Kind::queue_pair_lost, "", event.element.qp->qp_num};
    case IBV_EVENT_CQ_ERR:
      return {Kind::fatal, "its completion queue failed"};
    case IBV_EVENT_DEVICE_FATAL:
      return {Kind::fatal, "the device failed; see the kernel's log"};
    default:
      return {};
  }
}

}  // namespace phub::transport
