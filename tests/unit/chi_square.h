// SPDX-License-Identifier: BSD-3-Clause
// Pearson's chi-square test against given probabilities.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

namespace poolgate::test {

inline double chi_square(std::span<const uint64_t> observed, std::span<const double> probability) {
  double total = 0;
  for (const uint64_t n : observed) total += static_cast<double>(n);
  double sum = 0;
  for (size_t i = 0; i < observed.size(); ++i) {
    const double expected = total * probability[i];
    const double off = static_cast<double>(observed[i]) - expected;
    sum += off * off / expected;
  }
  return sum;
}

// What a fair sample exceeds once in 10,000 times, with `n` categories (Wilson and Hilferty's approximation).
inline double chi_square_limit(size_t n) {
  const double freedom = static_cast<double>(n) - 1;
  const double z = 3.719;
  const double root = 1 - 2 / (9 * freedom) + z * std::sqrt(2 / (9 * freedom));
  return freedom * root * root * root;
}

}  // namespace poolgate::test
