// SPDX-License-Identifier: BSD-3-Clause
// Whether AddressSanitizer or ThreadSanitizer watches this build. An unoptimised, watched access costs up to
// fifty times the plain one: what a test repeats for the sake of statistics is repeated less often then.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POOLGATE_SANITIZED 1
#elif defined(__has_feature)  // clang 14 does not define those
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POOLGATE_SANITIZED 1
#endif
#endif

namespace poolgate::test {

#ifdef POOLGATE_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// How often, or how many: `plain`, or `sanitized` where each one is dear.
template <typename Number>
constexpr Number unless_sanitized(Number plain, Number sanitized) {
  return kSanitized ? sanitized : plain;
}

}  // namespace poolgate::test
