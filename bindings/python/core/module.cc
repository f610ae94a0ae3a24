// phub._core: the extension module. phub/worker.py is what users see, and documents it.
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "connection.h"
#include "errors.h"
#include "graveyard.h"
#include "interpreter.h"
#include "messaging.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace phub::python;

namespace {

using Text = std::optional<std::string>;
using Number = std::optional<uint32_t>;
using Seconds = std::optional<double>;

Connection connect(Text hub, Text job, Text secret, Number rank, Number size, Text progress,
                   Seconds join_timeout, Seconds wait_timeout, Number chunk_elements, Text tls_ca,
                   Text tls_cert, Text tls_key,
                   std::optional<std::map<std::string, std::string>> network) {
  ConnectArguments arguments;
  arguments.hub = std::move(hub);
  arguments.job = std::move(job);
  arguments.secret = std::move(secret);
  arguments.progress = std::move(progress);
  arguments.tls_ca = std::move(tls_ca);
  arguments.tls_cert = std::move(tls_cert);
  arguments.tls_key = std::move(tls_key);
  arguments.rank = rank;
  arguments.size = size;
  arguments.chunk_elements = chunk_elements;
  arguments.join_timeout = join_timeout;
  arguments.wait_timeout = wait_timeout;
  arguments.network = std::move(network);
  return Connection::connect(arguments);
}

void bind_operation(nb::module_& module) {
  nb::class_<StartedOperation>(module, "StartedOperation", nb::is_weak_referenceable())
      .def_prop_ro("tensor", &StartedOperation::tensor)
      .def_prop_ro("round", &StartedOperation::round)
      .def("wait", &StartedOperation::wait, "timeout"_a = nb::none())
      .def("done", &StartedOperation::is_done)
      .def("error", &StartedOperation::error)
      .def("call_when_done", &StartedOperation::call_when_done, "function"_a);
}

void bind_connection(nb::module_& module) {
  nb::class_<Connection>(module, "Connection", nb::is_weak_referenceable())
      .def_prop_ro("rank", &Connection::rank)
      .def_prop_ro("size", &Connection::size)
      .def_prop_ro("hub_address", &Connection::hub_address)
      .def_prop_ro("wait_timeout", &Connection::wait_timeout)
      .def_prop_ro("has_thread", &Connection::has_thread)
      .def_prop_ro("is_foreign", &Connection::is_foreign)
      .def_prop_ro("is_closed", &Connection::is_closed)
      .def("allocate", &Connection::allocate, "shape"_a, "type"_a)
      .def("register_tensors", &Connection::register_tensors, "specs"_a, "results"_a)
      .def("result", &Connection::result, "tensor"_a)
      .def("push_pull", &Connection::push_pull, "tensor"_a, "gradient"_a, "out"_a.none())
      .def("push", &Connection::push, "tensor"_a, "gradient"_a)
      .def("pull", &Connection::pull, "tensor"_a, "out"_a.none())
      .def("broadcast", &Connection::broadcast, "tensor"_a, "data"_a, "root"_a)
      .def("wait_all", &Connection::wait_all, "timeout"_a = nb::none())
      .def("poll", &Connection::poll)
      .def("barrier", &Connection::barrier, "timeout"_a = nb::none())
      .def("set_step", &Connection::set_step, "learning_rate"_a, "gradient_scale"_a, "skip"_a)
      .def("read_state", &Connection::read_state, "tensor"_a, "kind"_a, "out"_a)
      .def("write_state", &Connection::write_state, "tensor"_a, "kind"_a, "values"_a)
      .def("read_step_count", &Connection::read_step_count, "tensor"_a)
      .def("write_step_count", &Connection::write_step_count, "tensor"_a, "count"_a)
      .def("stats", &Connection::stats)
      .def("leave", &Connection::leave)
      .def("close", &Connection::close);
}

void bind_messaging(nb::module_& module) {
  nb::class_<StartedTransfer>(module, "StartedTransfer", nb::is_weak_referenceable())
      .def_prop_ro("peer", &StartedTransfer::peer)
      .def_prop_ro("bytes", &StartedTransfer::bytes)
      .def("wait", &StartedTransfer::wait, "timeout"_a)
      .def("wait_for", &StartedTransfer::wait_for, "timeout"_a)
      .def("done", &StartedTransfer::is_done)
      .def("error", &StartedTransfer::error)
      .def("cancel", &StartedTransfer::cancel)
      .def("call_when_done", &StartedTransfer::call_when_done, "function"_a);
  nb::class_<Messaging>(module, "Messaging", nb::is_weak_referenceable())
      .def_prop_ro("address", &Messaging::address)
      .def_prop_ro("is_foreign", &Messaging::is_foreign)
      .def_prop_ro("is_closed", &Messaging::is_closed)
      .def("connect", &Messaging::connect, "address"_a, "timeout"_a)
      .def("wait_for_peer", &Messaging::wait_for_peer, "number"_a, "timeout"_a)
      .def("number_of", &Messaging::number_of, "peer"_a)
      .def("describe", &Messaging::describe, "peer"_a)
      .def("error_of", &Messaging::error_of, "peer"_a)
      .def("has_left", &Messaging::has_left, "peer"_a)
      .def("peers", &Messaging::peers)
      .def("disconnect", &Messaging::disconnect, "peer"_a)
      .def("send", &Messaging::send, "peer"_a, "tag"_a, "parts"_a)
      .def("receive", &Messaging::receive, "peer"_a, "tag"_a, "memory"_a)
      .def("close", &Messaging::close);
  module.def("open_messenger", &Messaging::open, "name"_a, "number"_a, "secret"_a, "listen"_a,
             "advertise"_a, "shared_memory"_a, "peer_timeout"_a, "linger"_a);
}

}  // namespace

NB_MODULE(_core, module) {
  nb::set_leak_warnings(false);  // A program that ends by an exception keeps what its frames hold.
  watch_forks();
  module.def("set_error_factory", &set_error_factory, "factory"_a);
  module.def("end", [] {  // At exit, when every Worker and Messenger is closed.
    bury_dead();
    {
      const nb::gil_scoped_release unlocked;
      close_python();
    }
    clear_error_factory();
  });
  module.def("connect", &connect, "hub"_a = nb::none(), "job"_a = nb::none(),
             "secret"_a = nb::none(), "rank"_a = nb::none(), "size"_a = nb::none(),
             "progress"_a = nb::none(), "join_timeout"_a = nb::none(),
             "wait_timeout"_a = nb::none(), "chunk_elements"_a = nb::none(),
             "tls_ca"_a = nb::none(), "tls_cert"_a = nb::none(), "tls_key"_a = nb::none(),
             "network"_a = nb::none());
  bind_operation(module);
  bind_connection(module);
  bind_messaging(module);
}
