// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/leftovers.h"

#include <utility>

namespace poolgate::registrar {

namespace {

constexpr size_t kSteps = 2'000;   // associations looked at, at some 0.5 us each
constexpr size_t kRemovals = 500;  // associations, subscriptions and answers, at some us each

}  // namespace

void Leftovers::begin(std::map<channel::AssociationName, Association>&& answers) {
  going_ = context_.associations.size() != context_.associations.live_count();
  life_ = context_.associations.life();
  last_ = {};
  if (answers_.empty())
    answers_.swap(answers);
  else
    answers_.merge(answers);
  answers.clear();
}

void Leftovers::remove_some() {
  size_t removed = 0;
  for (size_t step = 0; step < kSteps && removed < kRemovals; ++step) {
    Association* association = context_.associations.next(last_);
    if (association == nullptr) {
      going_ = false;
      return;
    }
    last_ = association->name;
    if (association->live() || association->life >= life_) continue;
    removed += 1 + association->subscriptions.size();
    subscriptions_.unsubscribe_all(*association);
    context_.associations.remove(last_);
  }
}

void Leftovers::tick() {
  if (going_) remove_some();
  for (size_t removed = 0; removed < kRemovals && !answers_.empty(); answers_.erase(answers_.begin()))
    removed += 1 + answers_.begin()->second.answers.size();
}

}  // namespace poolgate::registrar
