// SPDX-License-Identifier: MIT
// Names of OpenTelemetry that traces and events use: those of gen_ai are in development and may change
// (docs/metrics.md).
#pragma once

namespace gaze::otel {

inline constexpr const char* kSpan = "gaze.answer";
inline constexpr const char* kOperation = "gen_ai.operation.name";
inline constexpr const char* kOperationValue = "generate_content";
inline constexpr const char* kModel = "gen_ai.request.model";
inline constexpr const char* kResponseId = "gen_ai.response.id";
inline constexpr const char* kOutputTokens = "gen_ai.usage.output_tokens";
inline constexpr const char* kErrorType = "error.type";
inline constexpr const char* kDocuments = "gen_ai.retrieval.documents";
inline constexpr const char* kDocumentId = "id";
inline constexpr const char* kDocumentScore = "score";
inline constexpr const char* kEvaluation = "gen_ai.evaluation.result";
inline constexpr const char* kEvaluationName = "gen_ai.evaluation.name";
inline constexpr const char* kEvaluationNameValue = "gaze.grounding";
inline constexpr const char* kScore = "gen_ai.evaluation.score.value";
inline constexpr const char* kLabel = "gen_ai.evaluation.score.label";
inline constexpr const char* kExplanation = "gen_ai.evaluation.explanation";
inline constexpr const char* kMass = "gaze.mass";
inline constexpr const char* kEntropy = "gaze.entropy";
inline constexpr const char* kFocus = "gaze.focus";
inline constexpr const char* kLift = "gaze.max_lift";
inline constexpr const char* kVerdict = "gaze.verdict";
inline constexpr const char* kBundle = "gaze.bundle";
inline constexpr const char* kParameters = "gaze.model_sha256";

}  // namespace gaze::otel
