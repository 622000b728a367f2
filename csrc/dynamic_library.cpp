#include "dynamic_library.hpp"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace tfl {
namespace {

#if defined(_WIN32)
void* load(const std::string& name, bool only_if_loaded) {
  return only_if_loaded ? GetModuleHandleA(name.c_str()) : LoadLibraryA(name.c_str());
}
void* symbol(void* handle, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle), name));
}
std::string why() { return "error " + std::to_string(GetLastError()); }
#else
void* load(const std::string& name, bool only_if_loaded) {
  return dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | (only_if_loaded ? RTLD_NOLOAD : 0));
}
void* symbol(void* handle, const char* name) { return dlsym(handle, name); }
std::string why() {
  const char* text = dlerror();
  return text ? text : "no message";
}
#endif

}  // namespace

DynamicLibrary::DynamicLibrary(const std::vector<std::string>& candidates) {
  for (const bool only_if_loaded : {true, false}) {
    for (const std::string& name : candidates) {
      if (only_if_loaded && name.find('/') != std::string::npos) continue;
      handle_ = load(name, only_if_loaded);
      if (handle_) {
        path_ = name;
        return;
      }
      if (!only_if_loaded) path_ += (path_.empty() ? "" : "; ") + why();
    }
  }
  throw CudaError("a shared library must load, got " +
                  (path_.empty() ? std::string("no candidates") : path_));
}

void* DynamicLibrary::address_of(const char* name) const {
  void* found = symbol(handle_, name);
  if (!found) throw CudaError(path_ + ": it must have " + name + ", got none; is it too old?");
  return found;
}

}  // namespace tfl
