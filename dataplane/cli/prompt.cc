// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cli/prompt.h"

#include <cmdline.h>
#include <cmdline_parse.h>
#include <cmdline_parse_string.h>
#include <cmdline_socket.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <set>

#include "controlplane/rserpool/text.h"
#include "dataplane/cli/grammar.h"

namespace poolgate::cli {

namespace {

constexpr size_t kMaxWords = 7;
constexpr size_t kMaxWord = 1000;  // typed characters of one parameter
struct Words {
  char word[kMaxWords][kMaxWord + 1];  // as typed, quotes and escapes kept
};
static_assert(sizeof(Words) <= CMDLINE_PARSE_RESULT_BUFSIZE);

// A word of the grammar as librte_cmdline's token; the header comes first, as the library casts.
struct Token {
  cmdline_token_hdr hdr{};
  std::vector<std::string> choices;  // literals; empty: a parameter
  std::string parameter;             // "<pool>"
  const Prompt::Names* names = nullptr;
  size_t words_before_json = 0;  // of the first token of a command with "json"; else 0
  bool when_entered = false;     // of the first token of a command whose last word is left out
  bool not_json = false;         // of that last word, where it is not: "json" is what follows it
  std::vector<size_t>
      silent_after;  // of a command's first token: words after which another one asks the same
  std::vector<std::string> offered;  // what completion offers, asked for at complete_get_nb
};

size_t typed_length(const char* text) {
  bool quoted = false;
  size_t n = 0;
  for (; text[n] != '\0' && text[n] != '\n' && text[n] != '\r'; ++n) {
    if (text[n] == '"') quoted = !quoted;
    if (!quoted && std::isspace(static_cast<unsigned char>(text[n]))) break;
    if (text[n] == '\\' && text[n + 1] != '\0') ++n;
  }
  return n;
}

// Of the line, up to the cursor.
size_t finished_words(const char* text) {
  size_t n = 0;
  for (;;) {
    while (*text != '\0' && std::isspace(static_cast<unsigned char>(*text))) ++text;
    const size_t length = typed_length(text);
    if (length == 0 || text[length] == '\0' || text[length] == '\n' || text[length] == '\r') return n;
    text += length;
    ++n;
  }
}

int parse_token(cmdline_parse_token_hdr_t* hdr, const char* text, void* result, unsigned size) {
  const auto* token = reinterpret_cast<const Token*>(hdr);
  const size_t n = typed_length(text);
  if (result != nullptr && !rserpool::split_words({text, n}))
    return -1;  // an open quote: the whole line is wrong
  // Completion would show each command twice: the one with "json" comes into play where that is the next
  // word. Likewise the names of a parameter that an earlier command has at that place.
  const size_t finished = finished_words(text);
  if (finished < token->words_before_json || (token->when_entered && std::strpbrk(text, "\r\n") == nullptr) ||
      std::ranges::find(token->silent_after, finished) != token->silent_after.end())
    return -1;
  if (n == 0 || n > kMaxWord || (result != nullptr && size < n + 1)) return -1;
  const std::string_view typed(text, n);
  bool good = takes(token->parameter, typed) && !(token->not_json && typed == "json");
  for (const std::string& choice : token->choices) good = good || choice == typed;
  if (!good) return -1;
  if (result != nullptr) {
    std::memcpy(result, text, n);
    static_cast<char*>(result)[n] = '\0';
  }
  return static_cast<int>(n);
}

int count_completions(cmdline_parse_token_hdr_t* hdr) {
  auto* token = reinterpret_cast<Token*>(hdr);
  token->offered = token->choices;
  if (!token->parameter.empty()) {
    for (std::string& name : (*token->names)(token->parameter)) token->offered.push_back(std::move(name));
  }
  return static_cast<int>(token->offered.size());
}

int get_completion(cmdline_parse_token_hdr_t* hdr, int i, char* out, unsigned size) {
  const auto* token = reinterpret_cast<const Token*>(hdr);
  const std::string& text = token->offered[static_cast<size_t>(i)];
  if (text.size() + 1 > size) return -1;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return 0;
}

int get_help(cmdline_parse_token_hdr_t* hdr, char* out, unsigned size) {
  const auto* token = reinterpret_cast<const Token*>(hdr);
  std::string text = token->parameter;
  for (const std::string& choice : token->choices) text += (text.empty() ? "" : "|") + choice;
  std::snprintf(out, size, "%s", text.c_str());
  return 0;
}

cmdline_token_ops kOps = {parse_token, count_completions, get_completion, get_help};

// A line that is no command, which the library would call "Bad arguments": run as it is, it says what is
// wrong.
int parse_mistake(cmdline_parse_token_hdr_t*, const char* text, void* result, unsigned size) {
  const size_t n = std::strcspn(text, "\r\n");
  const std::string line(text, n);
  if (result == nullptr || n == 0 || n > kMaxWord || n >= size || parse_command(line)) return -1;
  std::memcpy(result, line.c_str(), n + 1);
  return static_cast<int>(n);
}

cmdline_token_ops kMistakeOps = {parse_mistake, count_completions, get_completion, get_help};

}  // namespace

struct Prompt::Instances {
  Run run;
  Names names;
  bool over = false;
  std::deque<Token> tokens;  // a deque: their addresses stay
  std::vector<std::unique_ptr<void, decltype(&std::free)>> storage;
  std::vector<cmdline_parse_inst_t*> list;
  struct Call {
    Instances* owner;
    size_t words;
  };
  std::deque<Call> calls;
  std::set<std::string_view> asked;  // commands up to a parameter

