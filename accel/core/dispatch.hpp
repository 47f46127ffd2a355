// Which instruction set the kernels run on: chosen once a tracker, changing the speed and no bit.
// There is none for AVX-512: a whole update was 1.08 times as fast with it as with AVX2.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace tipoff {

// The kernels of an instruction set by name: "baseline", "avx2", or "auto" for the best
// that this processor has. Null where the name is unknown or this processor or build lacks it.
const Kernels* kernels_of(const std::string& isa);

// The names that `kernels_of` knows here, slowest first.
std::vector<std::string> instruction_sets();

}  // namespace tipoff
