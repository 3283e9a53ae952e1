// SPDX-License-Identifier: MIT
#include "metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace gaze::serve {

using prometheus::Histogram;

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("gaze_serve_requests_total")
                                                          .Help("Requests answered, by path and status.")
                                                          .Register(registry);
  Histogram& seconds = prometheus::BuildHistogram()
                           .Name("gaze_serve_answer_seconds")
                           .Help("From a question's whole body to the words of its answer.")
                           .Register(registry)
                           .Add({}, Histogram::BucketBoundaries{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10});
  Histogram& rows = prometheus::BuildHistogram()
                        .Name("gaze_serve_batch_rows")
                        .Help("Rows of the batches that the model ran.")
                        .Register(registry)
                        .Add({}, Histogram::BucketBoundaries{1, 2, 4, 8, 16, 32, 64});
  prometheus::Gauge& connections = prometheus::BuildGauge()
                                       .Name("gaze_serve_connections")
                                       .Help("Connections that are open.")
                                       .Register(registry)
                                       .Add({});
  prometheus::Gauge& queued = prometheus::BuildGauge()
                                  .Name("gaze_serve_queued")
                                  .Help("Questions that wait for a batch.")
                                  .Register(registry)
                                  .Add({});
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::answered(const std::string& path, int status) {
  impl_->requests.Add({{"path", path}, {"status", std::to_string(status)}}).Increment();
}

void Metrics::took(double seconds) { impl_->seconds.Observe(seconds); }

void Metrics::ran_batch(size_t rows) { impl_->rows.Observe(static_cast<double>(rows)); }

void Metrics::now(size_t connections, size_t queued) {
  impl_->connections.Set(static_cast<double>(connections));
  impl_->queued.Set(static_cast<double>(queued));
}

std::string Metrics::text() const { return prometheus::TextSerializer().Serialize(impl_->registry.Collect()); }

}  // namespace gaze::serve
