// SPDX-License-Identifier: MIT
// What a request is opened with, and what an exact capture gives back.
#pragma once

#include <ATen/core/Tensor.h>
#include <gaze/render/picture.hpp>
#include <gaze/render/prompt_text.hpp>
#include <gaze/render/record.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace gaze {

/// One unit of work with its own bundle (one batch row).
struct GAZE_API RequestSpec {
  std::string id = {};    ///< the host's name of the request; generated when empty
  Picture image = {};     ///< the original picture; when empty, the model's own input is used if the profile says where
  Sound sound = Sound();  ///< the recording instead, with a profile whose geometry is in time; when empty, the model's
                          ///< own input is used if the profile says where
  Text text = {};         ///< the prompt's tokens and which parts they are, to see which of them the answer rests on
  std::string prompt = {};    ///< shown beside the overlays
  int64_t prompt_tokens = 0;  ///< > 0: the first call holds prompt and answer (teacher forcing); rows from
                              ///< prompt_tokens - 1 on are kept, from 1 those of the prompt as well. 0: the last row of
                              ///< the first call, then every row of one-token calls
  std::optional<Geometry> geometry = {};  ///< instead of the profile's
  bool detail = false;                    ///< keeps every head's map, whatever the options say
  /// false: this request is not captured, whatever anything else says. true: it is, whatever the sample says.
  std::optional<bool> capture = {};
  /// What the host wants to find again in request.json: a trace's id, a model's version, a tenant.
  std::map<std::string, std::string> attributes = {};
};

/// Exact weights of one call of one site.
struct ExactWeights {
  std::string site;
  int64_t call = 0;      ///< 0-based count of this site's calls
  at::Tensor attn_bhqk;  ///< float32 [batch, heads, queries, keys] on the CPU: after masks, before dropout
};

}  // namespace gaze
