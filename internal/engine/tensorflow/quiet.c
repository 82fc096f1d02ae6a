#include <stddef.h>
#include <string.h>

// absl::SetMinLogLevel, as TensorFlow 2.21's libtensorflow_framework exports it. Weak: another release has another name for
// it, and then logs as much as it does by default.
extern void set_min_log_level(int at_least) __asm__("_ZN4absl12lts_2025081414SetMinLogLevelENS0_18LogSeverityAtLeastE")
    __attribute__((weak));

// quiet lets TensorFlow log errors only (2), unless the environment has TF_CPP_MIN_LOG_LEVEL. TensorFlow logs a line about
// oneDNN while the dynamic linker initialises its library, before any constructor of ours, and one for each model that it
// reads. The linker calls what stands in .preinit_array before it initialises any library. getenv does not work that early,
// so quiet searches the environment that it is given.
static void quiet(int argc, char** argv, char** environment) {
  (void)argc;
  (void)argv;
  static const char name[] = "TF_CPP_MIN_LOG_LEVEL=";
  for (char** variable = environment; *variable != NULL; variable++)
    if (strncmp(*variable, name, sizeof name - 1) == 0) return;
  if (set_min_log_level != NULL) set_min_log_level(2);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(int, char**, char**) = quiet;
