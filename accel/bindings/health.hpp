// A report of the rig's health as Python takes it.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "core/health.hpp"

namespace tipoff::bindings {

// One tuple a camera: verdict, partner, bias, drift, explained, effects, errors, sigma_scale,
// displacement, whether at the far baseline, since.
pybind11::list to_list(const std::vector<CameraHealth>& cameras);

}  // namespace tipoff::bindings
