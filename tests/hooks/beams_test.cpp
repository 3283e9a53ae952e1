// SPDX-License-Identifier: MIT
// A host that searches with beams: the rows of every beam's history go where the search sends them.
#include "hooks_test.hpp"
#include "support/devices.hpp"

using hooks_test::MemorySink;

namespace {

/// Fused attention over a cache that grows, and a softmax over a memory that may lie on another device.
torch::jit::Module two_attentions() {
  torch::jit::Module module("Beams");
  module.define(R"JIT(
def forward(self, q, k, far_q, memory):
    near = torch.scaled_dot_product_attention(q, k, k)
    far = torch.matmul(torch.softmax(torch.matmul(far_q, memory.transpose(-2, -1)), -1), memory)
    return near, far
)JIT");
  return module;
}

struct Step {
  at::Tensor q, k, memory;  // [beams, 2, 1, 8], [beams, 2, keys, 8], [beams, 2, 9, 8]
};

struct Search {
  std::vector<std::vector<int64_t>> reorders;  // after each step; the last one before finish()
  bool in_place = false;                       // the cache is one buffer, written over when beams are gathered
};

/// What every beam that is left went through, by naive bookkeeping, with the request following along.
std::vector<std::vector<Step>> search(torch::jit::Module& module, gaze::Request& request, const Search& plan,
                                      at::Device far) {
  auto generator = at::detail::createCPUGenerator(7);
  const auto fresh = [&](int64_t beams, int64_t keys) { return at::randn({beams, 2, keys, 8}, generator); };
  int64_t keys = 6;
  at::Tensor buffer = at::zeros({1, 2, 32, 8});
  buffer.narrow(2, 0, keys).copy_(fresh(1, keys));
  at::Tensor memory = fresh(1, 9);
  std::vector<std::vector<Step>> histories(1);
  for (const std::vector<int64_t>& from : plan.reorders) {
    const auto beams = static_cast<int64_t>(histories.size());
    const at::Tensor q = fresh(beams, 1);
    const at::Tensor k = plan.in_place ? buffer.narrow(2, 0, keys) : buffer.narrow(2, 0, keys).clone();
    module.forward({q, k, q.to(far), memory.to(far)});
    for (int64_t b = 0; b < beams; ++b) {
      const auto row = [b](const at::Tensor& all) { return all.narrow(0, b, 1).clone(); };
      histories[static_cast<size_t>(b)].push_back({row(q), row(k), row(memory)});
    }
    request.reorder(from);
    std::vector<std::vector<Step>> next;
    for (const int64_t row : from) next.push_back(histories[static_cast<size_t>(row)]);
    histories = std::move(next);
    const at::Tensor index = at::tensor(from, at::kLong);
    if (plan.in_place && buffer.size(0) == static_cast<int64_t>(from.size())) {
      buffer.copy_(buffer.index_select(0, index));
    } else {
      buffer = buffer.index_select(0, index);
    }
    memory = memory.index_select(0, index);
    buffer.narrow(2, keys, 1).copy_(fresh(static_cast<int64_t>(from.size()), 1));
    ++keys;
  }
  return histories;
}

std::vector<gaze::AttentionRecord> captured(int64_t deferred,
                                            const std::function<void(torch::jit::Module&, gaze::Request&)>& run) {
  torch::jit::Module module = two_attentions();
  gaze::Options options = hooks_test::options({"*"});
  options.deferred_tokens = deferred;
  const auto [records, stats] =
      hooks_test::captured(module, options, [&](gaze::Request& request) { run(module, request); }, {{.id = "answer"}});
  CATCH_CHECK(stats.sampled == stats.written + stats.drops(gaze::DropReason::Superseded));
  return records;
}

}  // namespace

