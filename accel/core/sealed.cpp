#include "sealed.hpp"

#include <string>
#include <utility>

namespace tipoff {
namespace {

constexpr std::size_t kChecksumBytes = 8;

// FNV-1a over 64 bits: finds damage, not forgery.
std::uint64_t checksum(const std::uint8_t* bytes, std::size_t size) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (std::size_t i = 0; i < size; ++i) {
    hash ^= bytes[i];
    hash *= 1099511628211ULL;
  }
  return hash;
}

std::uint64_t rig_digest(const Rig& rig) {
  Writer w;
  for (Camera camera : rig.cameras) {
    w(camera.k.fx, camera.k.fy, camera.k.skew, camera.k.cx, camera.k.cy, camera.d.k1, camera.d.k2,
      camera.d.p1, camera.d.p2, camera.d.k3, camera.R.m, camera.t.x, camera.t.y, camera.t.z,
      camera.width, camera.height, camera.readout_ns);
  }
  return checksum(w.bytes.data(), w.bytes.size());
}

}  // namespace

Writer begin_sealed(const Seal& seal, const Rig& rig) {
  Writer w;
  Seal copy = seal;
  std::uint64_t digest = rig_digest(rig);
  w(copy.magic, copy.version, digest);
  return w;
}

std::vector<std::uint8_t> end_sealed(Writer writer) {
  std::uint64_t sum = checksum(writer.bytes.data(), writer.bytes.size());
  writer(sum);
  return std::move(writer.bytes);
}

Reader open_sealed(const Seal& seal, const Rig& rig, const std::uint8_t* bytes, std::size_t size) {
  if (size < seal.magic.size() + kChecksumBytes ||
      std::memcmp(bytes, seal.magic.data(), seal.magic.size()) != 0) {
    throw BadCheckpoint(std::string("this is no checkpoint of ") + seal.whose +
                        "; give the bytes of its `checkpoint()`");
  }
  const std::size_t body = size - kChecksumBytes;
  std::uint64_t sum = 0;
  std::memcpy(&sum, bytes + body, sizeof sum);
  Reader r(bytes, body);
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint64_t digest = 0;
  try {
    r(magic, version, digest);
  } catch (const BadArchive& e) {
    throw damaged(e.what());
  }
  if (version != seal.version) {
    throw BadCheckpoint("the checkpoint has version " + std::to_string(version) +
                        ", this build reads " + std::to_string(seal.version) +
                        "; continue with the build that wrote it");
  }
  if (sum != checksum(bytes, body)) throw damaged("its checksum differs");
  if (digest != rig_digest(rig)) {
    throw BadCheckpoint(
        "the checkpoint was made with another rig; give the calibration that it began with");
  }
  return r;
}

BadCheckpoint damaged(const char* what) {
  return BadCheckpoint(std::string("the checkpoint is damaged: ") + what +
                       "; take the one before it");
}

}  // namespace tipoff
