/* demo_samples.h - the code that `fimd demo` completes. Private to lsp/. */
#ifndef FIMD_LSP_DEMO_SAMPLES_H
#define FIMD_LSP_DEMO_SAMPLES_H

typedef struct demo_sample {
  const char *name;     /* file name, for people */
  const char *language; /* LSP language id */
  const char *text;     /* the whole file, zero-terminated */
  const char *before;   /* the cursor stands behind the first occurrence of this */
  const char *after;    /* the text from here on follows the cursor; what lies between is left
                           out: it is what the programmer has not typed yet */
} demo_sample;

extern const demo_sample demo_samples[];
extern const int demo_samples_count;

#endif