CATCH_TEST_CASE("device: a beam's maps are those of the steps it went through, whichever rows they were in") {
  const std::vector<Search> plans = {
      // Grown from one row, doubled, swapped, all from one, as they were, shrunk.
      {{{0, 0, 0}, {0, 0, 1}, {2, 0, 1}, {1, 1, 1}, {0, 1, 2}, {2, 0, 2}, {1, 0}, {0, 1}}},
      {{{0, 0, 0}, {1, 2, 1}, {0, 2, 2}, {0, 1, 2}, {2, 2, 0}, {0, 1, 2}}, true},
      {{{0, 0, 0, 0}, {3, 3, 1, 0}, {1, 2, 2, 3}, {2}}},
  };
  for (const at::Device device : gaze::test::devices()) {
    for (size_t plan = 0; plan < plans.size(); ++plan) {
      for (const int64_t deferred : {0, 2, 8}) {
        CATCH_CAPTURE(device.str(), plan, deferred);
        std::vector<std::vector<Step>> histories;
        const auto records = captured(deferred, [&](torch::jit::Module& module, gaze::Request& request) {
          histories = search(module, request, plans[plan], device);
        });
        CATCH_REQUIRE(records.size() == histories.size());
        for (size_t beam = 0; beam < records.size(); ++beam) {
          CATCH_CAPTURE(beam);
          const auto alone = captured(0, [&](torch::jit::Module& module, gaze::Request&) {
            for (const Step& step : histories[beam]) {
              module.forward({step.q, step.k, step.q.to(device), step.memory.to(device)});
            }
          });
          CATCH_REQUIRE(records[beam].error == "");
          CATCH_CHECK(records[beam].request_id == "answer");
          CATCH_REQUIRE(records[beam].maps[0].map_tk.sizes() == alone.at(0).maps[0].map_tk.sizes());
          CATCH_CHECK(at::allclose(records[beam].maps[0].map_tk, alone[0].maps[0].map_tk, 1e-4, 1e-6));
          CATCH_CHECK(at::allclose(records[beam].maps[0].mass_t, alone[0].maps[0].mass_t, 1e-5, 1e-6));
          CATCH_CHECK(at::equal(records[beam].maps[0].visible_t, alone[0].maps[0].visible_t));
          CATCH_CHECK(at::equal(records[beam].maps[0].flags_t, alone[0].maps[0].flags_t));
        }
      }
    }
  }
}

CATCH_TEST_CASE("device: labels, ids and specs go with their beams, and only the rows that are left are written") {
  torch::jit::Module module = two_attentions();
  auto sink = std::make_shared<MemorySink>();
  gaze::Options options = hooks_test::options(sink, {"*"});
  options.profile_in_code->vocabulary = {"red", "blue"};
  gaze::Gaze gaze = gaze::attach(module, options);
  gaze::Request request = gaze.begin(std::vector<gaze::RequestSpec>{{.id = "a"}, {.id = "b"}, {.id = "c"}});
  const at::Tensor x = at::ones({3, 2, 1, 8});
  module.forward({x, x, x, x});
  request.tokens({0}, 0);
  request.tokens({1}, 1);
  request.label({"own"}, 2);
  request.reorder({1, 2, 1});
  request.reorder({2, 1});
  request.finish();
  request.reorder({0});  // too late: nothing happens
  CATCH_REQUIRE(gaze.flush());
  const auto records = sink->records();
  CATCH_REQUIRE(records.size() == 2);
  CATCH_CHECK(records[0].request_id == "b");
  CATCH_CHECK(records[0].labels == std::vector<std::string>{"blue"});
  CATCH_CHECK(records[0].token_ids == std::vector<int64_t>{1});
  CATCH_CHECK(records[1].request_id == "c");
  CATCH_CHECK(records[1].labels == std::vector<std::string>{"own"});
  CATCH_CHECK(gaze.stats().drops(gaze::DropReason::Superseded) == 1);
}

CATCH_TEST_CASE("device: rows that the batch does not have end the capture and say so") {
  for (const auto& wrong : {std::vector<int64_t>{0, 2}, std::vector<int64_t>{-1}, std::vector<int64_t>{}}) {
    torch::jit::Module module = two_attentions();
    const at::Tensor x = at::ones({2, 2, 1, 8});
    const auto calls = [&](gaze::Request& request) {
      module.forward({x, x, x, x});
      request.reorder(wrong);
      module.forward({x, x, x, x});
    };
    const auto records =
        hooks_test::captured(module, hooks_test::options({"*"}), calls, std::vector<gaze::RequestSpec>(2)).records;
    CATCH_REQUIRE(records.size() == 2);
    const std::string got = wrong.empty() ? "none" : std::to_string(wrong.back());
    for (const auto& record : records) {
      CATCH_CHECK(record.error_reason == gaze::DropReason::ShapeMismatch);
      CATCH_CHECK(record.error == "reorder: expected rows of the batch, 0..1, at least one, got " + got +
                                      ". Name for each row the one it goes on from.");
    }
  }
}

