/* demo_samples.c - where the cursor stands in each of the demo's files. */
#include "lsp/demo_samples.h"

extern const char lsp__demo_c[], lsp__demo_py[], lsp__demo_ts[], lsp__demo_go[], lsp__demo_rs[];

const demo_sample demo_samples[] = {
    {"ring.c", "c", lsp__demo_c, "if (r->data == NULL) ", "\n  r->capacity"},
    {"ring.c", "c", lsp__demo_c, "if (r->count == 0) ", "\n  size_t tail"},
    {"inventory.py", "python", lsp__demo_py, "def __len__(self):\n        ", "\n"},
    {"events.ts", "typescript", lsp__demo_ts, "if (index !== -1) {\n      ", "\n    }"},
    {"events.ts", "typescript", lsp__demo_ts, "get size(): number {\n    return ", "\n  }"},
    {"cache.go", "go", lsp__demo_go, "e, ok := ", "\n\tif !ok"},
    {"cache.go", "go", lsp__demo_go, "Delete(key string) {\n\t", "\n\tdefer"},
    {"matrix.rs", "rust", lsp__demo_rs, "fn rows(&self) -> usize {\n        ", "\n    }"},
};
const int demo_samples_count = sizeof demo_samples / sizeof demo_samples[0];
