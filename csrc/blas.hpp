// The OpenBLAS that NumPy brings: its threads are replaced by the pool's.
#pragma once

#include <cstddef>
#include <string>

namespace tfl {

// Makes the library at `path`, which is loaded already, run on the pool. Returns whether it has what
// that takes; if not, nothing has changed.
bool adopt_blas(const std::string& path);

// How many threads its products may take; 0 where none was adopted.
std::size_t blas_threads();
void set_blas_threads(std::size_t count);

}  // namespace tfl