CATCH_TEST_CASE("device: an answer that ended while the search went on has the tokens of the rows that made it") {
  // Rows stay where they are while beams are gathered; which row made which token is told at the end.
  const std::vector<std::vector<int64_t>> answers = {{0, 2, 1, 1}, {1, 1}, {2, 0, 0, 2}};
  const std::vector<std::vector<int64_t>> gathers = {{0, 0, 1}, {2, 1, 0}, {1, 1, 2}, {0, 1, 2}};
  for (const at::Device device : gaze::test::devices()) {
    for (const int64_t deferred : {0, 2, 8}) {
      CATCH_CAPTURE(device.str(), deferred);
      std::vector<std::vector<Step>> steps(3);  // of each row of the batch, as it was called
      const auto records = captured(deferred, [&](torch::jit::Module& module, gaze::Request& request) {
        auto generator = at::detail::createCPUGenerator(11);
        const auto fresh = [&](int64_t keys) { return at::randn({3, 2, keys, 8}, generator); };
        at::Tensor cache = fresh(6);
        const at::Tensor memory = fresh(9);
        request.reorder({0, 0, 0});
        for (const std::vector<int64_t>& from : gathers) {
          const at::Tensor q = fresh(1);
          module.forward({q, cache, q.to(device), memory.to(device)});
          for (int64_t b = 0; b < 3; ++b) {
            const auto row = [b](const at::Tensor& all) { return all.narrow(0, b, 1).clone(); };
            steps[static_cast<size_t>(b)].push_back({row(q), row(cache), row(memory)});
          }
          request.reorder({0, 1, 2});
          cache = at::cat({cache.index_select(0, at::tensor(from, at::kLong)), fresh(1)}, 2);
        }
        request.reorder_tokens(answers);
      });
      CATCH_REQUIRE(records.size() == answers.size());
      for (size_t i = 0; i < answers.size(); ++i) {
        CATCH_CAPTURE(i);
        CATCH_REQUIRE(records[i].error == "");
        const at::Tensor& map_tk = records[i].maps[0].map_tk;
        CATCH_REQUIRE(map_tk.size(0) == static_cast<int64_t>(answers[i].size()));
        for (size_t t = 0; t < answers[i].size(); ++t) {
          CATCH_CAPTURE(t);
          const std::vector<Step>& of_row = steps[static_cast<size_t>(answers[i][t])];
          const auto alone = captured(0, [&](torch::jit::Module& module, gaze::Request&) {
            for (size_t before = 0; before <= t; ++before) {
              const Step& step = of_row[before];
              module.forward({step.q, step.k, step.q.to(device), step.memory.to(device)});
            }
          });
          const auto token = static_cast<int64_t>(t);
          const at::Tensor expected = alone.at(0).maps[0].map_tk[token];
          CATCH_CHECK(at::allclose(map_tk[token].narrow(0, 0, expected.size(0)), expected, 1e-4, 1e-6));
        }
      }
    }
  }
}

CATCH_TEST_CASE("device: answers that name no row, or one that is not there, end the capture") {
  using Rows = std::vector<std::vector<int64_t>>;
  for (const Rows& wrong : {Rows(), Rows(1), Rows{{0, 3}}, Rows{{-1}}}) {
    const auto records = captured(0, [&](torch::jit::Module& module, gaze::Request& request) {
      const at::Tensor x = at::ones({1, 2, 1, 8});
      module.forward({x, x, x, x});
      request.reorder_tokens(wrong);
    });
    CATCH_REQUIRE(records.size() == 1);
    CATCH_CHECK(records[0].error.find("expected") != std::string::npos);
    CATCH_CHECK(records[0].error_reason == gaze::DropReason::ShapeMismatch);
  }
}
