// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "http_error.hpp"

namespace gaze::serve {
namespace {

constexpr std::chrono::seconds kFlush{30};
constexpr size_t kListed = 200;
constexpr size_t kMostSettings = 4096;  // bytes
constexpr const char* kHtml = "text/html; charset=utf-8";
constexpr const char* kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'') {
      out += "&#" + std::to_string(static_cast<int>(c)) + ";";
    } else {
      out += c;
    }
  }
  return out;
}

void answer_json(httplib::Response& response, const nlohmann::json& json) {
  response.set_content(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n", "application/json");
}

/// Labels are few, whatever clients ask for.
std::string label_of(const std::string& path) {
  for (const char* known : {"/v1/answer", "/metrics", "/report", "/healthz", "/admin/capture"}) {
    if (path == known) return known;
  }
  return path.starts_with("/report/") ? "/report/ID" : "other";
}

struct Settled {
  std::optional<bool> capture;
  std::optional<double> sample_rate;
};

Settled read_settings(const std::string& body) {
  const HttpError refusal(400, R"(expected {"capture": true or false, "sample_rate": 0 to 1}, or one of them)");
  if (body.size() > kMostSettings) throw refusal;
  const nlohmann::json json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.empty()) throw refusal;
  Settled settled;
  for (auto field = json.begin(); field != json.end(); ++field) {
    if (field.key() == "capture" && field->is_boolean()) {
      settled.capture = field->get<bool>();
    } else if (field.key() == "sample_rate" && field->is_number()) {
      settled.sample_rate = field->get<double>();
      if (!(*settled.sample_rate >= 0 && *settled.sample_rate <= 1)) throw refusal;
    } else {
      throw refusal;
    }
  }
  return settled;
}

/// The id of a request that was not answered may be used again.
class Reservation {
 public:
  Reservation(Reports& reports, const Question& question) : reports_(reports), id_(question.id) {
    if (!reports_.reserve(id_, question.prompt)) throw HttpError(409, "X-Request-Id: expected one that is not in use");
  }
  ~Reservation() {
    if (!kept_) reports_.forget(id_);
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  void keep(const Answer& answer) {
    reports_.answered(id_, answer.text, answer.captured);
    kept_ = true;
  }

 private:
  Reports& reports_;
  const std::string id_;
  bool kept_ = false;
};

}  // namespace

Service::Service(HttpServer& server, const Settings& settings)
    : server_(server),
      reader_(settings.model, settings.profile, settings.bundles,
              [this](const std::string& id, const std::string& folder) { reports_.published(id, folder); }) {
  batcher_ = std::make_unique<Batcher>(settings.threads, settings.max_batch, settings.max_wait,
                                       [this](std::vector<Job>& batch) {
                                         metrics_.ran_batch(batch.size());
                                         reader_.answer(batch);
                                       });
  add_routes();
}

void Service::end() {
  batcher_.reset();
  reader_.gaze().flush(kFlush);
  reader_.gaze().shutdown();
  const Stats stats = reader_.gaze().stats();
  std::printf("ended: %lld answered, %lld bundles, %lld lost\n", static_cast<long long>(answered_.load()),
              static_cast<long long>(stats.written), static_cast<long long>(stats.lost()));
}

void Service::add_routes() {
  using httplib::Request;
  using httplib::Response;
  server_.Post("/v1/answer", [this](const Request& request, Response& response) { answer(request, response); });
  server_.Post("/admin/capture",
               [this](const Request& request, Response& response) { set_capture(request, response); });
  server_.Get("/metrics", [this](const Request&, Response& response) {
    metrics_.now(static_cast<size_t>(server_.connections()), batcher_->queued());
    response.set_content(metrics_.text() + gaze::metrics_text(), kPrometheus);
  });
  server_.Get("/healthz", [](const Request&, Response& response) { answer_json(response, {{"status", "ok"}}); });
  server_.Get("/report", [this](const Request&, Response& response) { list(response); });
  server_.Get("/report/(.+)", [this](const Request& request, Response& response) { report(request, response); });
  server_.set_logger([this](const Request& request, const Response& response) {
    metrics_.answered(label_of(request.path), response.status);
  });
  server_.on_refused = [this](int status) { metrics_.answered("other", status); };
}

void Service::answer(const httplib::Request& request, httplib::Response& response) {
  const auto begun = std::chrono::steady_clock::now();
  Question question = read_question(request);
  const std::string id = question.id;
  Reservation reservation(reports_, question);
  const Answer answer = batcher_->ask(reader_.prepare(std::move(question))).get();
  reservation.keep(answer);
  ++answered_;
  metrics_.took(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  response.set_header("X-Request-Id", id);
  answer_json(response, {{"id", id},
                         {"answer", answer.text},
                         {"bundle", answer.captured ? nlohmann::json("/report/" + id) : nlohmann::json()},
                         {"batch_size", answer.batch_size}});
}

void Service::set_capture(const httplib::Request& request, httplib::Response& response) {
  // A page elsewhere cannot send this type without asking first.
  if (content_type_of(request) != "application/json") throw HttpError(415, "Content-Type: expected application/json");
  const Settled settled = read_settings(request.body);
  Gaze& gaze = reader_.gaze();
  if (settled.capture == true && !gaze.enabled()) throw HttpError(409, "capture cannot be had here: the log says why");
  Control control = gaze.control();
  if (settled.capture) control.capture = *settled.capture;
  if (settled.sample_rate) control.sample_rate = *settled.sample_rate;
  if (gaze.enabled()) gaze.control(control);
  const Control now = gaze.control();
  answer_json(response, {{"capture", now.capture}, {"sample_rate", now.sample_rate}});
}

void Service::report(const httplib::Request& request, httplib::Response& response) const {
  const std::optional<Reports::Entry> entry = reports_.find(request.matches[1]);
  if (!entry) throw HttpError(404, "no request of this id was answered here");
  if (entry->folder.empty())
    throw HttpError(404, entry->captured ? "its report is not written yet, or was dropped: /metrics says what was"
                                         : "it was not captured");
  std::ifstream file(std::filesystem::path(entry->folder) / "report.html", std::ios::binary);
  if (!file) throw HttpError(404, "its bundle has no page: request.json there says why");
  response.set_content(std::string(std::istreambuf_iterator<char>(file), {}), kHtml);
}

void Service::list(httplib::Response& response) const {
  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Answers</title><h1>Answers</h1><table>"
      "<tr><th>request<th>asked<th>answered";
  for (const Reports::Entry& entry : reports_.latest(kListed)) {
    const std::string id = escaped(entry.id);
    page += "\n<tr><td>" + (entry.folder.empty() ? id : "<a href=\"/report/" + id + "\">" + id + "</a>") + "<td>" +
            escaped(entry.prompt) + "<td>" + escaped(entry.answer);
  }
  response.set_header("Content-Security-Policy", "default-src 'none'");
  response.set_content(page + "\n</table></html>\n", kHtml);
}

}  // namespace gaze::serve
