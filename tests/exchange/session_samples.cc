#include "tests/exchange/session_samples.h"

namespace phub::exchange {

std::vector<Body> make_samples() {
  const std::string hex(64, 'c');
  const OptimizerOptions adamw{.kind = OptimizerKind::adamw,
                               .learning_rate = 0.1f,
                               .momentum = 0.75f,
                               .dampening = 0.125f,
                               .weight_decay = 1e-4f,
                               .beta1 = 0.8f,
                               .beta2 = 0.99f,
                               .epsilon = 1e-7f,
                               .clip_global_norm = 2};
  const TensorSpec plain{.name = "conv1.weight",
                         .type = DataType::bf16,
                         .count = 9408,
                         .op = ReduceOp::mean,
                         .optimizer = {},
                         .priority = -3};
  const TensorSpec optimized{.name = "fc \"\u00e9\"",
                             .type = DataType::fp32,
                             .count = uint64_t{1} << 40,
                             .op = ReduceOp::sum,
                             .optimizer = adamw,
                             .priority = 7};
  return {
      Hello{.job = {.name = "resnet-50_a.1", .secret = "", .rank_count = 4, .chunk_elements = 4096},
            .rank = 3,
            .process = 4711,
            .host = "node7",
            .fabric = "shm",
            .nonce = hex},
      Proof{.hmac = hex, .key = std::string(64, 'd')},
      Tensors{.epoch = 2,
              .table = {plain, optimized},
              .digest = UINT64_MAX,
              .hub = 1,
              .hubs = {.shards = {{.numa_node = 1, .core = 3}, {.core = -1, .hub = 1}},
                       .nics = {{.name = "mlx5_0", .numa_node = 1, .hub = 1}}}},
      Answer{.epoch = 2, .links = {"abc", "", std::string("\0\xff", 2)}, .fd_counts = {1, 0, 2}},
      Barrier{.id = 1},
      Settings{.id = 2,
               .values = {.learning_rate = 0.3f, .gradient_scale = 0x1p-14f, .skip = true},
               .first_rounds = {1, 4'000'000'000, 7}},
      LateQuery{.id = 3},
      StateQuery{.id = 4,
                 .tensor = 5,
                 .kind = 1,
                 .write = true,
                 .first_element = uint64_t{1} << 33,
                 .count = 2,
                 .step_count = 6,
                 .blob = std::string("\0\1\2\3\4\5\6\xff", 8)},
      Leave{},
      Abort{.message = "hub tcp://10.0.0.7:7077: connection closed"},
      Heartbeat{},
      Challenge{.nonce = hex, .is_new_job = true, .hub = "phubd 0.1.0 on node7"},
      Welcome{.hub = "phubd 0.1.0 on node7",
              .shape = {.shards = {{.numa_node = 1, .core = 3}, {.numa_node = 0, .core = -1}},
                        .nics = {{.name = "mlx5_0", .numa_node = 1}}},
              .peer_timeout_ms = 1234},
      Offer{.epoch = 2, .digest = 77, .links = {"offer", "two"}, .fd_counts = {0, 1}},
      Start{.epoch = 2},
      BarrierDone{.id = 8},
      SettingsDone{.id = 9},
      LateReport{.id = 10, .text = "tensor 5 \"fc1.weight\" round 17:\nrank 2 is missing"},
      StateReply{.id = 11, .code = 2, .message = "no tensor 5", .step_count = 12, .blob = "floa"},
      Left{},
      Failure{.code = 8, .message = "rank 2 (process 4711 on node7) is gone"},
      Probe{.nonce = hex},
      Probed{.hub = "phubd 0.1.0 on node7",
             .protocol = 1,
             .instance = hex,
             .host_proof = std::string(64, 'e'),
             .listen = {"shm:///tmp/phub.sock", "tcp://[fd00::7]:7077"}},
  };
}

std::string name_of(const Body& body) {
  static const char* const kNames[] = {
      "hello",       "proof",       "tensors", "answer",       "barrier",       "settings",
      "late_query",  "state_query", "leave",   "abort",        "heartbeat",     "challenge",
      "welcome",     "offer",       "start",   "barrier_done", "settings_done", "late_report",
      "state_reply", "left",        "failure", "probe",        "probed"};
  return kNames[body.index()];
}

}  // namespace phub::exchange
