// What encloses a checkpoint: whose it is, its version, the rig that it was made with, a checksum.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "archive.hpp"
#include "camera.hpp"

namespace tipoff {

// A checkpoint that cannot be continued from: damaged, or of another version, rig or instruction
// set.
class BadCheckpoint : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct Seal {
  std::array<char, 8> magic;
  std::uint32_t version;
  const char* whose;  // "a tracker"
};

// Begins a checkpoint; what is to be kept is written behind.
Writer begin_sealed(const Seal& seal, const Rig& rig);
std::vector<std::uint8_t> end_sealed(Writer writer);

// Gives a reader of what was written behind the seal. Throws BadCheckpoint where it is another's,
// of another version or rig, or its checksum differs.
Reader open_sealed(const Seal& seal, const Rig& rig, const std::uint8_t* bytes, std::size_t size);

BadCheckpoint damaged(const char* what);

// Reads a sealed checkpoint; what `read` finds to be impossible is a BadCheckpoint.
template <class Read>
auto read_sealed(const Seal& seal, const Rig& rig, const std::uint8_t* bytes, std::size_t size,
                 Read&& read) {
  Reader reader = open_sealed(seal, rig, bytes, size);
  try {
    auto out = read(reader);
    if (reader.left() != 0) throw BadArchive("a length cannot be");
    return out;
  } catch (const BadCheckpoint&) {
    throw;
  } catch (const BadArchive& e) {
    throw damaged(e.what());
  } catch (const std::invalid_argument& e) {
    throw damaged(e.what());
  }
}

}  // namespace tipoff
