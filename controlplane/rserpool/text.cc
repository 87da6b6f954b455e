// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/text.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace poolgate::rserpool {

std::string hex32(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

std::string percent(uint32_t fraction) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f %%", fraction * 100.0 / 0xffffffff);
  return text;
}

const char* transport_name(TransportType type) {
  switch (type) {
    case TransportType::dccp:
      return "dccp";
    case TransportType::sctp:
      return "sctp";
    case TransportType::tcp:
      return "tcp";
    case TransportType::udp:
      return "udp";
    case TransportType::udp_lite:
      return "udp-lite";
    case TransportType::opaque:
      return "opaque";
  }
  return "unknown";
}

std::string printable(std::string_view bytes, size_t most) {
  std::string text;
  for (const char c : bytes.substr(0, most)) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      text += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
      text += escaped;
    }
  }
  if (bytes.size() > most) text += "...";
  return text;
}

Result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  bool in_word = false, quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
      in_word = false;
      continue;
    }
    if (!quoted && !in_word && c == '#') break;
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == '"') {
      quoted = !quoted;
    } else if (c == '\\' && i + 1 < line.size() && line[i + 1] == 'x') {
      unsigned value = 0;
      const char* begin = line.data() + i + 2;
      const char* end = line.data() + std::min(i + 4, line.size());
      if (std::from_chars(begin, end, value, 16).ptr != begin + 2)
        return Error{"\\x must be followed by two hexadecimal digits"};
      words.back() += static_cast<char>(value);
      i += 3;
    } else if (c == '\\' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else {
      words.back() += c;
    }
  }
  if (quoted) return Error{"a quote is not closed"};
  return words;
}

}  // namespace poolgate::rserpool
