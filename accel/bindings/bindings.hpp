// What the parts of accel._core share. The bindings stay thin: arrays in, arrays out, the GIL
// released; accel/*.py has checked shapes and values before, and what is checked again here is
// memory safety.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/camera.hpp"

namespace tipoff {
class Tracker;
}

namespace tipoff::bindings {

// C-ordered and never converted: bind it with py::arg(...).noconvert().
template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

// Refuses an array whose axes differ from `shape`, where -1 takes any length.
template <typename T>
void require_shape(const Array<T>& array, std::initializer_list<pybind11::ssize_t> shape,
                   const char* name) {
  bool fits = array.ndim() == static_cast<pybind11::ssize_t>(shape.size());
  pybind11::ssize_t axis = 0;
  for (const pybind11::ssize_t length : shape) {
    if (!fits) break;
    fits = length < 0 || array.shape(axis) == length;
    ++axis;
  }
  if (!fits) throw std::invalid_argument(std::string(name) + " has the wrong shape");
}

// What `Tracker.plan` of accel._core does with its arguments.
pybind11::tuple plan(Tracker& tracker, std::int64_t time_ns, const pybind11::dict& budget);

void bind_rig(pybind11::module_& m);
void bind_triangulate(pybind11::module_& m);
void bind_tracker(pybind11::module_& m);
void bind_ball(pybind11::module_& m);

}  // namespace tipoff::bindings
