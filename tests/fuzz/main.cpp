// Runs a fuzzer without libFuzzer: every file of a folder, then so many of them mutated, from a
// seed.
//   fuzz_NAME FOLDER [MUTATIONS [SEED]]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kMostBytes = 512;

Bytes mutated(const std::vector<Bytes>& corpus, std::mt19937& random) {
  Bytes out = corpus[random() % corpus.size()];
  const unsigned changes = 1 + random() % 8;
  for (unsigned i = 0; i < changes; ++i) {
    const std::size_t at = random() % (out.size() + 1);
    const auto place = out.begin() + static_cast<std::ptrdiff_t>(at);
    const unsigned kind = random() % 4;
    if (kind == 0) {
      out.insert(place, static_cast<std::uint8_t>(random()));
    } else if (at == out.size() || kind == 1) {
      const Bytes& other = corpus[random() % corpus.size()];
      const std::size_t from = other.empty() ? 0 : random() % other.size();
      out.insert(place, other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
    } else if (kind == 2) {
      out.erase(place);
    } else {
      *place = static_cast<std::uint8_t>(random());
    }
  }
  if (out.size() > kMostBytes) out.resize(kMostBytes);
  return out;
}

// What broke is left for a look; it is gone again where nothing breaks.
void run(const Bytes& bytes, const std::string& trace) {
  std::ofstream(trace, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [MUTATIONS [SEED]]\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) paths.push_back(entry);
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) {
    std::fprintf(stderr, "error: %s is empty; it should hold the corpus\n", argv[1]);
    return 1;
  }
  const std::string trace = std::string(argv[0]) + ".last";
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    std::fprintf(stderr, "%s\n", path.c_str());
    run(corpus.back(), trace);
  }
  const long mutations = argc > 2 ? std::atol(argv[2]) : 0;
  std::mt19937 random(argc > 3 ? static_cast<unsigned>(std::atol(argv[3])) : 1U);
  for (long i = 0; i < mutations; ++i) run(mutated(corpus, random), trace);
  std::filesystem::remove(trace);
  std::printf("%zu files, %ld mutations\n", corpus.size(), mutations);
  return 0;
}
