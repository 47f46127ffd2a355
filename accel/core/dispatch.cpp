#include "dispatch.hpp"

namespace tipoff {

namespace baseline {
extern const Kernels table;
}
#ifdef TIPOFF_X86
namespace avx2 {
extern const Kernels table;
}
#endif

namespace {

struct Choice {
  const Kernels* kernels;
  bool supported;
};

std::vector<Choice> choices() {
  std::vector<Choice> out{{&baseline::table, true}};
#ifdef TIPOFF_X86
  const bool avx2_here = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  out.push_back({&avx2::table, avx2_here});
#endif
  return out;
}

}  // namespace

const Kernels* kernels_of(const std::string& isa) {
  const Kernels* best = nullptr;
  for (const Choice& choice : choices()) {
    if (!choice.supported) continue;
    if (isa == choice.kernels->name) return choice.kernels;
    best = choice.kernels;
  }
  return isa == "auto" ? best : nullptr;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> out;
  for (const Choice& choice : choices()) {
    if (choice.supported) out.emplace_back(choice.kernels->name);
  }
  return out;
}

}  // namespace tipoff
