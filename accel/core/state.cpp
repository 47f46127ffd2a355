#include "state.hpp"

namespace tipoff {
namespace {

void shift(Lanes& lanes, std::size_t from, std::size_t to, std::size_t count) {
  for (std::size_t r = 0; r < lanes.rows(); ++r) {
    std::memmove(lanes.row(r) + to, lanes.row(r) + from, count * sizeof(double));
  }
}

}  // namespace

void start_joint(Lanes& joints, std::size_t lane, Vec3 position, Vec3 velocity,
                 const Sym3& covariance, double speed_std_mps) {
  set_vec3(joints, kP, lane, position);
  set_vec3(joints, kV, lane, velocity);
  set_sym3(joints, kPP, lane, covariance);
  for (std::size_t i = 0; i < 9; ++i) joints.at(kPV + i, lane) = 0.0;
  set_sym3(joints, kVV, lane, Sym3::diagonal(speed_std_mps * speed_std_mps));
  joints.at(kFresh, lane) = 1.0;
}

std::size_t append_track(State& state, std::size_t joints, std::size_t limbs) {
  const std::size_t k = state.tracks.size();
  state.tracks.emplace_back();
  state.joints.resize((k + 1) * joints);
  state.limbs.resize((k + 1) * limbs);
  state.supports.resize(padded((k + 1) * joints), 0);
  for (std::size_t lane = k * joints; lane < (k + 1) * joints; ++lane) {
    for (std::size_t r = 0; r < kStateRows; ++r) state.joints.at(r, lane) = 0.0;
    state.joints.at(kLevel, lane) = 1.0;
    state.supports[lane] = 0;
  }
  for (std::size_t lane = k * limbs; lane < (k + 1) * limbs; ++lane) {
    for (std::size_t r = 0; r < kLimbRows; ++r) state.limbs.at(r, lane) = 0.0;
  }
  return k;
}

void keep_tracks(State& state, const std::vector<char>& kept, std::size_t joints,
                 std::size_t limbs) {
  std::size_t to = 0;
  for (std::size_t k = 0; k < state.tracks.size(); ++k) {
    if (!kept[k]) continue;
    if (k != to) {
      state.tracks[to] = std::move(state.tracks[k]);
      shift(state.joints, k * joints, to * joints, joints);
      shift(state.limbs, k * limbs, to * limbs, limbs);
      for (std::size_t j = 0; j < joints; ++j) {
        state.supports[to * joints + j] = state.supports[k * joints + j];
      }
    }
    ++to;
  }
  if (to == state.tracks.size()) return;
  state.tracks.resize(to);
  state.supports.resize(padded(to * joints));
  state.joints.resize(to * joints);
  state.limbs.resize(to * limbs);
}

void copy_limbs(State& state, std::size_t from, std::size_t to, std::size_t limbs) {
  for (std::size_t l = 0; l < limbs; ++l) {
    for (std::size_t r = 0; r < kLimbRows; ++r) {
      state.limbs.at(r, to * limbs + l) = state.limbs.at(r, from * limbs + l);
    }
  }
}

}  // namespace tipoff