  static void called(void* parsed, cmdline* cl, void* data) {
    const auto* call = static_cast<const Call*>(data);
    const auto* words = static_cast<const Words*>(parsed);
    std::string line;
    for (size_t i = 0; i < call->words; ++i) line += (i ? " " : "") + std::string(words->word[i]);
    if (!call->owner->run(line)) {
      call->owner->over = true;
      cmdline_quit(cl);
    }
  }

  Token* token(std::string_view pattern, size_t place) {
    Token& t = tokens.emplace_back();
    t.hdr.ops = &kOps;
    t.hdr.offset = static_cast<unsigned>(place * sizeof(Words::word[0]));
    t.names = &names;
    for (size_t begin = 0; begin <= pattern.size();) {
      const size_t end = std::min(pattern.find('|', begin), pattern.size());
      const std::string part(pattern.substr(begin, end - begin));
      if (part.starts_with('<')) {
        t.parameter = part;
      } else {
        t.choices.push_back(part);
      }
      begin = end + 1;
    }
    return &t;
  }

  void add(const CommandSpec& spec, bool json, bool shortened) {
    std::vector<Token*> line;
    auto words = words_of(spec);
    if (shortened) words.pop_back();
    for (const std::string_view word : words) {
      const size_t finished = line.size();
      line.push_back(token(word, finished));
      const std::string_view so_far(spec.words.data(), static_cast<size_t>(word.end() - spec.words.data()));
      if (!line.back()->parameter.empty() && !json && !shortened && !asked.insert(so_far).second)
        line.front()->silent_after.push_back(finished);
    }
    line.front()->when_entered = shortened;
    line.back()->not_json = may_end_early(spec) && !shortened;
    if (json) {
      line.front()->words_before_json = shortened ? 0 : line.size();
      line.push_back(token("json", line.size()));
    }
    add(line, spec.help.data());
  }

  void add(const std::vector<Token*>& line, const char* help) {
    void* memory = std::calloc(1, sizeof(cmdline_parse_inst_t) + (line.size() + 1) * sizeof(void*));
    storage.emplace_back(memory, &std::free);
    auto* instance = static_cast<cmdline_parse_inst_t*>(memory);
    instance->f = &called;
    instance->data = &calls.emplace_back(Call{this, line.size()});
    instance->help_str = help;
    for (size_t i = 0; i < line.size(); ++i) instance->tokens[i] = &line[i]->hdr;
    list.push_back(instance);
  }
};

Prompt::Prompt(Run run, Names names)
    : instances_(new Instances{std::move(run), std::move(names), false, {}, {}, {}, {}, {}}) {
  for (const CommandSpec& spec : commands()) {
    for (const bool shortened : {false, true}) {
      if (shortened && !may_end_early(spec)) continue;
      instances_->add(spec, false, shortened);
      if (spec.json) instances_->add(spec, true, shortened);
    }
  }
  Token* const mistake = instances_->token("#", 0);  // what completion offers for it
  mistake->hdr.ops = &kMistakeOps;
  instances_->add({mistake}, "a comment");
  instances_->list.push_back(nullptr);
}

Prompt::~Prompt() { delete instances_; }

bool Prompt::interact() {
  cmdline* cl = cmdline_stdin_new(instances_->list.data(), "poolgate> ");
  if (cl == nullptr) return false;
  cmdline_interact(cl);
  if (!instances_->over) std::puts("");  // ^D
  cmdline_stdin_exit(cl);
  return true;
}

}  // namespace poolgate::cli
